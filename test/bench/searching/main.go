// Command searching measures the search over one tenant's documents in the embedded
// store, one part a process so that none holds another's memory. It prints what it
// measured as JSON. The bench command runs it.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
)

func main() {
	part := flag.String("part", "", "scan, ingest, truth or search, in this order")
	dir := flag.String("dir", "", "where the store lies, and what one part leaves for the next")
	chunks := flag.Int("chunks", 100_000, "how many passages")
	flag.Parse()
	run, ok := map[string]func(context.Context, string, corpus) (map[string]float64, error){
		"scan": scan, "ingest": ingest, "truth": truth, "search": search,
	}[*part]
	if !ok {
		fmt.Fprintf(os.Stderr, "searching: there is no part %q\n", *part)
		os.Exit(2)
	}
	measured, err := run(context.Background(), *dir, newCorpus(*chunks))
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(measured)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "searching:", err)
		os.Exit(1)
	}
}
