package postgres_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/crispy-enigma/crispy-enigma/hack/servers"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/postgres"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/storagetest"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// benched is a store of 16 connections on a server that waits for its disk.
func benched(b *testing.B) (*postgres.Store, tenancy.ID, *database) {
	b.Helper()
	d := share(b, servers.OwnPostgres(b, "fsync = on", "full_page_writes = on", "shared_buffers = 256MB", "max_wal_size = 4GB"))
	id := newID(b, d.name)
	return d.open(b, id, func(o *postgres.Options) { o.MaxConns = 16 }), id, d
}

// at64 runs f by 64 goroutines at once and reports calls a second and the slowest of
// a hundred.
func at64(b *testing.B, f func(worker, i int) error) {
	b.Helper()
	var workers atomic.Int64
	took := make([]time.Duration, b.N+1)
	var calls atomic.Int64
	b.SetParallelism(max(1, 64/runtime.GOMAXPROCS(0)))
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		w := int(workers.Add(1))
		for i := 0; pb.Next(); i++ {
			begin := time.Now()
			if err := f(w, i); err != nil {
				b.Error(err)
				return
			}
			took[calls.Add(1)-1] = time.Since(begin)
		}
	})
	b.StopTimer()
	done := took[:calls.Load()]
	slices.Sort(done)
	if len(done) > 0 {
		b.ReportMetric(float64(len(done))/b.Elapsed().Seconds(), "calls/s")
		b.ReportMetric(float64(done[len(done)*99/100].Microseconds())/1000, "p99-ms")
	}
}

func BenchmarkSelect1(b *testing.B) {
	_, id, d := benched(b)
	login, err := d.login(b.Context(), id, "a")
	if err != nil {
		b.Fatal(err)
	}
	config, err := pgxpool.ParseConfig(login)
	if err != nil {
		b.Fatal(err)
	}
	config.MaxConns = 16
	pool, err := pgxpool.NewWithConfig(b.Context(), config)
	if err != nil {
		b.Fatal(err)
	}
	defer pool.Close()
	at64(b, func(int, int) error {
		var n int
		return pool.QueryRow(context.Background(), "SELECT 1").Scan(&n)
	})
}

// BenchmarkTake takes from two windows, as a chat does, of one key for each of 64 callers.
func BenchmarkTake(b *testing.B) {
	s, id, _ := benched(b)
	windows := []storage.Window{{Name: "long", Limit: 60, Length: time.Minute}, {Name: "burst", Limit: 10, Length: time.Second}}
	at64(b, func(w, _ int) error {
		_, err := s.Windows().Take(context.Background(), id, fmt.Sprint("key:", w), windows, time.Now())
		return err
	})
}

// BenchmarkTakeOneKey is all callers' rate of one window that is mostly granted.
func BenchmarkTakeOneKey(b *testing.B) {
	s, id, _ := benched(b)
	windows := []storage.Window{{Name: "long", Limit: 1 << 20, Length: 20 * time.Millisecond}}
	at64(b, func(int, int) error {
		_, err := s.Windows().Take(context.Background(), id, "key", windows, time.Now())
		return err
	})
}

func BenchmarkReserve(b *testing.B) {
	s, id, _ := benched(b)
	limits := []storage.Limit{{Name: "day", Until: time.Now().Add(time.Hour)}, {Name: "month", Until: time.Now().Add(time.Hour)}}
	at64(b, func(int, int) error {
		_, err := s.Budgets().Reserve(context.Background(), id, limits, []int64{1, 1})
		return err
	})
}

func BenchmarkSettle(b *testing.B) {
	s, id, _ := benched(b)
	r := storage.Reservation{Limits: []storage.Limit{{Name: "day"}, {Name: "month"}}, Amounts: []int64{1, 1}}
	at64(b, func(int, int) error { return s.Budgets().Settle(context.Background(), id, r, []int64{1, 1}) })
}

