package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/rag/index"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/embedded"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// open the store in dir and an empty index of it.
func open(ctx context.Context, dir string) (*embedded.Store, *index.Index, tenancy.ID, error) {
	t, err := tenancy.NewID("bench", "bench/bench")
	if err != nil {
		return nil, nil, t, err
	}
	store, err := embedded.Open(ctx, filepath.Join(dir, "state"), embedded.Options{})
	if err != nil {
		return nil, nil, t, err
	}
	x, err := index.New(store.Documents(), t, index.Options{Vectors: index.StoredVectors, Model: model, Dimensions: dimensions})
	return store, x, t, err
}

// ingest stages, publishes and indexes all, and counts the time in which it does.
func ingest(ctx context.Context, dir string, c corpus) (map[string]float64, error) {
	if err := os.MkdirAll(filepath.Join(dir, "state"), 0o700); err != nil {
		return nil, err
	}
	store, x, t, err := open(ctx, dir)
	if err != nil {
		return nil, err
	}
	docs := store.Documents()
	var took time.Duration
	for n := range c.documents() {
		passages := c.passages(n)
		begin := time.Now()
		d := storage.Document{ID: docID(n), Passages: len(passages), EmbeddingModel: model, Updated: begin}
		if d.Version, err = docs.NextVersion(ctx, t); err != nil {
			return nil, err
		}
		if err := docs.Stage(ctx, t, d.ID, d.Version, passages); err != nil {
			return nil, err
		}
		if _, err := docs.Publish(ctx, t, d); err != nil {
			return nil, err
		}
		if err := x.CatchUp(ctx); err != nil {
			return nil, err
		}
		took += time.Since(begin)
	}
	if err := store.Close(ctx); err != nil {
		return nil, err
	}
	return map[string]float64{"chunks_per_s": float64(c.chunks) / took.Seconds()}, nil
}

// search opens what ingest left and asks the queries, one after the other on one core.
func search(ctx context.Context, dir string, c corpus) (map[string]float64, error) {
	var exact [][]int
	text, err := os.ReadFile(filepath.Join(dir, "truth.json"))
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &exact); err != nil {
		return nil, err
	}
	begin := time.Now()
	store, x, _, err := open(ctx, dir)
	if err != nil {
		return nil, err
	}
	if err := x.CatchUp(ctx); err != nil {
		return nil, err
	}
	out := map[string]float64{"ready_s": time.Since(begin).Seconds()}
	if p := x.Progress(); p.Passages != c.chunks || p.WithVector != c.chunks {
		return nil, fmt.Errorf("%d passages and %d vectors of %d are there", p.Passages, p.WithVector, c.chunks)
	}
	runtime.GOMAXPROCS(1)
	for _, m := range []struct {
		name string
		mode index.Mode
	}{{"hybrid", index.Hybrid}, {"vector", index.ByVector}, {"words", index.ByWords}} {
		times, found, err := ask(ctx, x, c, m.mode, exact)
		if err != nil {
			return nil, err
		}
		out[m.name+"_p50_ms"], out[m.name+"_p99_ms"] = ms(times[len(times)/2]), ms(times[len(times)*99/100])
		out[m.name+"_recall"] = float64(found) / float64(queries*nearest)
	}
	out["index_mib"] = float64(x.Progress().Bytes) / (1 << 20)
	if out["rss_mib"], err = status("VmRSS:"); err != nil {
		return nil, err
	}
	if out["peak_rss_mib"], err = status("VmHWM:"); err != nil {
		return nil, err
	}
	return out, store.Close(ctx)
}

// ask gives the time of each query, sorted, and how many of the nearest were found.
func ask(ctx context.Context, x *index.Index, c corpus, mode index.Mode, exact [][]int) (times []time.Duration, found int, err error) {
	for i := range queries {
		q := index.Query{Mode: mode, K: nearest}
		q.Text, q.Vector = c.query(i)
		begin := time.Now()
		hits, err := x.Search(ctx, q)
		times = append(times, time.Since(begin))
		if err != nil || len(hits) != nearest {
			return nil, 0, errors.Join(err, fmt.Errorf("%d hits for query %d", len(hits), i))
		}
		for _, h := range hits {
			n, err := number(h.PassageKey)
			if err != nil {
				return nil, 0, err
			}
			if slices.Contains(exact[i], n) {
				found++
			}
		}
	}
	slices.Sort(times)
	return times, found, nil
}

// status of this process's memory, in MiB.
func status(field string) (float64, error) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == field {
			kib, err := strconv.ParseFloat(f[1], 64)
			return kib / 1024, err
		}
	}
	return 0, fmt.Errorf("/proc/self/status tells no %s", field)
}
