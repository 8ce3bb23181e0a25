package cloudflare_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare/accounttest"
	"github.com/crispy-enigma/crispy-enigma/hack/fakecloudflare"
)

// server is a strict server, its clock, and a pool to reach it with.
type server struct {
	*fakecloudflare.Server
	url  string
	pool *cloudflare.Pool

	mu  sync.Mutex
	now time.Time
}

// serve starts a server; all that the client sends must fit Cloudflare's document,
// unless the test is about what doesn't.
func serve(t *testing.T, opts fakecloudflare.Options, refused bool) *server {
	t.Helper()
	s := &server{now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), pool: cloudflare.NewPool(cloudflare.PoolOptions{Timeout: 5 * time.Second})}
	opts.Now = func() time.Time {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.now
	}
	fake, err := fakecloudflare.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Server = fake
	h := httptest.NewServer(fake)
	s.url = h.URL
	t.Cleanup(func() {
		h.CloseClientConnections()
		h.Close()
		fake.Close()
		for _, v := range fake.Violations() {
			if !v.Client || !refused {
				t.Errorf("%s: %s", v.Operation, v.Problem)
			}
		}
	})
	return s
}

func (s *server) pass(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

// options that are never short of budget.
func (s *server) options(token cloudflare.Secret) cloudflare.Options {
	return cloudflare.Options{AccountID: fakecloudflare.DefaultAccount, Endpoint: s.url + "/client/v4", Token: token, Requests: 1_000_000, Window: time.Second}
}

func (s *server) root() *cloudflare.Client {
	return s.pool.Open(s.options(cloudflare.Secret(s.RootToken(fakecloudflare.DefaultAccount))), cloudflare.Edit)
}

// script adds a fault.
func (s *server) script(t *testing.T, f fakecloudflare.Fault) {
	t.Helper()
	if err := s.Script(f); err != nil {
		t.Fatal(err)
	}
}

// in is the options for one of the server's other accounts.
func (s *server) in(account string, token cloudflare.Secret) cloudflare.Options {
	o := s.options(token)
	o.AccountID = account
	return o
}

func TestAccount(t *testing.T) {
	t.Parallel()
	// Loading the document is slow, so the tests share a server, each with an account of
	// its own. Those that move the clock have their own, which leaves the document out.
	var opts fakecloudflare.Options
	const few = 2
	for n := range 80 {
		a := fakecloudflare.Account{ID: fmt.Sprintf("%032x", n+1)}
		if n%2 == 1 {
			a.Quotas = fakecloudflare.Quotas{KV: few, D1: few, R2: few, Vectorize: few, Gateways: few, Tokens: few + 1}
		}
		opts.Accounts = append(opts.Accounts, a)
	}
	shared := serve(t, opts, true)
	var mu sync.Mutex
	next := [2]int{0, 1}
	accounttest.Run(t, func(t *testing.T, setup accounttest.Setup) accounttest.Subject {
		s, id := shared, fakecloudflare.DefaultAccount
		switch {
		case setup.ListLag > 0:
			s = serve(t, fakecloudflare.Options{Lag: fakecloudflare.Lag{List: setup.ListLag}, NoSchema: true}, true)
			s.pass(2 * setup.ListLag) // the caller's own token is old
		default:
			mu.Lock()
			which := min(setup.Quota, 1)
			id = opts.Accounts[next[which]].ID
			next[which] += 2
			mu.Unlock()
		}
		if setup.Quota != 0 && setup.Quota != few {
			t.Fatal("no account of this quota")
		}
		openAs := func(value cloudflare.Secret) cloudflare.Account { return s.pool.Open(s.in(id, value), cloudflare.Edit) }
		return accounttest.Subject{
			Account: openAs(cloudflare.Secret(s.RootToken(id))),
			OpenAs:  openAs,
			Pass:    s.pass,
			Fill: func(bucket string, full bool) {
				s.Heal()
				if full {
					s.script(t, fakecloudflare.Fault{Method: "DELETE", Account: id, Path: ".*/r2/buckets/" + bucket, Times: -1, Status: http.StatusConflict,
						Body: fakecloudflare.BodyEnvelope(10008, "The bucket you tried to delete is not empty."), ContentType: "application/json"})
				}
			},
		}
	})
}
