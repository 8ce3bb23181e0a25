package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	valkeygo "github.com/valkey-io/valkey-go"

	"github.com/crispy-enigma/crispy-enigma/api/statestore"
	"github.com/crispy-enigma/crispy-enigma/hack/servers"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/valkey"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// stateKey opens the tenant's login, on servers that nobody else reaches.
const stateKey = "ce_c4nary_bench_state"

// withServers ends the servers that f starts.
func withServers(f func(tb testing.TB) error) error {
	k := &servers.Keeper{}
	defer k.End()
	var err error
	failed := k.Try(func() { err = f(k) })
	return errors.Join(failed, err)
}

// redisServer starts a server and returns the URL of the login that the operator would
// give the tenant.
func redisServer(tb testing.TB) (*servers.RedisServer, string) {
	r, tag := servers.Redis(tb, servers.RedisOptions{}), statestore.Tag(benchIdentity)
	r.SetUser(tb, statestore.ACLUser(tag), stateKey, statestore.ACLRules(tag))
	return r, r.URL(statestore.ACLUser(tag), stateKey)
}

// told is a number that a server tells under a name.
func told(tb testing.TB, r *servers.RedisServer, section, name string) float64 {
	info := r.Do(tb, "INFO", section)
	text, err := info.ToString()
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			if err != nil {
				tb.Fatal(err)
			}
			return n
		}
	}
	tb.Fatalf("the server tells no %s", name)
	return 0
}

// redisCPU is the processors' time that a server has used.
func redisCPU(tb testing.TB, r *servers.RedisServer) time.Duration {
	return time.Duration((told(tb, r, "cpu", "used_cpu_user") + told(tb, r, "cpu", "used_cpu_sys")) * float64(time.Second))
}

// shared measures the drivers of state that many replicas share.
func (b *bench) shared(ctx context.Context) error {
	id, err := tenancy.NewID("bench", benchIdentity)
	if err != nil {
		return err
	}
	for _, measure := range []func(context.Context, testing.TB, tenancy.ID) error{b.decisions, b.histories, b.postgres} {
		if err := withServers(func(tb testing.TB) error { return measure(ctx, tb, id) }); err != nil {
			return err
		}
	}
	return nil
}

// many makes n calls, width at once, and returns how many it made a second.
func many(width, n int, call func(i int) error) (float64, error) {
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, width)
	begin := time.Now()
	for w := range width {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(n) && errs[w] == nil; i = next.Add(1) {
				errs[w] = call(int(i))
			}
		})
	}
	wg.Wait()
	return float64(n) / time.Since(begin).Seconds(), errors.Join(errs...)
}

// A default tenant has the first window alone. The limits let the same takes in.
var (
	longWindow  = storage.Window{Name: "long", Limit: 60, Length: time.Minute}
	burstWindow = storage.Window{Name: "burst", Limit: 60, Length: 10 * time.Second}
)

// takes are decisions about callers who take turns; granted counts those let in.
func takes(ctx context.Context, s storage.Store, id tenancy.ID, caller string, callers int, granted *atomic.Int64, windows ...storage.Window) func(int) error {
	return func(i int) error {
		t, err := s.Windows().Take(ctx, id, caller+strconv.Itoa(i%callers), windows, time.Now())
		if t.OK {
			granted.Add(1)
		}
		return err
	}
}

