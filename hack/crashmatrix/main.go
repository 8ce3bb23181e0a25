// Command crashmatrix proves that Cloudflare bindings are made once and never left
// behind: it breaks every call and every write of their lives, and counts what exists in
// the end. Its last line sums up; it fails if anything is wrong.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/crispy-enigma/crispy-enigma/hack/crashmatrix/matrix"
)

func main() {
	seeds := flag.Uint64("seeds", 500, "how many seeds; each is every life once, under weather of its own")
	first := flag.Uint64("first", 0, "the first seed")
	workers := flag.Int("workers", runtime.NumCPU(), "how many scenarios run at once")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *first, *seeds, *workers); err != nil {
		fmt.Fprintln(os.Stderr, "crashmatrix:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, first, seeds uint64, workers int) error {
	points, err := matrix.Record(ctx, matrix.Ours)
	if err != nil {
		return err
	}
	for _, p := range points {
		fmt.Println(p)
	}
	var all matrix.Result
	part := func(what string, r matrix.Result, took time.Duration, err error) error {
		if err != nil {
			return err
		}
		fmt.Printf("%s: %d scenarios in %s\n", what, r.Scenarios, took.Round(time.Second))
		for _, f := range r.Failures {
			fmt.Printf("WRONG %s: %v\n", f.Scenario, f.Verdict.Why)
		}
		all.Add(r.Verdict)
		all.Scenarios += r.Scenarios
		return nil
	}
	for _, p := range []struct {
		what      string
		scenarios []matrix.Scenario
	}{
		{"every point × every fault", matrix.Singles(points)},
		{"every pair of crashes on create", matrix.Pairs(points, matrix.PairDepth)},
		{"deleted while created", matrix.Deletions(points)},
		{"seeds", seeded(first, seeds)},
	} {
		start := time.Now()
		r, err := matrix.Run(ctx, matrix.Ours, workers, p.scenarios)
		if err := part(p.what, r, time.Since(start), err); err != nil {
			return err
		}
	}
	start := time.Now()
	r, err := matrix.Run(ctx, matrix.Ours, workers, together(first, seeds))
	if err := part("two operators, two clusters", r, time.Since(start), err); err != nil {
		return err
	}
	fmt.Printf("scenarios=%d\n", all.Scenarios)
	fmt.Printf("points=%d seeds=%d duplicates=%d orphans=%d manual=%d\n", len(points), seeds, all.Duplicates, all.Orphans, all.Manual)
	if !all.OK() {
		return fmt.Errorf("something is wrong; a seed is run again with -first N -seeds 1")
	}
	return nil
}

func seeded(first, seeds uint64) []matrix.Scenario {
	var out []matrix.Scenario
	for seed := first; seed < first+seeds; seed++ {
		out = append(out, matrix.Seeded(seed)...)
	}
	return out
}

func together(first, seeds uint64) []matrix.Together {
	var out []matrix.Together
	for seed := first; seed < first+seeds; seed++ {
		out = append(out, matrix.Meetings(seed)...)
	}
	return out
}
