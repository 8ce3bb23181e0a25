package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// searchPace is how the runtime paces its garbage collector with so much alive.
const searchPace = "GOGC=50"

// search measures the search over documents in the embedded store, without a network.
func (b *bench) search(ctx context.Context) error {
	path, err := build(ctx, b.dir, "./test/bench/searching")
	if err != nil {
		return err
	}
	dir := filepath.Join(b.dir, "documents")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	measured := map[string]float64{}
	for _, part := range []string{"scan", "ingest", "truth", "search"} {
		cmd := exec.CommandContext(ctx, path, "-part", part, "-dir", dir)
		cmd.Env = append(os.Environ(), searchPace)
		out, err := cmd.Output()
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			err = fmt.Errorf("%w: %s", err, strings.TrimSpace(string(failed.Stderr)))
		}
		if err == nil {
			err = json.Unmarshal(out, &measured)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", part, err)
		}
	}
	for figure, name := range map[string]string{
		"search_p50_ms": "hybrid_p50_ms", "search_p99_ms": "hybrid_p99_ms", "search_recall10": "vector_recall",
		"search_rss_mib": "peak_rss_mib", "search_ready_s": "ready_s", "ingest_chunks_per_s": "chunks_per_s",
	} {
		b.Set(figure, measured[name])
	}
	b.Set("vector_scan_over_read_floor", measured["scan_ms"]/measured["floor_ms"])
	b.Note("vector scan of 100,000 × 768: %.2f ms, reading as many bytes once: %.2f ms", measured["scan_ms"], measured["floor_ms"])
	b.Note("search p50 / p99: hybrid %.2f / %.2f ms, by vector %.2f / %.2f ms, by words %.2f / %.2f ms",
		measured["hybrid_p50_ms"], measured["hybrid_p99_ms"], measured["vector_p50_ms"], measured["vector_p99_ms"], measured["words_p50_ms"], measured["words_p99_ms"])
	b.Note("search's resident memory %.0f MiB in the end, %.0f MiB at most; indexes by their own count %.0f MiB", measured["rss_mib"], measured["peak_rss_mib"], measured["index_mib"])
	return nil
}
