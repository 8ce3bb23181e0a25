// Command runtenant is `make run-tenant`: one tenant's runtime on this machine,
// straight from its manifest, with no cluster. Change the manifest and run it again:
// keys and state stay under .cache/run-tenant until that folder is removed.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/crispy-enigma/crispy-enigma/hack/alive"
	"github.com/crispy-enigma/crispy-enigma/hack/toolbox/build"
)

func main() {
	var files []string
	flag.Func("f", "manifest with the Tenant and what it names; may be repeated", func(path string) error {
		files = append(files, path)
		return nil
	})
	api := flag.String("address", "127.0.0.1:8080", "where the API listens")
	metrics := flag.String("metrics-address", "127.0.0.1:9090", "where metrics and health listen")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, files, *api, *metrics); err != nil {
		fmt.Fprintln(os.Stderr, "run-tenant:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, files []string, api, metrics string) error {
	if len(files) == 0 {
		return errors.New("name a manifest: make run-tenant FILE=config/samples/tenant-minimal.yaml")
	}
	if err := free(ctx, api, "-address"); err != nil {
		return err
	}
	if err := free(ctx, metrics, "-metrics-address"); err != nil {
		return err
	}
	root, err := build.Root()
	if err != nil {
		return err
	}
	bin := filepath.Join(root, ".cache", "bin")
	for _, name := range []string{"operator", "runtime"} {
		cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", filepath.Join(bin, name+"-local"), "./cmd/"+name)
		cmd.Dir = root
		if _, err := alive.Run(os.Stdout, "building cmd/"+name, alive.Silence, cmd); err != nil {
			return fmt.Errorf("building cmd/%s: %w", name, err)
		}
	}
	home := filepath.Join(root, ".cache", "run-tenant", strings.TrimSuffix(filepath.Base(files[0]), filepath.Ext(files[0])))
	keys := filepath.Join(home, "keys.json")
	render := []string{"render", "-o", filepath.Join(home, "config"), "--keys-file", keys, "--state-dir", filepath.Join(home, "state")}
	if err := os.MkdirAll(home, 0o700); err != nil {
		return err
	}
	for _, f := range files {
		render = append(render, "-f", f)
	}
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "operator-local"), render...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("rendering %s: %w", strings.Join(files, ", "), err)
	}
	return serve(ctx, filepath.Join(bin, "runtime-local"), filepath.Join(home, "config"), keys, api, metrics)
}

// free refuses an address that somebody listens on, before anything is built.
func free(ctx context.Context, address, flagName string) error {
	if strings.HasSuffix(address, ":0") {
		return fmt.Errorf("%s %s: name the port", flagName, address)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("%s: %w; choose another one: go run ./hack/runtenant %s 127.0.0.1:18080 …", address, err, flagName)
	}
	return l.Close()
}

// serve runs the runtime until it is told to end.
func serve(ctx context.Context, runtime, config, keys, api, metrics string) error {
	cmd := exec.CommandContext(ctx, runtime, "--config-dir", config, "--api-address", api, "--metrics-address", metrics, "--lame-duck", "0s")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 2 * time.Minute
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case err := <-ended:
			return fmt.Errorf("the runtime ended: %w", errors.Join(err, ctx.Err()))
		case <-time.After(20 * time.Millisecond):
		}
		if !answers(ctx, "http://"+metrics+"/readyz") {
			continue
		}
		if err := greet(keys, api, metrics, time.Since(begin)); err != nil {
			return err
		}
		if err := <-ended; ctx.Err() == nil {
			return err
		}
		return nil // it was told to end
	}
}

func answers(ctx context.Context, url string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_ = res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// greet says how to talk to the tenant. The keys are made for this machine alone, so
// they may be shown.
func greet(keysFile, api, metrics string, took time.Duration) error {
	fmt.Printf("\nready in %s: http://%s (metrics: http://%s/metrics); Ctrl-C ends it\n", took.Round(time.Millisecond), api, metrics)
	text, err := os.ReadFile(keysFile)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	keys := map[string]string{}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &keys); err != nil {
			return fmt.Errorf("reading %s: %w", keysFile, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		key := keys[name]
		fmt.Printf("\n  # key %q\n  curl -N http://%s/chat -H 'Authorization: Bearer %s' -H 'Content-Type: application/json' \\\n"+
			"    -d '{\"sessionId\":\"7f1c9c9e-7d0a-4f0e-9a3c-2b1d5e6f7a8b\",\"message\":\"Tea is served at four. When is tea served?\"}'\n", name, api, key)
	}
	return nil
}
