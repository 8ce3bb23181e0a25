package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/embedded"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// conns is how many connections unary load comes over.
const conns = 64

// unary measures what one unary chat costs, in turns with the floor.
func (b *bench) unary(ctx context.Context) error {
	return withServers(func(tb testing.TB) error { return b.turns(ctx, tb) })
}

func (b *bench) turns(ctx context.Context, tb testing.TB) error {
	model, err := start(ctx, b.model)
	if err != nil {
		return err
	}
	defer func() { _ = model.stop(time.Second) }()
	floor, err := start(ctx, b.floor, "-upstream", "http://"+model.addr)
	if err != nil {
		return err
	}
	defer func() { _ = floor.stop(time.Second) }()
	memory, _, err := b.serve(ctx, model.addr, inMemory)
	if err != nil {
		return err
	}
	defer func() { _ = memory.stop(10 * time.Second) }()
	disk, _, err := b.serve(ctx, model.addr, onDisk(""))
	if err != nil {
		return err
	}
	defer func() { _ = disk.stop(10 * time.Second) }()
	redis, url := redisServer(tb)
	shared, _, err := b.serve(ctx, model.addr, onServer(tenantconfig.StateValkey, url))
	if err != nil {
		return err
	}
	defer func() { _ = shared.stop(10 * time.Second) }()

	servers := []struct {
		name string
		p    *process
		t    target
	}{
		{"floor", floor, chats(floor.addr, false, conns)},
		{"memory", memory, chats(memory.addr, false, conns)},
		{"disk", disk, chats(disk.addr, false, conns)},
		{"Valkey", shared, chats(shared.addr, false, conns)},
	}
	cost, rate := map[string][]float64{}, map[string][]float64{}
	var beside []float64
	for round := range b.rounds + 1 {
		for _, s := range servers {
			before := redisCPU(tb, redis)
			perCall, perSecond, err := measure(s.t, s.p, b.length)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			if round == 0 {
				continue // Connections and caches are cold.
			}
			cost[s.name], rate[s.name] = append(cost[s.name], perCall), append(rate[s.name], perSecond)
			if s.p == shared {
				beside = append(beside, float64((redisCPU(tb, redis)-before).Microseconds())/(perSecond*b.length.Seconds()))
			}
		}
	}
	for _, s := range servers {
		b.Note("unary, %d connections, %s: %.1f µs CPU per chat, %.0f chats/s (medians of %d rounds of %s)",
			conns, s.name, median(cost[s.name]), median(rate[s.name]), b.rounds, b.length)
	}
	b.Note("unary, %d connections, Valkey: redis-server itself takes %.1f µs CPU per chat beside that", conns, median(beside))
	b.Set("chat_unary_cpu_over_floor", ratio(cost["memory"], cost["floor"]))
	b.Set("chat_unary_cpu_over_floor_durable", ratio(cost["disk"], cost["floor"]))
	b.Set("chat_valkey_cpu_over_floor", ratio(cost["Valkey"], cost["floor"]))
	b.Set("chat_rps64_over_floor", ratio(rate["memory"], rate["floor"]))
	return nil
}

// measure returns microseconds of server CPU per call and calls per second.
func measure(t target, p *process, length time.Duration) (perCall, perSecond float64, err error) {
	before, err := p.cpu()
	if err != nil {
		return 0, 0, err
	}
	l, err := hammer(t, conns, length)
	if err != nil {
		return 0, 0, err
	}
	after, err := p.cpu()
	if err != nil {
		return 0, 0, err
	}
	if l.failed > 0 || l.ok == 0 {
		return 0, 0, fmt.Errorf("%d of %d calls failed: %s", l.failed, l.failed+l.ok, p.stderr)
	}
	return float64((after - before).Microseconds()) / float64(l.ok), float64(l.ok) / l.took.Seconds(), nil
}

// ratio is the median of the rounds' ratios: what slowed a round down slowed both
// its halves.
func ratio(of, over []float64) float64 {
	ratios := make([]float64, len(of))
	for i := range of {
		ratios[i] = of[i] / over[i]
	}
	return median(ratios)
}

// streams measures time to first token and 1,000 streams at once.
func (b *bench) streams(ctx context.Context) error {
	if err := b.firstToken(ctx); err != nil {
		return err
	}
	return b.thousand(ctx)
}

func (b *bench) pair(ctx context.Context, modelArgs ...string) (floor, memory *process, end func(), err error) {
	model, err := start(ctx, b.model, modelArgs...)
	if err != nil {
		return nil, nil, nil, err
	}
	floor, err = start(ctx, b.floor, "-upstream", "http://"+model.addr)
	if err != nil {
		return nil, nil, nil, errors.Join(err, model.stop(time.Second))
	}
	memory, _, err = b.serve(ctx, model.addr, inMemory)
	if err != nil {
		return nil, nil, nil, errors.Join(err, model.stop(time.Second), floor.stop(time.Second))
	}
	return floor, memory, func() {
		_ = memory.stop(10 * time.Second)
		_ = floor.stop(time.Second)
		_ = model.stop(time.Second)
	}, nil
}

