package valkey_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/crispy-enigma/crispy-enigma/hack/servers"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/valkey"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// proxy stands between the driver and a server.
type proxy struct {
	*toxiproxy.Proxy
	t *testing.T
}

func newProxy(t *testing.T, r *servers.RedisServer) *proxy {
	t.Helper()
	p := toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop()), "redis", "127.0.0.1:0", r.Addr)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return &proxy{p, t}
}

func (p *proxy) url(user string) string {
	return fmt.Sprintf("redis://%s:%s@%s", user, password, p.Listen)
}

// add makes the way in the given direction toxic.
func (p *proxy) add(direction, kind string, attributes map[string]int) {
	p.t.Helper()
	b, err := json.Marshal(map[string]any{"name": direction + kind, "stream": direction, "type": kind, "attributes": attributes})
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.Toxics.AddToxicJson(bytes.NewReader(b)); err != nil {
		p.t.Fatal(err)
	}
}

// restart opens the way that Stop has cut. What another test dials with may have taken the
// port meanwhile.
func (p *proxy) restart() {
	p.t.Helper()
	err := p.Start()
	for begin := time.Now(); err != nil && time.Since(begin) < 5*time.Second; err = p.Start() {
		time.Sleep(time.Millisecond)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *proxy) heal() { p.Toxics.ResetToxics(context.Background()) }

// asked is a call that reads, and tells how long it took.
func asked(s storage.Store, id tenancy.ID) (time.Duration, error) {
	begin := time.Now()
	_, _, err := s.Budgets().Spent(context.Background(), id, []string{"day"})
	return time.Since(begin), err
}

// TestFaultsOfTheWay: whatever happens to the connection, calls fail as unavailable and
// soon, and work again within a second of its end.
func TestFaultsOfTheWay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		begin  func(p *proxy)
		end    func(p *proxy)
		reason string
	}{
		{"cut", func(p *proxy) { p.Stop() }, (*proxy).restart, valkey.ReasonUnreachable},
		{"reset", func(p *proxy) { p.add("downstream", "reset_peer", nil) }, (*proxy).heal, valkey.ReasonUnreachable},
		{"half open", func(p *proxy) { p.add("downstream", "timeout", map[string]int{"timeout": 0}) }, (*proxy).heal, valkey.ReasonTimeout},
		{"nothing arrives", func(p *proxy) { p.add("upstream", "timeout", map[string]int{"timeout": 0}) }, (*proxy).heal, valkey.ReasonTimeout},
		{"slow", func(p *proxy) { p.add("downstream", "latency", map[string]int{"latency": 1300}) }, (*proxy).heal, valkey.ReasonTimeout},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r, id := servers.Redis(t, servers.RedisOptions{}), tenant(t, "owner/acme")
			p := newProxy(t, r)
			s := open(t, valkey.Options{URL: p.url(login(t, r, id))})
			if _, err := asked(s, id); err != nil {
				t.Fatal(err)
			}
			c.begin(p)
			var err error
			for range 3 {
				var took time.Duration
				if took, err = asked(s, id); took > 1500*time.Millisecond {
					t.Errorf("a call took %v", took)
				}
			}
			if !errors.Is(err, storage.ErrUnavailable) {
				t.Errorf("got %v", err)
			}
			if h := s.Health(); h.OK || h.Reason != c.reason && h.Reason != valkey.ReasonUnreachable {
				t.Errorf("health: %+v, want %s", h, c.reason)
			}
			c.end(p)
			took := soon(t, "calls to work", time.Second, func() bool { _, err := asked(s, id); return err == nil })
			t.Logf("worked again after %v", took)
			if h := s.Health(); !h.OK {
				t.Errorf("health: %+v", h)
			}
		})
	}
}

