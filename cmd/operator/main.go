// Command operator runs the controllers that turn Tenants into running APIs, and renders
// a Tenant for a runtime without a cluster.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

const usage = `usage:
  operator [flags]                            run the controllers (operator -h lists the flags)
  operator render -f FILE [-f FILE]... -o DIR write what a Tenant's runtime reads, without a cluster
  operator --version                          print the version`

// version is set at link time; a plain build tells the version of the module.
var version string

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := command(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "operator:", err)
		os.Exit(1)
	}
}

func command(ctx context.Context, args []string, out, notes io.Writer) error {
	if len(args) > 0 {
		switch args[0] {
		case "render":
			return render(ctx, args[1:], out, notes)
		case "--version", "-version", "version":
			_, err := fmt.Fprintln(out, buildVersion())
			return err
		}
	}
	return run(ctx, args, notes)
}

func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