// decisions compares decisions of the limiter with a plain SET through the same client, in
// turns.
func (b *bench) decisions(ctx context.Context, tb testing.TB, id tenancy.ID) error {
	const turn = 60_000
	r, url := redisServer(tb)
	store, err := valkey.Open(ctx, valkey.Options{URL: url})
	if err != nil {
		return err
	}
	defer func() { _ = store.Close(ctx) }()
	plain, err := valkeygo.NewClient(valkeygo.ClientOption{
		InitAddress: []string{r.Addr}, Password: servers.RedisAdmin, ForceSingleClient: true,
		DisableCache: true, DisableRetry: true, AlwaysPipelining: true,
		ReadBufferEachConn: 64 << 10, WriteBufferEachConn: 64 << 10, ClientSetInfo: valkeygo.DisableClientSetInfo,
	})
	if err != nil {
		return err
	}
	defer plain.Close()
	value := strings.Repeat("x", 600)
	// Each caller comes so often in the whole run that it stays within its limit.
	callers := turn * (b.rounds + 1) / (longWindow.Limit - 10)
	var granted, granted2, refused atomic.Int64
	calls := []struct {
		name, what string
		call       func(int) error
	}{
		{"set", "SET of 600 bytes", func(i int) error {
			return plain.Do(ctx, plain.B().Set().Key("set:"+strconv.Itoa(i%callers)).Value(value).Build()).Error()
		}},
		{"take", "decisions by one window, granted", takes(ctx, store, id, "a", callers, &granted, longWindow)},
		{"take2", "decisions by two windows, granted", takes(ctx, store, id, "b", callers, &granted2, longWindow, burstWindow)},
		{"refused", "decisions by one window, mostly refused", takes(ctx, store, id, "c", 100, &refused, longWindow)},
	}
	rate, cost, served := map[string][]float64{}, map[string][]float64{}, map[string][]float64{}
	for round := range b.rounds + 1 {
		for _, c := range calls {
			before, serverBefore := ownCPU(), redisCPU(tb, r)
			perSecond, err := many(conns, turn, c.call)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			client, server := ownCPU()-before, redisCPU(tb, r)-serverBefore
			if round == 0 {
				continue // Connections and scripts are cold.
			}
			rate[c.name] = append(rate[c.name], perSecond)
			cost[c.name] = append(cost[c.name], float64(client.Microseconds())/turn)
			served[c.name] = append(served[c.name], float64(server.Microseconds())/turn)
		}
	}
	if all := int64(turn * (b.rounds + 1)); granted.Load() != all || granted2.Load() != all || refused.Load() > all/10 {
		return fmt.Errorf("of %d decisions each, %d and %d were granted where all should be, and %d where few should", all, granted.Load(), granted2.Load(), refused.Load())
	}
	for _, c := range calls {
		b.Note("Valkey, %s: %.0f/s, %.1f µs CPU of the client and %.1f µs of the server each (medians of %d turns of %d, %d at once); %.2f of SET",
			c.what, median(rate[c.name]), median(cost[c.name]), median(served[c.name]), b.rounds, turn, conns, ratio(rate[c.name], rate["set"]))
	}
	b.Set("limit_decisions_over_set", ratio(rate["take"], rate["set"]))
	return nil
}

// sessionOf names sessions of 100 callers.
func sessionOf(i int) (storage.Owner, string) {
	return storage.Owner{Caller: "key:" + strconv.Itoa(i%100)}, fmt.Sprintf("6b1f8f0e-0000-4000-8000-%012d", i)
}

// chatted are n messages, questions of 100 bytes and answers of 300.
func chatted(n int, at time.Time) []storage.Message {
	question, answer := strings.Repeat("q", 100), strings.Repeat("a", 300)
	var msgs []storage.Message
	for len(msgs) < n {
		at = at.Add(time.Second)
		msgs = append(msgs, storage.Message{Role: storage.RoleUser, Content: question, At: at},
			storage.Message{Role: storage.RoleAssistant, Content: answer, At: at.Add(time.Millisecond), Tokens: 70})
	}
	return msgs
}

// histories fills a server with 100,000 sessions of 20 messages and reads them, each call
// in its own time.
func (b *bench) histories(ctx context.Context, tb testing.TB, id tenancy.ID) error {
	const sessions, messages, reads, readers = 100_000, 20, 60_000, 8
	r, url := redisServer(tb)
	store, err := valkey.Open(ctx, valkey.Options{URL: url})
	if err != nil {
		return err
	}
	defer func() { _ = store.Close(ctx) }()
	before, now := told(tb, r, "memory", "used_memory"), time.Now()
	appended := func(n int) func(int) error {
		return func(i int) error {
			owner, session := sessionOf(i)
			return store.Sessions().Append(ctx, id, owner, session, chatted(n, now), storage.Keep{MaxMessages: 50, Retention: time.Hour})
		}
	}
	if _, err := many(conns, sessions, appended(messages-2)); err != nil {
		return err
	}
	appends, err := many(conns, sessions, appended(2))
	if err != nil {
		return err
	}
	memory := (told(tb, r, "memory", "used_memory") - before) / sessions
	took := make([]time.Duration, reads)
	clientBefore, serverBefore := ownCPU(), redisCPU(tb, r)
	rate, err := many(readers, reads, func(i int) error {
		owner, session := sessionOf(i*7919%sessions + 1)
		begin := time.Now()
		got, err := store.Sessions().History(ctx, id, owner, session, storage.Page{Limit: messages})
		took[i-1] = time.Since(begin)
		if err == nil && len(got) != messages {
			err = fmt.Errorf("session %s has %d messages, not %d", session, len(got), messages)
		}
		return err
	})
	if err != nil {
		return err
	}
	client, server := ownCPU()-clientBefore, redisCPU(tb, r)-serverBefore
	slices.Sort(took)
	p99 := took[reads*99/100]
	b.Set("history_p99_ms", float64(p99.Microseconds())/1000)
	b.Note("Valkey, %d sessions of %d messages: %.1f KiB memory a session (of which 4,000 bytes text), %.0f appends of 2 messages/s (%d at once)",
		sessions, messages, memory/1024, appends, conns)
	b.Note("Valkey, history of %d messages: median %s, p99 %s, %.0f/s (%d at once), %.1f µs CPU of the client and %.1f µs of the server each",
		messages, took[reads/2], p99, rate, readers, float64(client.Microseconds())/reads, float64(server.Microseconds())/reads)
	return nil
}
