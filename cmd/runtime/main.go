// Command runtime serves one tenant's AI API from the document that the operator, or
// "operator render", wrote. It ends with status 2 if it can't understand its flags or
// the document, and with 1 if it can't serve.
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
	flags := flag.NewFlagSet("runtime", flag.ContinueOnError)
	flags.SetOutput(stderr)
	dir := flags.String("config-dir", cmp.Or(os.Getenv(tenantconfig.EnvDir), tenantconfig.Dir), "directory of the tenant's document and the secrets beside it")
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
	limitMemory()
	paceCollector()
	logger := telemetry.NewLogger(stderr, lv)
	srv, err := server.New(ctx, server.Options{
		Tenant: tenant, Dir: *dir, APIAddress: *api, MetricsAddress: *metrics,
		LameDuck: cmp.Or(*lameDuck, -time.Nanosecond), Build: version, Logger: logger,
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

// complain lists what is wrong with the document, a line each.
func complain(w io.Writer, dir string, err error) {
	violations, ok := errors.AsType[tenantconfig.Violations](err)
	if !ok {
		fmt.Fprintf(w, "the tenant document in %s can't be used: %v\n", dir, err)
		return
	}
	fmt.Fprintf(w, "the tenant document in %s breaks %d rules:\n", dir, len(violations))
	for _, v := range violations {
		fmt.Fprintln(w, " ", v)
	}
}
