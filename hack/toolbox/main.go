// Command toolbox builds the pinned tools of hack/tools into .cache/bin and says where they are.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/crispy-enigma/crispy-enigma/hack/toolbox/build"
	"github.com/crispy-enigma/crispy-enigma/hack/toolbox/distro"
)

// forTests is what tests run beside the pinned tools.
var forTests = []distro.Requirement{
	{Package: "strace", File: "strace", Why: "shows that an acknowledged write has been synced"},
	{Package: "nftables", File: "nft", Why: "checks the rules of the local cluster's network policies"},
	{Package: "iproute2", File: "ip", Why: "makes the networks of tests"},
	{Package: "postgresql", File: "/usr/lib/postgresql", Why: "is the server that shared state is tested against, started by the tests themselves"},
	{Package: "flite", File: "flite", Why: "is a voice that texts are read out with"},
	{Package: "espeak-ng", File: "espeak-ng", Why: "is another, in a hundred languages"},
	{Package: "chromium", File: "chromium", Why: "is the browser that opens the playground"},
	{Package: "redis-tools", File: "redis-check-rdb", Why: "is the Redis server under another name, and starts no service as redis-server would"},
	{Package: "nodejs", File: "node", Why: "runs OpenAI's SDK for JavaScript against a tenant's API"},
	{Package: "npm", File: "npm", Why: "installs that SDK, pinned by its digest"},
}

const usage = `usage: go run ./hack/toolbox COMMAND
  build TOOL…   build what is missing or stale (also the groups: envtest, cluster)
  path TOOL     the same, then print the binary's path
  assets        print a folder for KUBEBUILDER_ASSETS, built if need be
  packages      install what the tests need of the distribution
  list          print every tool and its version`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "toolbox:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	root, err := build.Root()
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return errors.New(usage)
	}
	builder := build.Builder{Root: root, Out: os.Stderr}
	switch {
	case args[0] == "build" && len(args) > 1:
		_, err := ensure(ctx, builder, args[1:]...)
		return err
	case args[0] == "path" && len(args) == 2:
		return printPath(ctx, builder, args[1])
	case args[0] == "assets" && len(args) == 1:
		return printAssets(ctx, builder)
	case args[0] == "packages" && len(args) == 1:
		return distro.Ensure(ctx, os.Stderr, forTests)
	case args[0] == "list" && len(args) == 1:
		return list(root)
	}
	return errors.New(usage)
}

func ensure(ctx context.Context, builder build.Builder, names ...string) ([]build.Tool, error) {
	tools, err := build.Find(names...)
	if err != nil {
		return nil, err
	}
	return tools, builder.Ensure(ctx, tools)
}

func printPath(ctx context.Context, builder build.Builder, name string) error {
	tools, err := ensure(ctx, builder, name)
	if err != nil {
		return err
	}
	if len(tools) != 1 {
		return fmt.Errorf("%q is a group; path takes one tool", name)
	}
	path, err := build.Path(builder.Root, tools[0])
	if err != nil {
		return err
	}
	fmt.Println(path)
	return nil
}

// printAssets takes a complete KUBEBUILDER_ASSETS as it is, then what setup-envtest has
// installed, and builds what both lack.
func printAssets(ctx context.Context, builder build.Builder) error {
	for _, found := range []struct{ who, dir string }{
		{"KUBEBUILDER_ASSETS", os.Getenv("KUBEBUILDER_ASSETS")},
		{"setup-envtest", setupEnvtest(ctx, builder.Root)},
	} {
		if found.dir == "" {
			continue
		}
		missing := build.Complete(found.dir, build.Envtest)
		if len(missing) == 0 {
			fmt.Println(found.dir)
			return nil
		}
		fmt.Fprintf(os.Stderr, "%s has %s, which lacks %s: using our own build\n", found.who, found.dir, strings.Join(missing, ", "))
	}
	tools, err := ensure(ctx, builder, build.Envtest...)
	if err != nil {
		return err
	}
	dir := filepath.Join(builder.Root, ".cache", "assets")
	if err := build.Link(builder.Root, dir, tools); err != nil {
		return err
	}
	fmt.Println(dir)
	return nil
}

// setupEnvtest asks an installed setup-envtest for the binaries that it has of our
// Kubernetes version; it never downloads.
func setupEnvtest(ctx context.Context, root string) string {
	path, err := exec.LookPath("setup-envtest")
	if err != nil {
		return ""
	}
	tools, err := build.Find("kube-apiserver")
	if err != nil || len(tools) != 1 {
		return ""
	}
	version, err := build.Version(root, tools[0])
	if err != nil {
		return ""
	}
	out, err := exec.CommandContext(ctx, path, "use", "--installed-only", "--print", "path", strings.TrimPrefix(version, "v")).Output()
	if err != nil {
		return "" // it has none of this version
	}
	return strings.TrimSpace(string(out))
}

func list(root string) error {
	for _, tool := range build.Catalog {
		version, err := build.Version(root, tool)
		if err != nil {
			return err
		}
		fmt.Printf("%-24s %s\n", tool.Name, version)
	}
	return nil
}
