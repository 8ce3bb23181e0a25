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
	flag.IntVar(&o.drive, "drive", 10_000, "also measure sets of at most so many documents through the API of a whole runtime; 0 for none. Debian's take 10 minutes")
	flag.BoolVar(&o.injections, "injections", true, "run the suite of planted instructions too")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := o.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "eval:", err)
		os.Exit(1)
	}
}

type options struct {
	only, api, keyFile, questions string
	// drive is the size of a set that is also measured through a runtime's API at most.
	drive      int
	injections bool
}

func (o options) run(ctx context.Context) error {
	if o.api != "" || o.questions != "" || o.keyFile != "" {
		return o.live(ctx)
	}
	if _, err := os.Stat("go.mod"); err != nil {
		return errors.New("run it at the top of the repository: make eval")
	}
	collections, skipped, err := o.collections(ctx)
	if err != nil {
		return err
	}
	var results []*result
	var wrong error
	for i, c := range collections {
		if o.only != "" && o.only != c.name {
			continue
		}
		say := teller(c.name)
		var strangers []query
		if other := collections[(i+1)%len(collections)]; other != c {
			strangers = other.queries
		}
		r, err := measure(ctx, c, strangers, say)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		if len(c.passages) <= o.drive {
			if err := drive(ctx, c, strangers, r, say); r.through == nil && err != nil {
				return fmt.Errorf("%s through the API: %w", c.name, err)
			} else if err != nil {
				wrong = errors.Join(wrong, fmt.Errorf("%s: %w", c.name, err))
			}
		}
		results = append(results, r)
	}
	if len(results) == 0 {
		return fmt.Errorf("no data set is called %q, or none can be had", o.only)
	}
	if o.injections {
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
	return wrong
}

// collections reads the sets that there are; the names of the others are skipped.
func (o options) collections(ctx context.Context) (have []*collection, skipped []string, err error) {
	for _, s := range []struct {
		name string
		read func(context.Context) (*collection, error)
	}{
		{"cranfield", func(context.Context) (*collection, error) { return readCranfield("test/eval/testdata") }},
		{"debian", debian},
	} {
		c, err := s.read(ctx)
		if errors.Is(err, errUnavailable) {
			teller(s.name)("skipped: %v", err)
			skipped = append(skipped, s.name)
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		have = append(have, c)
	}
	return have, skipped, nil
}

// teller says what is being done with a set, and how long it has taken.
func teller(set string) func(format string, args ...any) {
	started := time.Now()
	return func(format string, args ...any) {
		fmt.Printf("%-10s %5.1fs  %s\n", set, time.Since(started).Seconds(), fmt.Sprintf(format, args...))
	}
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
