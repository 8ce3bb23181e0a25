package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	o := options{}
	flag.StringVar(&o.only, "only", "", "measure one set, cranfield or debian, and write nothing")
	flag.StringVar(&o.api, "api", "", "measure a tenant's live API at this URL, instead of the public sets; writes nothing")
	flag.StringVar(&o.keyFile, "key-file", "", "file with the API key, with -api")
	flag.StringVar(&o.questions, "questions", "", "YAML file of questions and the documents that answer them, with -api")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := o.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "eval:", err)
		os.Exit(1)
	}
}

type options struct{ only, api, keyFile, questions string }

func (o options) run(ctx context.Context) error {
	if o.api != "" || o.questions != "" || o.keyFile != "" {
		return o.live(ctx)
	}
	if _, err := os.Stat("go.mod"); err != nil {
		return errors.New("run it at the top of the repository: make eval")
	}
	sets := []struct {
		name string
		read func(context.Context) (*collection, error)
	}{
		{"cranfield", func(context.Context) (*collection, error) { return readCranfield("test/eval/testdata") }},
		{"debian", debian},
	}
	var results []*result
	var skipped []string
	for _, s := range sets {
		if o.only != "" && o.only != s.name {
			continue
		}
		started := time.Now()
		say := func(format string, args ...any) {
			fmt.Printf("%-10s %5.1fs  %s\n", s.name, time.Since(started).Seconds(), fmt.Sprintf(format, args...))
		}
		c, err := s.read(ctx)
		if errors.Is(err, errUnavailable) {
			say("skipped: %v", err)
			skipped = append(skipped, s.name)
			continue
		}
		if err != nil {
			return err
		}
		r, err := measure(ctx, c, say)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		results = append(results, r)
	}
	if len(results) == 0 {
		return fmt.Errorf("no data set is called %q, or none can be had", o.only)
	}
	if o.only == "" {
		through, line, err := injections(ctx)
		if err != nil {
			return err
		}
		fmt.Println(line)
		for _, r := range results {
			r.injections = &through
		}
	}
	if o.only == "" && len(skipped) == 0 {
		if err := write("docs", results); err != nil {
			return err
		}
	} else {
		fmt.Println("docs/evaluation.md stays as it is: not every set was measured")
	}
	conclude(os.Stdout, results, skipped)
	return nil
}

// debian reads the descriptions that apt has, kept in .cache between runs.
func debian(ctx context.Context) (*collection, error) {
	file, err := fetchDebian(ctx, filepath.Join(".cache", "eval"), os.Stdout)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(filepath.Clean(file))
	if err != nil {
		return nil, fmt.Errorf("reading descriptions: %w", err)
	}
	defer func() { _ = f.Close() }()
	return readDebian(f)
}
