package postgres_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/crispy-enigma/crispy-enigma/hack/servers"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/postgres"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// proxy stands between the driver and a server.
type proxy struct {
	*toxiproxy.Proxy
	t *testing.T
}

func newProxy(t *testing.T, s *servers.PostgresServer) *proxy {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	p := toxiproxy.NewProxy(server, "postgres", "127.0.0.1:0", "127.0.0.1:"+strconv.Itoa(s.Port))
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return &proxy{p, t}
}

// through is a URL that leads through the proxy.
func (p *proxy) through(login string) string {
	u, err := url.Parse(login)
	if err != nil {
		p.t.Fatal(err)
	}
	u.Host = p.Listen
	return u.String()
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

func write(ctx context.Context, s storage.Store, id tenancy.ID) error {
	return s.Sessions().Append(ctx, id, owner, "s", []storage.Message{{Role: storage.RoleUser, Content: "x", At: time.Now()}}, storage.Keep{})
}

// back waits until calls work and Health says so, and fails if that takes too long.
func back(t *testing.T, s storage.Store, id tenancy.ID) {
	t.Helper()
	begin := time.Now()
	for write(t.Context(), s, id) != nil {
		if time.Since(begin) > 10*time.Second {
			t.Fatal("calls don't work again")
		}
	}
	took := time.Since(begin)
	t.Logf("worked again after %v", took)
	if took > time.Second {
		t.Errorf("it took %v until calls worked again, want 1 s", took)
	}
	if h := s.Health(); !h.OK {
		t.Errorf("health: %+v", h)
	}
}

func wantHealth(t *testing.T, s storage.Store, reasons ...string) {
	t.Helper()
	h := s.Health()
	if h.OK || !strings.Contains(strings.Join(reasons, " "), h.Reason) {
		t.Errorf("health: %+v, want one of %v", h, reasons)
	}
}

// TestFaultsOfTheWay: whatever happens to the connection, calls fail as unavailable and
// soon, and work again within a second of its end.
func TestFaultsOfTheWay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		begin   func(p *proxy)
		end     func(p *proxy)
		reasons []string
	}{
		{"cut", func(p *proxy) { p.Stop() }, (*proxy).restart, []string{postgres.ReasonUnreachable}},
		{"reset", func(p *proxy) { p.add("downstream", "reset_peer", nil) }, (*proxy).heal, []string{postgres.ReasonUnreachable}},
		{"no answer arrives", func(p *proxy) { p.add("downstream", "timeout", map[string]int{"timeout": 0}) }, (*proxy).heal, []string{postgres.ReasonTimeout}},
		{"no question arrives", func(p *proxy) { p.add("upstream", "timeout", map[string]int{"timeout": 0}) }, (*proxy).heal, []string{postgres.ReasonTimeout}},
		{"slow", func(p *proxy) { p.add("downstream", "latency", map[string]int{"latency": 3000}) }, (*proxy).heal, []string{postgres.ReasonTimeout}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := share(t, servers.Postgres(t))
			id, p := newID(t, d.name), newProxy(t, d.server)
			login, err := d.login(t.Context(), id, "a")
			if err != nil {
				t.Fatal(err)
			}
			s := open(t, postgres.Options{URL: p.through(login)})
			if err := write(t.Context(), s, id); err != nil {
				t.Fatal(err)
			}
			c.begin(p)
			for range 2 {
				begin := time.Now()
				err = write(t.Context(), s, id)
				if took := time.Since(begin); took > 1500*time.Millisecond {
					t.Errorf("a call took %v", took)
				}
				if !errors.Is(err, storage.ErrUnavailable) {
					t.Errorf("got %v", err)
				}
			}
			wantHealth(t, s, c.reasons...)
			c.end(p)
			back(t, s, id)
		})
	}
}

// TestHealthHealsByItself: without a call, it tells that the server is back.
func TestHealthHealsByItself(t *testing.T) {
	t.Parallel()
	d := share(t, servers.Postgres(t))
	id, p := newID(t, d.name), newProxy(t, d.server)
	login, err := d.login(t.Context(), id, "a")
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, postgres.Options{URL: p.through(login)})
	if err := write(t.Context(), s, id); err != nil {
		t.Fatal(err)
	}
	p.Stop()
	if err := write(t.Context(), s, id); !errors.Is(err, storage.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	p.restart()
	deadline := time.After(5 * time.Second)
	for begin := time.Now(); !s.Health().OK; {
		select {
		case <-deadline:
			t.Fatalf("still %+v", s.Health())
		case <-time.After(10 * time.Millisecond):
		}
		if took := time.Since(begin); took > time.Second {
			t.Errorf("unwell %v after the server's return", took)
		}
	}
	if n := count(t, connect(t, d.server.Super(d.name)), "SELECT count(*) FROM enigma.budgets"); n != 0 {
		t.Errorf("asking for the server left %d rows", n)
	}
}

