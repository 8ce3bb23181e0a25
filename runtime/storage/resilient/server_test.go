package resilient_test

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/statestore"
	"github.com/crispy-enigma/crispy-enigma/hack/servers"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/resilient"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/valkey"
)

// TestARealServerGoesAndComesBack: calls are refused at once while it is away, and
// served within a second of its return.
func TestARealServerGoesAndComesBack(t *testing.T) {
	server := servers.Redis(t, servers.RedisOptions{})
	tag := statestore.Tag(acme().Identity())
	server.SetUser(t, statestore.ACLUser(tag), "ce_c4nary_tenant", statestore.ACLRules(tag))
	driver, err := valkey.Open(t.Context(), valkey.Options{URL: server.URL(statestore.ACLUser(tag), "ce_c4nary_tenant"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	changed := make(chan bool, 10)
	s := newStoreOf(driver, resilient.Options{Timeout: time.Second, Changed: func(away bool) { changed <- away }})
	t.Cleanup(func() { closed(t, s) })
	if err := ask(t.Context(), s); err != nil {
		t.Fatal(err)
	}

	server.Stop()
	for !s.Away() {
		if err := ask(t.Context(), s); err != nil && !errors.Is(err, storage.ErrUnavailable) {
			t.Fatalf("got %v, want unavailable", err)
		}
	}
	began := time.Now()
	for range 1000 {
		if err := ask(t.Context(), s); !errors.Is(err, storage.ErrUnavailable) {
			t.Fatalf("got %v, want unavailable", err)
		}
	}
	if took := time.Since(began); took > 500*time.Millisecond {
		t.Errorf("1000 refusals took %v", took)
	}
	for range 50 {
		if err := s.Usage().Add(t.Context(), acme(), storage.UsageRecord{At: began, Model: "m"}); err != nil {
			t.Fatalf("Add: %v", err)
		}
	}
	if <-changed != true {
		t.Fatal("told of a return before the absence")
	}

	server.Start(t)
	server.SetUser(t, statestore.ACLUser(tag), "ce_c4nary_tenant", statestore.ACLRules(tag))
	back := time.Now()
	select {
	case away := <-changed:
		if took := time.Since(back); away || took > time.Second {
			t.Errorf("away %v, %v after its return", away, took)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("not found back within 10 s")
	}
	if err := ask(t.Context(), s); err != nil {
		t.Errorf("after its return: %v", err)
	}
	for deadline := time.Now().Add(5 * time.Second); s.Waiting() > 0; {
		if time.Now().After(deadline) {
			t.Fatalf("%d records still wait", s.Waiting())
		}
		_ = ask(t.Context(), s)
	}
	sum, err := s.Usage().Sum(t.Context(), acme(), began.Add(-time.Hour), began.Add(time.Hour))
	if err != nil || len(sum) != 1 || sum[0].Calls != 50 || s.Lost() != 0 {
		t.Errorf("got %+v, %v, %d lost; want 50 calls", sum, err, s.Lost())
	}
}
