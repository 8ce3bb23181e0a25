// Command isolation proves, against the drivers and real servers, that no tenant
// reads or writes another's data and that nothing is lost: many tenants, whose names
// spell each other, make operations drawn at random, all at once, and every answer is
// held against a model. docs/isolation.md says what that shows and what it doesn't.
//
//	go run ./hack/isolation -operations 1000000
//
// The last line is drivers=N operations=N leaks=N lost=N, counted from what ran. The
// exit code is 0 only if nothing leaked, was lost or failed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/crispy-enigma/crispy-enigma/hack/servers"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/storagetest"
)

// progressEvery is how often a run says how far it is.
const progressEvery = 5 * time.Second

type options struct {
	operations int64
	seed       uint64
}

func main() {
	// The flags of testing and rapid, which the suite brings along, stay out of it.
	flags := flag.NewFlagSet("isolation", flag.ExitOnError)
	var o options
	flags.Int64Var(&o.operations, "operations", 1_000_000, "operations of each driver")
	flags.Uint64Var(&o.seed, "seed", 1, "draws the operations")
	only := flags.String("drivers", "", "names of drivers, separated by commas; empty is all")
	_ = flags.Parse(os.Args[1:]) // ends the process on an error

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := runAll(ctx, os.Stdout, o, chosen(*only))
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "isolation:", err)
		os.Exit(1)
	}
}

func chosen(only string) []driver {
	if only == "" {
		return drivers
	}
	var found []driver
	for _, d := range drivers {
		for name := range strings.SplitSeq(only, ",") {
			if d.name == name {
				found = append(found, d)
			}
		}
	}
	return found
}

var errNotProven = errors.New("isolation isn't proven")

// runAll ends with the line that sums up, whatever happened.
func runAll(ctx context.Context, out io.Writer, o options, drivers []driver) error {
	var operations, leaks, lost int64
	ran, proven := 0, len(drivers) > 0
	for _, d := range drivers {
		v, err := run(ctx, out, o, d)
		operations, leaks, lost = operations+v.Operations, leaks+v.Leaks, lost+v.Lost
		if err != nil {
			fmt.Fprintf(out, "%s: %v\n", d.name, err)
			proven = false
			continue
		}
		ran++
		proven = proven && v.OK() && v.Operations >= o.operations
	}
	if len(drivers) == 0 {
		fmt.Fprintln(out, "no driver has the name that was asked for")
	}
	fmt.Fprintf(out, "drivers=%d operations=%d leaks=%d lost=%d\n", ran, operations, leaks, lost)
	if !proven {
		return errNotProven
	}
	return nil
}

// run tells of one driver while it runs and when it has ended.
func run(ctx context.Context, out io.Writer, o options, d driver) (v storagetest.Verdict, err error) {
	k := &servers.Keeper{}
	defer k.End()
	began := time.Now()
	var stage storagetest.Isolation
	if err := k.Try(func() { stage = d.start(k) }); err != nil {
		return v, fmt.Errorf("starting: %w", err)
	}
	stage.Operations, stage.Seed = o.operations, o.seed
	logins := "one login for all tenants"
	if stage.Enforced {
		logins = "a login for each tenant"
	}
	fmt.Fprintf(out, "%s: %d operations, seed %d, %s\n", d.name, o.operations, o.seed, logins)
	told := atomic.Int64{}
	told.Store(int64(time.Since(began)))
	stage.Done = func(operations int64) {
		last, now := told.Load(), int64(time.Since(began))
		if now-last >= int64(progressEvery) && told.CompareAndSwap(last, now) {
			fmt.Fprintf(out, "%s: %d of %d operations after %.0f s\n", d.name, operations, o.operations, time.Duration(now).Seconds())
		}
	}
	if err := k.Try(func() { v, err = stage.Run(ctx) }); err != nil {
		return v, err
	}
	for _, deviation := range v.Deviations {
		fmt.Fprintf(out, "%s: %s\n", d.name, deviation)
	}
	fmt.Fprintf(out, "%s: operations=%d leaks=%d lost=%d failed=%d in %.1f s\n",
		d.name, v.Operations, v.Leaks, v.Lost, v.Failures, time.Since(began).Seconds())
	return v, err
}