// TestWhatTheServerSaysIsToldApart: errors that its operator can heal, by their reason.
func TestWhatTheServerSaysIsToldApart(t *testing.T) {
	t.Parallel()
	d := share(t, servers.Postgres(t))
	id := newID(t, d.name)
	super := connect(t, d.server.Super(d.name))
	exec := func(sql string) {
		t.Helper()
		if err := run(t.Context(), super, sql); err != nil {
			t.Fatal(err)
		}
	}
	s := d.open(t, id)
	if err := write(t.Context(), s, id); err != nil {
		t.Fatal(err)
	}
	login, err := d.login(t.Context(), id, "a")
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := url.Parse(login)
	if err != nil {
		t.Fatal(err)
	}
	user, cut := parsed.User.Username(), "; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '"+parsed.User.Username()+"'"
	const real = "ALTER FUNCTION enigma.append_real RENAME TO append"
	fail := func(code string) string {
		return "ALTER FUNCTION enigma.append RENAME TO append_real; " +
			"CREATE FUNCTION enigma.append(t text, c bytea, s bytea, r bytea[], x bytea[], a bigint[], n bigint[], p boolean[], k bigint) RETURNS text LANGUAGE plpgsql AS " +
			"$$ BEGIN RAISE EXCEPTION 'planted' USING ERRCODE = '" + code + "'; END $$"
	}
	const drop = "DROP FUNCTION enigma.append; " + real
	for _, c := range []struct{ reason, begin, end string }{
		{postgres.ReasonReadOnly, "ALTER DATABASE " + d.name + " SET default_transaction_read_only = on" + cut, "ALTER DATABASE " + d.name + " RESET default_transaction_read_only" + cut},
		{postgres.ReasonDenied, "ALTER ROLE " + user + " NOLOGIN" + cut, "ALTER ROLE " + user + " LOGIN"},
		{postgres.ReasonExhausted, "ALTER ROLE " + user + " CONNECTION LIMIT 0" + cut, "ALTER ROLE " + user + " CONNECTION LIMIT 50"},
		{postgres.ReasonDenied, "REVOKE INSERT ON enigma.messages FROM ce_tenants", "GRANT INSERT ON enigma.messages TO ce_tenants"},
		{postgres.ReasonDiskFull, fail("53100"), drop},
		{postgres.ReasonExhausted, fail("53200"), drop},
		{postgres.ReasonIOError, fail("58030"), drop},
		{postgres.ReasonBusy, fail("40P01"), drop},
		{postgres.ReasonBusy, fail("55P03"), drop},
		{postgres.ReasonTimeout, fail("57014"), drop},
		{postgres.ReasonUnreachable, fail("57P03"), drop},
	} {
		exec(c.begin)
		var err error
		for range 8 { // each connection of the pool may have to learn it
			if err = write(t.Context(), s, id); err != nil && s.Health().Reason == c.reason {
				break
			}
		}
		if !errors.Is(err, storage.ErrUnavailable) || !errors.Is(err, storage.ErrNotDone) {
			t.Errorf("%s: got %v, want that nothing was done", c.reason, err)
		}
		wantHealth(t, s, c.reason)
		exec(c.end)
		back(t, s, id)
	}
	// What is nobody's fault but a bug's is told as it is.
	exec(fail("22012"))
	if err := write(t.Context(), s, id); err == nil || errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("a bug: got %v", err)
	}
	if h := s.Health(); !h.OK {
		t.Errorf("health: %+v", h)
	}
}