// TestLatencyIsNoFault: a slow server is a slow server.
func TestLatencyIsNoFault(t *testing.T) {
	t.Parallel()
	r, id := servers.Redis(t, servers.RedisOptions{}), tenant(t, "owner/acme")
	p := newProxy(t, r)
	s := open(t, valkey.Options{URL: p.url(login(t, r, id))})
	p.add("downstream", "latency", map[string]int{"latency": 100})
	if took, err := asked(s, id); err != nil || took < 100*time.Millisecond {
		t.Errorf("took %v, %v", took, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	begin := time.Now()
	_, _, err := s.Budgets().Spent(ctx, id, []string{"day"})
	if took := time.Since(begin); !errors.Is(err, context.DeadlineExceeded) || took > 90*time.Millisecond {
		t.Errorf("an ended context: %v after %v", err, took)
	}
	if h := s.Health(); !h.OK {
		t.Errorf("a caller that went away makes the store ill: %+v", h)
	}
}

// TestTheServerIsAwayAtTheStart, comes, goes and comes again.
func TestTheServerIsAwayAtTheStart(t *testing.T) {
	t.Parallel()
	r, id := servers.Redis(t, servers.RedisOptions{}), tenant(t, "owner/acme")
	user := login(t, r, id)
	r.Stop()
	begin := time.Now()
	s := open(t, valkey.Options{URL: r.URL(user, password)})
	if took := time.Since(begin); took > time.Second {
		t.Errorf("Open took %v", took)
	}
	if h := s.Health(); h.OK || h.Reason != valkey.ReasonUnreachable {
		t.Errorf("health: %+v", h)
	}
	for range 2 {
		if err := everything(t.Context(), s, id); !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("while it is away: %v", err)
		}
		r.Start(t)
		login(t, r, id) // it forgets its logins
		took := soon(t, "calls to work", time.Second, func() bool { return everything(t.Context(), s, id) == nil })
		t.Logf("worked again after %v", took)
		r.Stop()
	}
}

// TestHealthHealsByItself: without a call, it tells that the server is back.
func TestHealthHealsByItself(t *testing.T) {
	t.Parallel()
	r, id := servers.Redis(t, servers.RedisOptions{}), tenant(t, "owner/acme")
	p := newProxy(t, r)
	s := open(t, valkey.Options{URL: p.url(login(t, r, id))})
	p.Stop()
	if _, err := asked(s, id); !errors.Is(err, storage.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	p.restart()
	soon(t, "health", time.Second, func() bool { return s.Health().OK })
}

// TestWhatTheServerSaysIsToldApart: errors that its operator can heal, by their reason.
func TestWhatTheServerSaysIsToldApart(t *testing.T) {
	t.Parallel()
	r, id := servers.Redis(t, servers.RedisOptions{}), tenant(t, "owner/acme")
	user := login(t, r, id)
	s := open(t, valkey.Options{URL: r.URL(user, password)})
	away := servers.Redis(t, servers.RedisOptions{})
	away.Stop()
	want := func(reason string) {
		t.Helper()
		err := s.Sessions().Append(t.Context(), id, storage.Owner{Caller: "x"}, "s", []storage.Message{{Role: storage.RoleUser, Content: "c4nary", At: time.Now()}}, storage.Keep{})
		if reason != "" && !errors.Is(err, storage.ErrUnavailable) || reason == "" && err != nil {
			t.Errorf("%s: got %v", reason, err)
		}
		// A script that may send some of its commands may have sent those.
		if told := errors.Is(err, storage.ErrNotDone); reason != "" && told == (reason == valkey.ReasonUnauthorized) {
			t.Errorf("%s: not done: %v", reason, told)
		}
		if h := s.Health(); h.Reason != reason {
			t.Errorf("health: %+v, want %q", h, reason)
		}
	}
	want("")
	r.Do(t, "CONFIG", "SET", "maxmemory", "1")
	want(valkey.ReasonOutOfMemory)
	r.Do(t, "CONFIG", "SET", "maxmemory", "0")
	want("")
	_, port, err := net.SplitHostPort(away.Addr)
	if err != nil {
		t.Fatal(err)
	}
	r.Do(t, "REPLICAOF", "127.0.0.1", port)
	want(valkey.ReasonReadOnly)
	r.Do(t, "REPLICAOF", "NO", "ONE")
	want("")
	r.Do(t, "ACL", "SETUSER", user, "-rpush")
	want(valkey.ReasonUnauthorized)
	r.Do(t, "ACL", "SETUSER", user, "+rpush")
	want("")
	r.Do(t, "SCRIPT", "FLUSH")
	want("")
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	want(valkey.ReasonClosed)
}

// TestACallIsDoneOnceOrNotAtAll: takes through a way that is cut again and again. The
// server counts no more than were sent, and no less than were acknowledged.
func TestACallIsDoneOnceOrNotAtAll(t *testing.T) {
	t.Parallel()
	const callers = 8
	r, id := servers.Redis(t, servers.RedisOptions{}), tenant(t, "owner/acme")
	user := login(t, r, id)
	p := newProxy(t, r)
	s, direct := open(t, valkey.Options{URL: p.url(user)}), open(t, valkey.Options{URL: r.URL(user, password)})
	limits := []storage.Limit{{Name: "day", Until: time.Now().Add(time.Hour)}}
	var sent, acknowledged atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var workers sync.WaitGroup
	for range callers {
		workers.Go(func() {
			for ctx.Err() == nil {
				sent.Add(1)
				if _, err := s.Budgets().Reserve(context.Background(), id, limits, []int64{1}); err == nil {
					acknowledged.Add(1)
				} else if !errors.Is(err, storage.ErrUnavailable) {
					t.Errorf("got %v", err)
				}
			}
		})
	}
	for range 20 {
		before := acknowledged.Load()
		soon(t, "calls to go through", 2*time.Second, func() bool { return acknowledged.Load() > before+50 })
		p.Stop()
		p.restart()
	}
	cancel()
	workers.Wait()
	_, reserved, err := direct.Budgets().Spent(t.Context(), id, []string{"day"})
	if err != nil {
		t.Fatal(err)
	}
	if n := reserved[0]; n < acknowledged.Load() || n > sent.Load() {
		t.Errorf("%d are reserved; %d were acknowledged and %d sent", n, acknowledged.Load(), sent.Load())
	}
	if sent.Load() == acknowledged.Load() {
		t.Error("no call met a fault: the test shows nothing")
	}
	t.Logf("%d sent, %d done, %d acknowledged", sent.Load(), reserved[0], acknowledged.Load())
}
