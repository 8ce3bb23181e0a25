package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/crispy-enigma/crispy-enigma/api/statestore"
	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/hack/servers"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
)

const loginPassword = "ce_c4nary_tenant_password"

// stateServer is a real server of state, reached through a proxy.
type stateServer struct {
	*toxiproxy.Proxy
	t           *testing.T
	driver, url string
}

// valkeyServer has one login, the test tenant's own.
func valkeyServer(t *testing.T) *stateServer {
	t.Helper()
	r := servers.Redis(t, servers.RedisOptions{})
	tag := statestore.Tag(document("").Tenant.Identity)
	r.SetUser(t, statestore.ACLUser(tag), loginPassword, statestore.ACLRules(tag))
	return behindProxy(t, tenantconfig.StateValkey, r.URL(statestore.ACLUser(tag), loginPassword))
}

// postgresServer is a database of the tenant's own.
func postgresServer(t *testing.T) *stateServer {
	t.Helper()
	_, address := servers.Postgres(t).Database(t)
	return behindProxy(t, tenantconfig.StatePostgres, address)
}

func behindProxy(t *testing.T, driver, address string) *stateServer {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	p := toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop()), driver, "127.0.0.1:0", u.Host)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	u.Host = p.Listen
	return &stateServer{p, t, driver, u.String()}
}

// back takes the port again, which another connection of this machine may have for now.
func (s *stateServer) back() {
	s.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		err := s.Start()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatal(err)
		}
	}
}

// setup of a bed that keeps its state there.
func (s *stateServer) setup(bend func(*tenantconfig.Config)) setup {
	return setup{
		files: map[string]string{tenantconfig.StateURLFile: s.url},
		cfg: func(c *tenantconfig.Config) {
			c.State = tenantconfig.State{Driver: s.driver, Server: tenantconfig.StateServer{URLFile: tenantconfig.StateURLFile}}
			if bend != nil {
				bend(c)
			}
		},
	}
}

// onBoth runs a test on each driver that replicas share.
func onBoth(t *testing.T, test func(t *testing.T, s *stateServer)) {
	t.Helper()
	for name, start := range map[string]func(*testing.T) *stateServer{"valkey": valkeyServer, "postgres": postgresServer} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, start(t))
		})
	}
}

func sessionOf(i int) string { return fmt.Sprintf("%08x%s", i, sessionA[8:]) }

// answered waits until chats are answered and tells how long that took.
func (b *bed) answered() time.Duration {
	b.t.Helper()
	began := time.Now()
	b.eventually("chats to be answered", func() bool {
		return b.do(chat("c4nary", "stream", false, "sessionId", sessionOf(0xff))).status == http.StatusOK
	})
	return time.Since(began)
}

// away waits until all calls of the store are refused at once.
func (b *bed) away() {
	b.t.Helper()
	b.eventually("the store's breaker to open", func() bool {
		b.do(chat("c4nary", "stream", false, "sessionId", sessionOf(0xff)))
		return strings.Contains(b.scrape(), `enigma_store_away{store="state"} 1`)
	})
}

// A store goes while a stream is open, and comes back: nothing that was used is lost,
// nothing is paid for that can't be kept, and the pod stays ready.
func TestTheStoreIsAwayForAWhile(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *stateServer) {
		gate := make(chan struct{})
		up := aifake.New(t)
		up.Script(func(r *aifake.Request) aifake.Answer {
			if r.Chat.Stream {
				return aifake.Says("c4nary ", "goes ", "on").PauseAt(1, gate)
			}
			return aifake.Says("c4nary")
		})
		b := newBed(t, up, s.setup(limited))
		if took := b.answered(); took > 5*time.Second {
			t.Fatalf("the first answer took %v", took)
		}
		stream := openStreams(b, 1)[0]
		defer func() { _ = stream.Body.Close() }()

		s.Stop()
		b.away()
		paid := len(up.Ledger())
		for _, streamed := range []bool{false, true} {
			a := b.do(chat("c4nary", "stream", streamed))
			if after, err := strconv.Atoi(a.header.Get("Retry-After")); a.status != 503 || a.code() != "unavailable" || err != nil || after < 1 || after > 5 {
				t.Errorf("chat, stream %v: %d %s, Retry-After %q", streamed, a.status, a.body, a.header.Get("Retry-After"))
			}
		}
		if a := b.do(call{method: http.MethodGet, path: "/chat/" + sessionA + "/history", key: keyMain}); a.status != 503 || a.header.Get("Retry-After") == "" {
			t.Errorf("history: %d %s", a.status, a.body)
		}
		if now := len(up.Ledger()); now != paid {
			t.Errorf("%d calls were paid for that could not be kept", now-paid)
		}
		if a := b.do(call{method: http.MethodGet, url: b.ops + "/readyz"}); a.status != 200 {
			t.Errorf("readyz: %d", a.status)
		}
		if st := b.status(); st.Store.OK || st.Store.Reason == "" || st.Store.Driver != s.driver {
			t.Errorf("status: %+v", st.Store)
		}
		// The stream goes on; that it can't be kept is told after its last token.
		close(gate)
		events, err := readEvents(stream.Body)
		if got := sum(t, events); err != nil || got.text != "c4nary goes on" && got.text != "goes on" || got.failed != "unavailable" || got.errorEvent.RetryAfterMs == 0 || got.done.Usage.TokensOut != 3 {
			t.Errorf("the open stream: %+v, %v", got, err)
		}

		s.back()
		took := b.answered()
		t.Logf("answered again %v after the store's return", took)
		if took > 3*time.Second {
			t.Errorf("answered only %v after the store's return", took)
		}
		var want int64
		for _, e := range up.Ledger() {
			want += int64(e.In + e.Out)
		}
		b.eventually("what was owed to be booked", func() bool {
			u := b.status().Usage
			return u.TokensToday == want && u.RequestsToday == int64(len(up.Ledger()))
		})
		if m := b.scrape(); !b.status().Store.OK || !strings.Contains(m, `enigma_store_away{store="state"} 0`) || !strings.Contains(m, `enigma_store_lost_total{store="state"} 0`) {
			t.Errorf("after its return: %+v", b.status().Store)
		}
		if got := len(b.history(keyMain, sessionB)); got != 0 {
			t.Errorf("%d messages of an exchange that the client was told is lost", got)
		}
	})
}

