// Command runtime serves one tenant's AI API from the document that the operator, or
// "operator render", wrote. "runtime move" brings its state from a volume to a shared
// store, "runtime snapshot" and "runtime restore" into a file and back. It ends with
// status 2 if it can't understand its flags or the document, and with 1 if it can't do
// what it is told.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/cmd/internal/memory"
	"github.com/crispy-enigma/crispy-enigma/runtime/server"
	"github.com/crispy-enigma/crispy-enigma/runtime/telemetry"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// version is set by the linker.
var version = "dev"

func main() {
	// The second signal ends the process at once.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		if command, ok := commands[args[0]]; ok {
			return command(ctx, args[1:], stdout, stderr)
		}
	}
	flags := flag.NewFlagSet("runtime", flag.ContinueOnError)
	flags.SetOutput(stderr)
	dir := configDirFlag(flags)
	api := flags.String("api-address", "", "listen here for the API, for example 127.0.0.1:8080, instead of the document's port")
	metrics := flags.String("metrics-address", "", "listen here for metrics and health, instead of the document's port")
	lameDuck := flags.Duration("lame-duck", server.DefaultLameDuck, "how long new requests are served after SIGTERM")
	level := flags.String("log-level", "info", "debug, info, warn or error")
	showVersion := flags.Bool("version", false, "print the version and end")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(stderr, "there is no command %q: it is move, snapshot or restore, and none serves\n", flags.Arg(0))
		return 2
	}
	if *showVersion {
		fmt.Fprintln(stdout, version)
		return 0
	}
	var lv slog.Level
	if err := lv.UnmarshalText([]byte(*level)); err != nil {
		fmt.Fprintf(stderr, "--log-level: %v; use debug, info, warn or error\n", err)
		return 2
	}
	tenant, err := tenancy.Load(*dir)
	if err != nil {
		complain(stderr, *dir, err)
		return 2
	}
	readerMemory, err := extractMemory(os.Getenv(tenantconfig.EnvExtractMemory))
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 2
	}
	memory.Limit()
	memory.Pace()
	logger := telemetry.NewLogger(stderr, lv)
	srv, err := server.New(ctx, server.Options{
		Tenant: tenant, Dir: *dir, APIAddress: *api, MetricsAddress: *metrics,
		LameDuck: cmp.Or(*lameDuck, -time.Nanosecond), Build: version, Logger: logger,
		ExtractMemory: readerMemory, CacheDir: cacheDir(tenantconfig.CacheDir),
	})
	if err == nil {
		err = srv.Run(ctx)
	}
	if err != nil {
		logger.Error("runtime ended", "error", err)
		return 1
	}
	return 0
}
