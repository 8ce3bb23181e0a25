// Command fuzz runs every fuzz target of the module, one after the other, each for
// the given time. A failing input is kept by the go tool under testdata/fuzz of its
// package: commit it with the mend.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/crispy-enigma/crispy-enigma/hack/alive"
)

// target is one fuzz function.
type target struct{ pkg, name string }

func main() {
	length := flag.Duration("time", 30*time.Second, "how long each target runs")
	match := flag.String("match", "", "only targets whose package or name contains this")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *length, *match); err != nil {
		fmt.Fprintln(os.Stderr, "fuzz:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, length time.Duration, match string) error {
	targets, err := find(ctx)
	if err != nil {
		return err
	}
	var failed []error
	ran := 0
	for _, t := range targets {
		if !strings.Contains(t.pkg+"."+t.name, match) {
			continue
		}
		ran++
		fmt.Printf("== %s %s\n", t.pkg, t.name)
		cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-fuzz", "^"+t.name+"$", "-fuzztime", length.String(), t.pkg)
		if _, err := alive.Run(os.Stdout, t.name, alive.Silence, cmd); err != nil {
			failed = append(failed, fmt.Errorf("%s %s: %w", t.pkg, t.name, err))
		}
	}
	if ran == 0 {
		return fmt.Errorf("no fuzz target matches %q", match)
	}
	return errors.Join(failed...)
}

// find asks the go tool for the fuzz functions of every package.
func find(ctx context.Context) ([]target, error) {
	var out, complaint bytes.Buffer
	// Compiling every test takes minutes when caches are cold; -list alone says nothing
	// meanwhile, so only packages that mention a target are asked.
	list := exec.CommandContext(ctx, "git", "grep", "-h", "--full-name", "-l", "^func Fuzz", "--", "*_test.go")
	list.Stdout, list.Stderr = &out, &complaint
	if err := list.Run(); err != nil {
		return nil, fmt.Errorf("looking for fuzz targets: %w: %s", err, complaint.String())
	}
	var targets []target
	files := bufio.NewScanner(&out)
	for files.Scan() {
		path := files.Text()
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		pkg := "./" + path[:strings.LastIndexByte(path, '/')]
		for line := range strings.Lines(string(text)) {
			if rest, found := strings.CutPrefix(line, "func Fuzz"); found {
				name, _, _ := strings.Cut(rest, "(")
				targets = append(targets, target{pkg, "Fuzz" + name})
			}
		}
	}
	return targets, files.Err()
}