// The way to the store swallows everything: requests are answered all the same, soon,
// then at once, and work again when it is mended.
func TestTheStoreSaysNothing(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *stateServer) {
		b := newBed(t, aifake.New(t, aifake.Says("c4nary")), s.setup(limited))
		b.answered()
		paid := len(b.up.Ledger())
		if _, err := s.Toxics.AddToxicJson(strings.NewReader(`{"name":"hole","type":"timeout","stream":"upstream","attributes":{"timeout":0}}`)); err != nil {
			t.Fatal(err)
		}
		var slowest atomic.Int64
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				began := time.Now()
				a := b.do(chat("c4nary", "stream", i%2 == 0, "sessionId", sessionOf(i)))
				if a.status != 503 || a.code() != "unavailable" || a.header.Get("Retry-After") == "" {
					t.Errorf("%d %s", a.status, a.body)
				}
				for took := int64(time.Since(began)); ; {
					if was := slowest.Load(); took <= was || slowest.CompareAndSwap(was, took) {
						break
					}
				}
			})
		}
		wg.Wait()
		b.away()
		began := time.Now()
		for range 20 {
			if a := b.do(chat("c4nary", "stream", false)); a.status != 503 {
				t.Errorf("%d %s", a.status, a.body)
			}
		}
		refused := time.Since(began)
		if len(b.up.Ledger()) != paid {
			t.Error("calls were paid for that could not be kept")
		}
		s.Toxics.ResetToxics(t.Context())
		t.Logf("the slowest answer took %v, 20 refusals after that %v; answered %v after the way was mended", time.Duration(slowest.Load()), refused, b.answered())
		if time.Duration(slowest.Load()) > 8*time.Second || refused > 2*time.Second {
			t.Error("requests were held up")
		}
	})
}

// A server starts, and is ready, though its store isn't there.
func TestTheStoreIsAwayAtTheStart(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *stateServer) {
		s.Stop()
		b := newBed(t, aifake.New(t, aifake.Says("c4nary")), s.setup(limited))
		if a := b.do(call{method: http.MethodGet, url: b.ops + "/readyz"}); a.status != 200 {
			t.Errorf("readyz: %d", a.status)
		}
		if a := b.do(chat("c4nary")); a.status != 503 || a.code() != "unavailable" || b.status().Store.OK {
			t.Errorf("chat: %d %s, store %+v", a.status, a.body, b.status().Store)
		}
		s.back()
		t.Logf("answered %v after the store came", b.answered())
	})
}

