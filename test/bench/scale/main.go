package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/crispy-enigma/crispy-enigma/hack/apiserver"
	"github.com/crispy-enigma/crispy-enigma/test/bench/figures"
)

var goals = []figures.Goal{
	{Name: "bindings_over_budget_floor", Unit: "ratio", Limit: 1.1, Meaning: "start of the operator until every binding is Ready, over the time that the necessary calls take at the budget's rate"},
	{Name: "operator_rss_mib", Unit: "MiB", Limit: 256, Meaning: "largest resident memory of the operator over the whole run"},
	{Name: "edit_p99_s", Unit: "s", Limit: 2, Meaning: "a person's change of a binding until Cloudflare has it, while everything is polled"},
	{Name: "drift_budget_share", Unit: "ratio", Limit: 0.25, Meaning: "part of the API budget that looking for drift takes"},
}

const intro = "Bindings of many tenants on few accounts, against the fake Cloudflare with its true budgets and quotas. Time runs\n" +
	"faster by the factor named below, alike for the budgets, the lists and the polls; edits are told in real time."

func main() {
	var s size
	flag.IntVar(&s.accounts, "accounts", 5, "CloudflareAccounts")
	flag.IntVar(&s.tenants, "tenants", 400, "tenants an account, of four bindings each")
	flag.IntVar(&s.factor, "factor", 3, "how much faster than real time runs: 1 to 10")
	flag.DurationVar(&s.drift, "drift", 12*time.Minute, "how long drift is looked for, in scaled time")
	dry := flag.Bool("dry", false, "write nothing")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, s, !*dry); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

// size of a run.
type size struct {
	accounts, tenants, factor int
	drift                     time.Duration
}

// scaled is how long something takes that takes d in scaled time.
func (s size) scaled(d time.Duration) time.Duration { return d / time.Duration(s.factor) }

// stretch is how long d is in scaled time.
func (s size) stretch(d time.Duration) time.Duration { return d * time.Duration(s.factor) }

func run(ctx context.Context, s size, write bool) (err error) {
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		return errors.New("run it at the top of the repository: make scale-bindings")
	}
	if s.factor < 1 || s.factor > 10 {
		return errors.New("-factor must be from 1 to 10")
	}
	dir, err := os.MkdirTemp("", "enigma-scale-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	results := &figures.Results{Goals: goals}
	results.Note("%d accounts, %d tenants each, %d bindings in all; time runs %d times faster", s.accounts, s.tenants, s.accounts*s.tenants*perTenant, s.factor)

	progress("building the operator")
	operator, err := build(ctx, dir)
	if err != nil {
		return err
	}
	progress("starting the API server and the fake Cloudflare")
	server, err := apiserver.Start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	cloud, err := newCloud(s)
	if err != nil {
		return err
	}
	defer cloud.stop()
	w, err := newWorld(s, server.Config, cloud)
	if err != nil {
		return err
	}
	progress("creating %d bindings", w.bindings())
	if err := w.create(ctx); err != nil {
		return err
	}
	p, err := start(ctx, operator, dir, server.Kubeconfig, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	if err := w.measureCreation(ctx, p, results); err != nil {
		return fmt.Errorf("creating: %w%s", err, p.lastWords())
	}
	if err := w.measureDrift(ctx, p, results); err != nil {
		return fmt.Errorf("looking for drift: %w%s", err, p.lastWords())
	}
	peak, err := p.peak()
	if err != nil {
		return err
	}
	results.Set("operator_rss_mib", peak)
	results.Print()
	if !write {
		return nil
	}
	return results.Write(root, strings.TrimSpace("make scale-bindings "+os.Getenv("SCALEFLAGS")), intro)
}

var begun = time.Now()

// progress tells what is going on.
func progress(format string, args ...any) {
	fmt.Printf("%5.0fs  %s\n", time.Since(begun).Seconds(), fmt.Sprintf(format, args...))
}
