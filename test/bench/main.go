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

	"github.com/crispy-enigma/crispy-enigma/test/bench/figures"
)

func main() {
	seconds := flag.Int("seconds", 3, "length of one round of unary load")
	rounds := flag.Int("rounds", 5, "rounds of floor and runtime, in turns")
	cluster := flag.Bool("cluster", true, "measure the figures that need a cluster (starts one if none runs)")
	only := flag.String("only", "", "measure only the figures whose group is named (start, unary, streams, usage, shared, search, hits, tools, image, cluster) and write nothing")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b := &bench{rounds: *rounds, length: time.Duration(*seconds) * time.Second, Results: &figures.Results{Goals: goals}}
	if err := b.run(ctx, *only, *cluster); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is one run.
type bench struct {
	rounds  int
	length  time.Duration
	root    string
	dir     string
	runtime string
	floor   string
	model   string
	*figures.Results
}

func (b *bench) run(ctx context.Context, only string, cluster bool) error {
	var err error
	if b.root, err = os.Getwd(); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(b.root, "go.mod")); err != nil {
		return errors.New("run it at the top of the repository: make bench")
	}
	if b.dir, err = os.MkdirTemp("", "enigma-bench-"); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(b.dir) }()
	fmt.Println("building the runtime, the floor and the upstream")
	for pkg, path := range map[string]*string{"./cmd/runtime": &b.runtime, "./test/bench/floor": &b.floor, "./test/bench/upstream": &b.model} {
		if *path, err = build(ctx, b.dir, pkg); err != nil {
			return err
		}
	}
	groups := []struct {
		name string
		run  func(context.Context) error
	}{
		{"start", b.start}, {"unary", b.unary}, {"streams", b.streams}, {"usage", b.usage}, {"shared", b.shared}, {"search", b.search}, {"hits", b.hits}, {"tools", b.tools}, {"image", b.image}, {"cluster", b.cluster},
	}
	for _, g := range groups {
		if only != "" && only != g.name || g.name == "cluster" && !cluster {
			continue
		}
		fmt.Printf("== %s\n", g.name)
		if err := g.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", g.name, err)
		}
	}
	b.Print()
	if only != "" {
		return nil
	}
	return b.Write(b.root, strings.TrimSpace("make bench "+os.Getenv("BENCHFLAGS")), intro)
}