// Where limits have a server of their own and that is away, rates go on in the process
// and chats are kept; what a budget bounds, or is to be denied, is refused.
func TestTheServerOfLimitsIsAway(t *testing.T) {
	t.Parallel()
	kept, limits := postgresServer(t), valkeyServer(t)
	start := func(bend func(*tenantconfig.Config)) *bed {
		s := kept.setup(func(c *tenantconfig.Config) {
			c.State.LimitsOn, c.State.LimitsServer = tenantconfig.StateValkey, tenantconfig.StateServer{URLFile: tenantconfig.LimitsURLFile}
			c.Limits.Requests = tenantconfig.RequestLimits{PerMinute: 8, WindowSec: 60, Replicas: 2}
			bend(c)
		})
		s.files[tenantconfig.LimitsURLFile] = limits.url
		return newBed(t, aifake.New(t, aifake.Says("c4nary")), s)
	}
	local := start(func(*tenantconfig.Config) {})
	denied := start(func(c *tenantconfig.Config) { c.Limits.Requests.OnStoreFailure = tenantconfig.FailDeny })
	budgeted := start(func(c *tenantconfig.Config) { c.Limits.Tokens.Daily = 1 << 40 })
	ask := func(b *bed) answer { return b.do(chat("c4nary", "stream", false)) }
	for _, b := range []*bed{local, denied, budgeted} {
		if a := ask(b); a.status != 200 || a.header.Get("x-ratelimit-limit") != "8" {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	limits.Stop()
	for i := range 4 {
		if a := ask(local); a.status != 200 || a.header.Get("x-ratelimit-limit") != "4" || a.header.Get("x-ratelimit-remaining") != strconv.Itoa(3-i) {
			t.Errorf("request %d: %d %s %v", i, a.status, a.body, a.header)
		}
	}
	if a := ask(local); a.status != 429 || a.code() != "rate_limited" {
		t.Errorf("beyond the share: %d %s", a.status, a.body)
	}
	if got := len(local.history(keyMain, sessionA)); got != 14 {
		t.Errorf("%d messages are kept, want those of 7 exchanges", got)
	}
	if st := local.status().Store; st.OK || !strings.HasPrefix(st.Reason, "limits_") {
		t.Errorf("status: %+v", st)
	}
	if m := local.scrape(); !strings.Contains(m, "enigma_rate_local_total 5") || !strings.Contains(m, `enigma_store_away{store="state"} 0`) {
		t.Error("the metrics don't tell")
	}
	for name, b := range map[string]*bed{"denied": denied, "budgeted": budgeted} {
		if a := ask(b); a.status != 503 || a.code() != "unavailable" || a.header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	limits.back()
	local.eventually("limits to be shared again", func() bool { return ask(local).header.Get("x-ratelimit-limit") == "8" })
	var want int64
	for _, b := range []*bed{local, denied, budgeted} {
		for _, e := range b.up.Ledger() {
			want += int64(e.In + e.Out)
		}
	}
	local.eventually("what was used meanwhile to be booked", func() bool { return local.status().Usage.TokensToday == want })
}

// Two servers on one store are as one: a session's exchanges follow each other whole,
// limits and budgets are exact.
func TestTwoServersAreAsOne(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *stateServer) {
		const asked, allowed = 60, 40
		pair := func(bend func(*tenantconfig.Config), up *aifake.Server) [2]*bed {
			return [2]*bed{newBed(t, up, s.setup(bend)), newBed(t, up, s.setup(bend))}
		}
		// together asks from both at once and counts the answers by their status.
		together := func(beds [2]*bed, c func(i int) call) (ok, refused int64) {
			var oks, refusals atomic.Int64
			var wg sync.WaitGroup
			for i := range asked {
				wg.Go(func() {
					switch a := beds[i%2].do(c(i)); a.status {
					case 200:
						oks.Add(1)
					case 429:
						refusals.Add(1)
					default:
						t.Errorf("%d %s", a.status, a.body)
					}
				})
			}
			wg.Wait()
			return oks.Load(), refusals.Load()
		}

		up := aifake.New(t)
		up.Script(func(r *aifake.Request) aifake.Answer {
			return aifake.Says("to ", *r.Chat.Messages[len(r.Chat.Messages)-1].Content)
		})
		beds := pair(func(c *tenantconfig.Config) {
			c.Limits.Requests = tenantconfig.RequestLimits{PerMinute: allowed, WindowSec: 600}
		}, up)
		ok, refused := together(beds, func(i int) call { return chat(fmt.Sprintf("c4nary %d", i), "stream", i%3 == 0) })
		if ok != allowed || refused != asked-allowed {
			t.Errorf("%d allowed and %d refused of a limit of %d", ok, refused, allowed)
		}
		for _, b := range beds {
			var said []said
			a := b.do(call{method: http.MethodGet, path: "/chat/" + sessionA + "/history?limit=200", key: keyMain})
			if err := json.Unmarshal(a.body, &said); err != nil {
				t.Fatalf("history %d %s: %v", a.status, a.body, err)
			}
			if len(said) != 2*allowed {
				t.Fatalf("%d messages, want %d", len(said), 2*allowed)
			}
			for i := 0; i < len(said); i += 2 {
				if said[i].Role != "assistant" || said[i+1].Role != "user" || said[i].Content != "to "+said[i+1].Content {
					t.Errorf("messages %d: %q follows %q", i, said[i].Content, said[i+1].Content)
				}
			}
		}

		dear := aifake.New(t, aifake.Says(strings.Split(strings.Repeat("c4nary ", 300), " ")...))
		var before int64
		for _, e := range up.Ledger() {
			before += int64(e.In + e.Out)
		}
		beds = pair(func(c *tenantconfig.Config) { c.Limits.Tokens.Daily = before + 6000 }, dear)
		if ok, refused = together(beds, func(i int) call { return chat("c4nary", "stream", i%2 == 0, "sessionId", sessionOf(i)) }); ok < 6 || refused == 0 {
			t.Errorf("%d admitted, %d refused", ok, refused)
		}
		var used int64
		for _, e := range dear.Ledger() {
			used += int64(e.In + e.Out)
		}
		if used > 6000 {
			t.Errorf("used %d of 6000 tokens", used)
		}
		for _, b := range beds {
			if got := b.status().Usage.TokensToday; got != before+used {
				t.Errorf("status says %d, the upstream %d", got, before+used)
			}
		}
	})
}
