package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/embedded"
)

const benchDimensions = 768

// benchPassages are as chunks are: about 970 bytes of text and a vector.
func benchPassages(from, n int) []storage.Passage {
	r := rand.New(rand.NewPCG(uint64(from), 1))
	all := make([]storage.Passage, n)
	for i := range all {
		v := make([]float32, benchDimensions)
		for j := range v {
			v[j] = float32(r.NormFloat64())
		}
		all[i] = storage.Passage{N: from + i, Text: strings.Repeat(fmt.Sprintf("word%d ", r.IntN(1000)), 120), Headings: []string{"A heading", "Another"}, Vector: v}
	}
	return all
}

// BenchmarkDocuments ingests 100,000 chunks, with sessions written beside it, reads them
// all as a restart does, looks rows up as rescoring does, and removes them.
func BenchmarkDocuments(b *testing.B) {
	const chunks, each = 100_000, 1000
	ctx, dir := b.Context(), b.TempDir()
	s := open(b, dir, embedded.Options{})
	version, err := s.Documents().NextVersion(ctx, acme())
	if err != nil {
		b.Fatal(err)
	}
	made := benchPassages(0, each)
	for b.Loop() {
		beside, stop := context.WithCancel(ctx)
		slowest := make(chan []time.Duration)
		go func() { slowest <- appendBeside(beside, b, s) }()
		var busy time.Duration
		for from := 0; from < chunks; from += each {
			for i := range made {
				made[i].N = from + i
			}
			start := time.Now()
			if err := s.Documents().Stage(ctx, acme(), "large", version, made); err != nil {
				b.Fatal(err)
			}
			busy += time.Since(start)
		}
		d := storage.Document{ID: "large", Version: version, Passages: chunks, Updated: time.Now()}
		start := time.Now()
		if _, err := s.Documents().Publish(ctx, acme(), d); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(time.Since(start).Milliseconds()), "publish-ms")
		stop()
		waits := <-slowest
		b.ReportMetric(chunks/busy.Seconds(), "ingest-chunks/s")
		report(b, "ingest", waits)
		info, err := os.Stat(filepath.Join(dir, embedded.File))
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(info.Size())/chunks, "file-B/chunk")

		start = time.Now()
		for n := 0; n < chunks; {
			page, err := s.Documents().Passages(ctx, acme(), "large", version, n, 500, true)
			if err != nil || len(page) == 0 {
				b.Fatal(len(page), err)
			}
			n += len(page)
		}
		b.ReportMetric(time.Since(start).Seconds(), "load-s")

		start = time.Now()
		const looks = 200
		for range looks {
			keys := make([]storage.PassageKey, 40)
			for i := range keys {
				keys[i] = storage.PassageKey{Doc: "large", Version: version, N: rand.IntN(chunks)}
			}
			if found, err := s.Documents().Vectors(ctx, acme(), keys); err != nil || found[39] == nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(time.Since(start).Microseconds())/looks/40, "row-µs")

		beside, stop = context.WithCancel(ctx)
		go func() { slowest <- appendBeside(beside, b, s) }()
		start = time.Now()
		if _, err := s.Documents().Remove(ctx, acme(), "large"); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(time.Since(start).Microseconds())/1000, "remove-ms")
		db := raw(b, dir)
		for left := 1; left > 0; time.Sleep(20 * time.Millisecond) {
			if err := db.QueryRowContext(ctx, `SELECT count(*) FROM dropped`).Scan(&left); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(time.Since(start).Seconds(), "swept-s")
		stop()
		report(b, "sweep", <-slowest)
		if version, err = s.Documents().NextVersion(ctx, acme()); err != nil {
			b.Fatal(err)
		}
	}
}

func report(b *testing.B, what string, waits []time.Duration) {
	slices.Sort(waits)
	b.ReportMetric(float64(waits[len(waits)/2].Microseconds())/1000, what+"-append-p50-ms")
	b.ReportMetric(float64(waits[len(waits)*99/100].Microseconds())/1000, what+"-append-p99-ms")
	b.ReportMetric(float64(waits[len(waits)-1].Microseconds())/1000, what+"-append-max-ms")
}

// appendBeside chats until ctx ends and tells how long each append took.
func appendBeside(ctx context.Context, b *testing.B, s *embedded.Store) (waits []time.Duration) {
	pause := time.NewTicker(5 * time.Millisecond)
	defer pause.Stop()
	for i := 0; ; i++ {
		start := time.Now()
		err := s.Sessions().Append(ctx, acme(), owner, session(i%10), []storage.Message{{Role: storage.RoleUser, Content: "hello", At: start}}, storage.Keep{MaxMessages: 100})
		if errors.Is(err, context.Canceled) {
			return waits
		}
		if err != nil {
			b.Error(err)
			return waits
		}
		waits = append(waits, time.Since(start))
		select {
		case <-ctx.Done():
			return waits
		case <-pause.C:
		}
	}
}