func (b *bench) firstToken(ctx context.Context) error {
	floor, memory, end, err := b.pair(ctx, "-tokens", "20", "-pace", "20ms")
	if err != nil {
		return err
	}
	defer end()
	const n, tokens = 8, 20
	targets := map[*process]target{floor: chats(floor.addr, true, n), memory: chats(memory.addr, true, n)}
	first := map[*process][]time.Duration{}
	for range 4 * b.rounds {
		for _, p := range []*process{floor, memory} {
			s := openStreams(targets[p], n, tokens, 0, p)
			if s.cut > 0 {
				return fmt.Errorf("%d of %d streams were cut: %s", s.cut, n, p.stderr)
			}
			first[p] = append(first[p], s.first...)
		}
	}
	added := median(first[memory]) - median(first[floor])
	b.Set("stream_ttft_added_over_floor_ms", float64(added.Microseconds())/1000)
	b.Note("time to first token, %d streams, %d each: floor %s, runtime %s (medians)", n, len(first[floor]), median(first[floor]), median(first[memory]))
	return nil
}

func (b *bench) thousand(ctx context.Context) error {
	const n, tokens = 1000, 50
	floor, memory, end, err := b.pair(ctx, "-tokens", fmt.Sprint(tokens), "-pace", "100ms")
	if err != nil {
		return err
	}
	defer end()
	targets := map[*process]target{floor: chats(floor.addr, true, n), memory: chats(memory.addr, true, n)}
	cut, peak := 0, 0.0
	cost := map[*process][]float64{}
	for range 3 {
		for _, p := range []*process{floor, memory} {
			before, err := p.cpu()
			if err != nil {
				return err
			}
			s := openStreams(targets[p], n, tokens, time.Millisecond, p)
			after, err := p.cpu()
			if err != nil {
				return err
			}
			cost[p] = append(cost[p], float64((after-before).Microseconds())/math.Max(1, float64(s.tokens)))
			if p == memory {
				cut, peak = cut+s.cut, math.Max(peak, s.peak)
			} else if s.cut > 0 {
				b.Note("the floor cut %d of %d streams", s.cut, n)
			}
		}
	}
	b.Set("streams1000_cut", float64(cut))
	b.Set("streams1000_rss_mib", peak)
	b.Set("stream_cpu_per_token_over_floor", ratio(cost[memory], cost[floor]))
	b.Note("1,000 streams: floor %.1f µs, runtime %.1f µs CPU per token; %.0f MiB resident at most (medians of 3)", median(cost[floor]), median(cost[memory]), peak)
	return nil
}

// usage loads a runtime whose state is on disk, ends it by SIGTERM in the middle,
// and compares what the upstream gave with what the store knows.
func (b *bench) usage(ctx context.Context) error {
	model, err := start(ctx, b.model)
	if err != nil {
		return err
	}
	defer func() { _ = model.stop(time.Second) }()
	dir, err := os.MkdirTemp(b.dir, "usage-")
	if err != nil {
		return err
	}
	p, _, err := b.serve(ctx, model.addr, onDisk(dir))
	if err != nil {
		return err
	}
	stopped := make(chan error, 1)
	go func() {
		time.Sleep(b.length)
		stopped <- p.stop(time.Minute)
	}()
	// Requests that come after the end fail; those before must all be known.
	sent, _ := hammer(chats(p.addr, false, conns), conns, b.length+10*time.Second)
	if err := <-stopped; err != nil {
		return err
	}
	gave, err := ledger(ctx, model.addr)
	if err != nil {
		return err
	}
	known, err := recorded(ctx, dir)
	if err != nil {
		return err
	}
	lost := math.Abs(float64(gave.Calls-known.Calls)) + math.Abs(float64(gave.TokensIn+gave.TokensOut-known.TokensIn-known.TokensOut))
	b.Set("usage_lost", lost)
	b.Note("full load and SIGTERM: %d answers received, upstream gave %d calls and %d tokens, store knows %d and %d",
		sent.ok, gave.Calls, gave.TokensIn+gave.TokensOut, known.Calls, known.TokensIn+known.TokensOut)
	return nil
}

// recorded reads the usage that a stopped runtime left on disk.
func recorded(ctx context.Context, dir string) (given, error) {
	var g given
	store, err := embedded.Open(ctx, dir, embedded.Options{})
	if err != nil {
		return g, err
	}
	defer func() { _ = store.Close(ctx) }()
	id, err := tenancy.NewID("bench", benchIdentity)
	if err != nil {
		return g, err
	}
	now := time.Now()
	buckets, err := store.Usage().Sum(ctx, id, now.Add(-24*time.Hour), now.Add(time.Hour))
	for _, u := range buckets {
		g.Calls, g.TokensIn, g.TokensOut = g.Calls+u.Calls, g.TokensIn+u.TokensIn, g.TokensOut+u.TokensOut
	}
	return g, err
}