// answer is a turn of 600 bytes.
func answer() []storage.Message {
	now := time.Now()
	return []storage.Message{
		{Role: storage.RoleUser, Content: fmt.Sprintf("%0100d", 7), At: now},
		{Role: storage.RoleAssistant, Content: fmt.Sprintf("%0500d", 7), At: now.Add(time.Millisecond), Tokens: 100},
	}
}

func BenchmarkAppend(b *testing.B) {
	s, id, _ := benched(b)
	at64(b, func(w, i int) error {
		return s.Sessions().Append(context.Background(), id, owner, fmt.Sprint(w, "-", i/10), answer(), storage.Keep{MaxMessages: 50})
	})
}

// BenchmarkHistory reads the last 20 of sessions of 20 messages.
func BenchmarkHistory(b *testing.B) {
	s, id, _ := benched(b)
	const kept = 2000
	var records []storage.Record
	for i := range kept {
		r := &storage.SessionRecord{Caller: owner.Caller, ID: fmt.Sprint(i), Created: time.Now()}
		for n := range 10 {
			for _, m := range answer() {
				m.At = m.At.Add(time.Duration(n) * time.Second)
				r.Messages = append(r.Messages, m)
			}
		}
		records = append(records, storage.Record{Session: r})
	}
	for part := range slices.Chunk(records, 100) {
		if err := s.Portable().Load(b.Context(), id, part); err != nil {
			b.Fatal(err)
		}
	}
	at64(b, func(w, i int) error {
		got, err := s.Sessions().History(context.Background(), id, owner, fmt.Sprint((w*131+i*17)%kept), storage.Page{Limit: 20})
		if err == nil && len(got) != 20 {
			return fmt.Errorf("%d messages", len(got))
		}
		return err
	})
}

func BenchmarkChat(b *testing.B) {
	_, _, d := benched(b)
	d.maxConns = 16
	storagetest.BenchmarkChat(b, d.perTenant(b))
}

// BenchmarkDocuments ingests 100,000 chunks of about 970 bytes and 768 dimensions, reads
// them all as a restart does, looks rows up as rescoring does, and removes them.
func BenchmarkDocuments(b *testing.B) {
	const chunks, each, dimensions = 100_000, 1000, 768
	ctx := b.Context()
	s, id, d := benched(b)
	made := make([]storage.Passage, each)
	for i := range made {
		made[i].Text = strings.Repeat(fmt.Sprintf("word%d ", i), 120)
		made[i].Headings = []string{"A heading", "Another"}
		made[i].Vector = make([]float32, dimensions)
		for j := range made[i].Vector {
			made[i].Vector[j] = float32(rand.NormFloat64())
		}
	}
	super := connect(b, d.server.Super(d.name))
	for b.Loop() {
		version, err := s.Documents().NextVersion(ctx, id)
		if err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		for from := 0; from < chunks; from += each {
			for i := range made {
				made[i].N = from + i
			}
			if err := s.Documents().Stage(ctx, id, "large", version, made); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(chunks/time.Since(start).Seconds(), "ingest-chunks/s")
		start = time.Now()
		if _, err := s.Documents().Publish(ctx, id, storage.Document{ID: "large", Version: version, Passages: chunks, Updated: time.Now()}); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(time.Since(start).Microseconds())/1000, "publish-ms")
		b.ReportMetric(float64(count(b, super, "SELECT pg_total_relation_size('enigma.passages') + pg_total_relation_size('enigma.vectors')"))/chunks, "B/chunk")
		start = time.Now()
		for n := 0; n < chunks; {
			page, err := s.Documents().Passages(ctx, id, "large", version, n, 500, true)
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
			if found, err := s.Documents().Vectors(ctx, id, keys); err != nil || found[39] == nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(time.Since(start).Microseconds())/looks/40, "row-µs")
		start = time.Now()
		if _, err := s.Documents().Remove(ctx, id, "large"); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(time.Since(start).Microseconds())/1000, "remove-ms")
		for count(b, super, "SELECT count(*) FROM enigma.dropped") > 0 {
			time.Sleep(20 * time.Millisecond)
		}
		b.ReportMetric(time.Since(start).Seconds(), "swept-s")
	}
}
