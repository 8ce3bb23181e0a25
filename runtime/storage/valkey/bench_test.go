package valkey_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	valkeygo "github.com/valkey-io/valkey-go"

	"github.com/crispy-enigma/crispy-enigma/hack/servers"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/storagetest"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/valkey"
)

func benchStore(b *testing.B) (*servers.RedisServer, *valkey.Store) {
	b.Helper()
	r := servers.Redis(b, servers.RedisOptions{})
	return r, open(b, valkey.Options{URL: r.URL(allTenants(b, r), password)})
}

func BenchmarkChat(b *testing.B) {
	_, s := benchStore(b)
	storagetest.BenchmarkChat(b, s)
}

// turn is how many calls are measured together.
const turn = 20_000

// parallel runs n calls over some goroutines and returns how many were made a second.
func parallel(b *testing.B, workers, n int, call func(worker, i int) error) float64 {
	b.Helper()
	var next atomic.Int64
	var running sync.WaitGroup
	begin := time.Now()
	for w := range workers {
		running.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				if err := call(w, int(i)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	running.Wait()
	return float64(n) / time.Since(begin).Seconds()
}

// BenchmarkTakeOverSet compares decisions of the limiter with a plain SET of 600 bytes
// through the same client, in turns: of callers that are within their limit, and of some
// that are far beyond it.
func BenchmarkTakeOverSet(b *testing.B) {
	r, s := benchStore(b)
	plain, err := valkeygo.NewClient(valkeygo.ClientOption{
		InitAddress: []string{r.Addr}, Username: "default", Password: servers.RedisAdmin, DisableCache: true, ForceSingleClient: true,
	})
	if err != nil {
		b.Fatal(err)
	}
	defer plain.Close()
	const keys = 10_000
	ctx, id, value := context.Background(), tenant(b, "bench/acme"), strings.Repeat("x", 600)
	set := func(_, i int) error {
		return plain.Do(ctx, plain.B().Set().Key("set:"+strconv.Itoa(i%keys)).Value(value).Build()).Error()
	}
	take := func(callers string, keys int, windows ...storage.Window) func(int, int) error {
		return func(_, i int) error {
			_, err := s.Windows().Take(ctx, id, callers+strconv.Itoa(i%keys), windows, time.Now())
			return err
		}
	}
	long, burst := storage.Window{Name: "long", Limit: 60, Length: time.Minute}, storage.Window{Name: "burst", Limit: 10, Length: time.Second}
	busy := storage.Window{Name: "busy", Limit: 1 << 20, Length: time.Minute}
	calls := []struct {
		name string
		call func(int, int) error
	}{
		{"set", set}, {"take", take("a", keys, long)}, {"take2", take("b", keys, long, burst)},
		{"refused", take("c", 100, long)}, {"busy", take("d", 1000, busy)},
	}
	rates, client, server := make([][]float64, len(calls)), make([]time.Duration, len(calls)), make([]time.Duration, len(calls))
	turns := 0
	for ; turns*turn < b.N; turns++ {
		for i, c := range calls {
			beforeClient, beforeServer := cpuTime(b), serverCPU(b, r)
			rates[i] = append(rates[i], parallel(b, 64, turn, c.call))
			client[i] += cpuTime(b) - beforeClient
			server[i] += serverCPU(b, r) - beforeServer
		}
	}
	// On a machine with other work the processors' time is steadier than the rates.
	for i, c := range calls {
		slices.Sort(rates[i])
		b.ReportMetric(rates[i][turns/2], c.name+"/s")
		b.ReportMetric(float64(client[i].Microseconds())/float64(turns*turn), "client-us/"+c.name)
		b.ReportMetric(float64(server[i].Microseconds())/float64(turns*turn), "server-us/"+c.name)
		if i > 0 {
			b.ReportMetric(rates[i][turns/2]/rates[0][turns/2], c.name+"/set")
		}
	}
	b.ReportMetric(0, "ns/op")
}

// cpuTime is the processors' time of this process, serverCPU that of the server.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func serverCPU(b *testing.B, r *servers.RedisServer) (total time.Duration) {
	b.Helper()
	m := r.Do(b, "INFO", "cpu")
	text, err := m.ToString()
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(text) {
		name, seconds, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "used_cpu_sys" || name == "used_cpu_user" {
			d, err := time.ParseDuration(seconds + "s")
			if err != nil {
				b.Fatal(err)
			}
			total += d
		}
	}
	return total
}

// BenchmarkSessions fills the server with 100,000 sessions of 20 messages and tells what
// one costs and how long it takes to read.
func BenchmarkSessions(b *testing.B) {
	const sessions, turns = 100_000, 10
	r, s := benchStore(b)
	ctx, id := context.Background(), tenant(b, "bench/acme")
	owner := func(i int) storage.Owner { return storage.Owner{Caller: "key:" + strconv.Itoa(i%100)} }
	question, answer := strings.Repeat("q", 100), strings.Repeat("a", 300)
	used := func() int {
		m := r.Do(b, "INFO", "memory")
		text, err := m.ToString()
		if err != nil {
			b.Fatal(err)
		}
		_, rest, _ := strings.Cut(text, "used_memory:")
		n, err := strconv.Atoi(strings.TrimSpace(rest[:strings.IndexByte(rest, '\n')]))
		if err != nil {
			b.Fatal(err)
		}
		return n
	}
	before, now := used(), time.Now()
	add := func(turns int) func(int, int) error {
		return func(_, i int) error {
			var msgs []storage.Message
			for j := range turns {
				at := now.Add(time.Duration(j) * time.Second)
				msgs = append(msgs, storage.Message{Role: storage.RoleUser, Content: question, At: at},
					storage.Message{Role: storage.RoleAssistant, Content: answer, At: at.Add(time.Millisecond), Tokens: 70})
			}
			return s.Sessions().Append(ctx, id, owner(i), sessionID(i), msgs, storage.Keep{MaxMessages: 50, Retention: time.Hour})
		}
	}
	parallel(b, 64, sessions, add(turns-1))
	appends := parallel(b, 64, sessions, add(1))
	cost := float64(used()-before) / sessions
	var mu sync.Mutex
	var took []time.Duration
	read := func(_, i int) error {
		n, begin := i*7919%sessions+1, time.Now()
		got, err := s.Sessions().History(ctx, id, owner(n), sessionID(n), storage.Page{Limit: 20})
		if err == nil && len(got) != 20 {
			err = fmt.Errorf("%d messages", len(got))
		}
		mu.Lock()
		took = append(took, time.Since(begin))
		mu.Unlock()
		return err
	}
	histories := parallel(b, 64, 2*turn, read)
	took = nil
	for done := 0; done < b.N; done += turn {
		parallel(b, 4, turn, read)
	}
	slices.Sort(took)
	b.ReportMetric(appends, "appends/s")
	b.ReportMetric(cost, "B/session")
	b.ReportMetric(cost-turns*400, "overhead-B/session")
	b.ReportMetric(histories, "histories/s")
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(0, "ns/op")
}

func sessionID(i int) string { return fmt.Sprintf("0193a1c2-7d3e-7abc-8def-%012d", i) }

// BenchmarkDocuments ingests 100,000 chunks of about 970 bytes and 768 dimensions, reads
// them all as a restart does, looks rows up as rescoring does, and removes them.
func BenchmarkDocuments(b *testing.B) {
	const chunks, each, dimensions = 100_000, 1000, 768
	ctx := b.Context()
	r, id := servers.Redis(b, servers.RedisOptions{}), tenant(b, "owner/acme")
	s := open(b, valkey.Options{URL: r.URL(login(b, r, id), password)})
	memory := func() float64 {
		info := r.Do(b, "INFO", "memory")
		text, err := info.ToString()
		if err != nil {
			b.Fatal(err)
		}
		_, rest, _ := strings.Cut(text, "used_memory:")
		n, err := strconv.ParseFloat(rest[:strings.IndexByte(rest, '\r')], 64)
		if err != nil {
			b.Fatal(err)
		}
		return n
	}
	made := make([]storage.Passage, each)
	for i := range made {
		made[i].Text = strings.Repeat(fmt.Sprintf("word%d ", i), 120)
		made[i].Headings = []string{"A heading", "Another"}
		made[i].Vector = make([]float32, dimensions)
		for j := range made[i].Vector {
			made[i].Vector[j] = float32(rand.NormFloat64())
		}
	}
	for b.Loop() {
		empty := memory()
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
		b.ReportMetric((memory()-empty)/chunks, "B/chunk")
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
	}
}