// TestRolledBackTriesAreMadeAgain, and count once.
func TestRolledBackTriesAreMadeAgain(t *testing.T) {
	t.Parallel()
	d := share(t, servers.Postgres(t))
	id := newID(t, d.name)
	super := connect(t, d.server.Super(d.name))
	err := run(t.Context(), super, `CREATE SEQUENCE enigma.calls; GRANT USAGE ON enigma.calls TO ce_tenants;
		CREATE FUNCTION enigma.unlucky() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF nextval('enigma.calls') % 3 <> 0 THEN RAISE EXCEPTION 'planted' USING ERRCODE = '40001'; END IF; RETURN NEW; END $$;
		CREATE TRIGGER unlucky BEFORE INSERT ON enigma.messages FOR EACH STATEMENT EXECUTE FUNCTION enigma.unlucky()`)
	if err != nil {
		t.Fatal(err)
	}
	s := d.open(t, id)
	for range 5 {
		if err := write(t.Context(), s, id); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Sessions().History(t.Context(), id, owner, "s", storage.Page{Limit: 100})
	if err != nil || len(got) != 5 {
		t.Errorf("%d messages, %v; want 5", len(got), err)
	}
	if n := count(t, super, "SELECT last_value FROM enigma.calls"); n != 15 {
		t.Errorf("%d tries, want 15", n)
	}
}

// TestAForeignAnswerIsNotReturned: a server, or a connection out of step, that answers for
// another tenant.
func TestAForeignAnswerIsNotReturned(t *testing.T) {
	t.Parallel()
	d := share(t, servers.Postgres(t))
	id := newID(t, d.name)
	s := d.open(t, id)
	furnish(t, s, id, 1)
	foreign := strings.Repeat("0", 32)
	signature := map[string]string{
		"append":        "(t text, c bytea, s bytea, r bytea[], x bytea[], a bigint[], n bigint[], p boolean[], keep bigint) RETURNS text",
		"drop_sessions": "(t text, s bytea, c bytea, everyone boolean) RETURNS text",
		"take": "(t text, k bytea, n bytea[], x bigint[], y bigint[], z bigint, OUT tenant text, OUT ok boolean, OUT tightest int, " +
			"OUT remaining bigint, OUT retry bigint, OUT reset bigint)",
		"give_back": "(t text, k bytea, n bytea[], a bigint) RETURNS text",
		"reserve":   "(t text, n bytea[], m bigint[], a bigint[], u bigint[], OUT tenant text, OUT refused int)",
		"settle":    "(t text, n bytea[], a bigint[], us bigint[], u bigint[]) RETURNS text",
	}
	super := connect(t, d.server.Super(d.name))
	for name, args := range signature {
		body := "SELECT '" + foreign + "'::text"
		if name == "take" {
			body += ", true, 1, 1::bigint, 0::bigint, 0::bigint"
		} else if name == "reserve" {
			body += ", 0"
		}
		if err := run(t.Context(), super, fmt.Sprintf("DROP FUNCTION enigma.%s; CREATE FUNCTION enigma.%s%s LANGUAGE sql AS $$ %s $$", name, name, args, body)); err != nil {
			t.Fatal(err)
		}
	}
	limits := []storage.Limit{{Name: "day", Max: 10}}
	_, took := s.Windows().Take(t.Context(), id, "key", minute, time.Now())
	_, reserved := s.Budgets().Reserve(t.Context(), id, limits, []int64{1})
	for what, err := range map[string]error{
		"Append": write(t.Context(), s, id), "Delete": s.Sessions().Delete(t.Context(), id, owner, "s0"), "Take": took, "Reserve": reserved,
		"Settle": s.Budgets().Settle(t.Context(), id, storage.Reservation{Limits: limits, Amounts: []int64{1}}, []int64{1}),
		"Return": s.Windows().Return(t.Context(), id, "key", minute, time.Now()),
	} {
		if !errors.Is(err, postgres.ErrForeignRow) {
			t.Errorf("%s: got %v, want ErrForeignRow", what, err)
		}
	}
}

// TestAnswersStayInStep: callers that give up at any moment, and connections that break,
// never give one caller another's history.
func TestAnswersStayInStep(t *testing.T) {
	t.Parallel()
	d := share(t, servers.Postgres(t))
	id, p := newID(t, d.name), newProxy(t, d.server)
	login, err := d.login(t.Context(), id, "a")
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, postgres.Options{URL: p.through(login), MaxConns: 4, Timeout: patient})
	const callers, asks = 16, 40
	for i := range callers {
		m := []storage.Message{{Role: storage.RoleUser, Content: fmt.Sprint("of ", i), At: time.Now()}}
		if err := s.Sessions().Append(t.Context(), id, storage.Owner{Caller: fmt.Sprint(i)}, "s", m, storage.Keep{}); err != nil {
			t.Fatal(err)
		}
	}
	p.add("downstream", "latency", map[string]int{"latency": 1, "jitter": 1})
	var done sync.WaitGroup
	var mu sync.Mutex
	answered, gaveUp := 0, 0
	for i := range callers {
		done.Go(func() {
			chance := rand.New(rand.NewPCG(1, uint64(i)))
			for range asks {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+chance.IntN(150))*time.Millisecond)
				got, err := s.Sessions().History(ctx, id, storage.Owner{Caller: fmt.Sprint(i)}, "s", storage.Page{Limit: 5})
				cancel()
				mu.Lock()
				if err != nil {
					gaveUp++
				} else {
					answered++
					if len(got) != 1 || got[0].Content != fmt.Sprint("of ", i) {
						t.Errorf("caller %d was given %d messages, not its own one", i, len(got))
					}
				}
				mu.Unlock()
			}
		})
	}
	done.Wait()
	t.Logf("%d answered, %d gave up", answered, gaveUp)
	if answered == 0 || gaveUp == 0 {
		t.Errorf("%d answered, %d gave up: nothing was shown", answered, gaveUp)
	}
}

// TestAnEndedContextReturnsSoon, and makes the store neither unwell nor unusable.
func TestAnEndedContextReturnsSoon(t *testing.T) {
	t.Parallel()
	d := share(t, servers.Postgres(t))
	id := newID(t, d.name)
	s := d.open(t, id)
	if err := write(t.Context(), s, id); err != nil {
		t.Fatal(err)
	}
	super := connect(t, d.server.Super(d.name))
	if err := run(t.Context(), super, "BEGIN; LOCK TABLE enigma.sessions IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if err := write(ctx, s, id); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("returned after %v", took)
	}
	if h := s.Health(); !h.OK {
		t.Errorf("a caller that went away makes the store unwell: %+v", h)
	}
	if err := run(t.Context(), super, "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := write(t.Context(), s, id); err != nil {
		t.Error(err)
	}
}
