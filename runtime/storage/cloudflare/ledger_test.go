package cloudflare_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/hack/fakecloudflare"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/cloudflare"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/memory"
)

// books is a ledger and what it copies.
type books struct {
	*bed
	usage    *memory.Store
	database string
}

func newBooks(t *testing.T) books {
	t.Helper()
	b := books{bed: newBed(t, plenty(), nil)}
	b.usage = memory.New(memory.Options{Now: b.clock.now})
	var made struct{ UUID string }
	b.api(http.MethodPost, "/d1/database", map[string]any{"name": "ledger"}, &made)
	b.database = made.UUID
	return b
}

func (b books) ledger(source string) *cloudflare.Ledger {
	return cloudflare.NewLedger(b.Account, cloudflare.LedgerOptions{Database: b.database, Tenant: id(b.t, "acme"), Usage: b.usage.Usage(), Source: source, Logger: slog.New(slog.DiscardHandler)})
}

func (b books) add(model string, tokens int64) {
	b.t.Helper()
	r := storage.UsageRecord{At: b.clock.now(), Model: model, Feature: "chat", Outcome: "ok", TokensIn: tokens, TokensOut: 1, MicroUSD: 5, Latency: 1500 * time.Millisecond}
	if err := b.usage.Usage().Add(b.t.Context(), id(b.t, "acme"), r); err != nil {
		b.t.Fatal(err)
	}
}

func (b books) step(l *cloudflare.Ledger) {
	b.t.Helper()
	if err := l.Step(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

// sums is what the ledger has, by model: calls and tokens.
func (b books) sums() map[string][2]int64 {
	b.t.Helper()
	var results []struct {
		Results []struct {
			Model    string
			Calls    int64
			TokensIn int64 `json:"tokens_in"`
			Kind     string
		}
	}
	b.api(http.MethodPost, "/d1/database/"+b.database+"/query", map[string]any{"sql": "SELECT model, sum(calls) AS calls, sum(tokens_in) AS tokens_in, min(typeof(calls)) || min(typeof(minute)) AS kind FROM usage WHERE tenant = 'acme' GROUP BY model"}, &results)
	found := map[string][2]int64{}
	for _, r := range results[0].Results {
		if r.Kind != "integerinteger" {
			b.t.Errorf("the numbers are %s", r.Kind)
		}
		found[r.Model] = [2]int64{r.Calls, r.TokensIn}
	}
	return found
}

func (b books) want(what string, want map[string][2]int64) {
	b.t.Helper()
	if d := cmp.Diff(want, b.sums()); d != "" {
		b.t.Errorf("%s: %s", what, d)
	}
}

func TestLedgerCopiesWhatWasUsed(t *testing.T) {
	t.Parallel()
	b := newBooks(t)
	b.add("before the start", 3)
	b.clock.pass(2 * time.Hour)
	l := b.ledger("store")
	if l.Lag() != 0 {
		t.Errorf("lag %v before the first answer", l.Lag())
	}
	b.step(l)
	if l.Lag() < 6*24*time.Hour {
		t.Errorf("lag %v, and nothing is copied yet", l.Lag())
	}
	for l.Lag() > 0 {
		b.step(l)
	}
	want := map[string][2]int64{"before the start": {1, 3}}
	b.want("at the start", want)
	// The minute under way is copied too, and grows.
	for n := range int64(3) {
		b.add("m", 10)
		b.step(l)
		want["m"] = [2]int64{n + 1, 10 * (n + 1)}
		b.want("as it grows", want)
	}
	// What is there already isn't sent again.
	before := b.calls("d1-query")
	b.step(l)
	if n := b.calls("d1-query") - before; n != 0 {
		t.Errorf("%d calls for nothing", n)
	}
	b.clock.pass(10 * time.Minute)
	if l.Lag() != 10*time.Minute {
		t.Errorf("lag %v after 10 minutes", l.Lag())
	}
	b.step(l)
	if l.Lag() != 0 {
		t.Errorf("lag %v", l.Lag())
	}
}

// A process that dies after the call, a call whose answer is lost, a second pod of the
// same store: nothing is counted twice.
func TestLedgerCountsNothingTwice(t *testing.T) {
	t.Parallel()
	b := newBooks(t)
	first := b.ledger("store")
	b.step(first)
	for first.Lag() > 0 {
		b.step(first)
	}
	b.add("m", 7)
	if err := b.fake.Script(fakecloudflare.Fault{Operation: "d1-query-database", Cut: true, After: true, Times: 2}); err != nil {
		t.Fatal(err)
	}
	if err := first.Step(t.Context()); !errors.Is(err, storage.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	want := map[string][2]int64{"m": {1, 7}}
	b.want("the answer was lost", want)
	second := b.ledger("store")
	for range 12 {
		b.step(first)
		b.step(second)
	}
	b.want("two ledgers", want)
	// A store that a restart has emptied is another source: its sums add up.
	b.usage = memory.New(memory.Options{Now: b.clock.now})
	b.add("m", 2)
	third := b.ledger("another life")
	for range 12 {
		b.step(third)
	}
	b.want("another source", map[string][2]int64{"m": {2, 9}})
}

func TestLedgerCatchesUp(t *testing.T) {
	t.Parallel()
	b := newBooks(t)
	l := b.ledger("store")
	b.step(l)
	for l.Lag() > 0 {
		b.step(l)
	}
	if err := b.fake.Script(fakecloudflare.Fault{Operation: "d1-.*", Status: 503, Times: -1}); err != nil {
		t.Fatal(err)
	}
	want := map[string][2]int64{}
	for n := range 2500 {
		b.clock.pass(time.Minute)
		model := fmt.Sprint("m", n%7)
		b.add(model, 1)
		want[model] = [2]int64{want[model][0] + 1, want[model][1] + 1}
		if n%500 == 0 {
			if err := l.Step(t.Context()); !errors.Is(err, storage.ErrUnavailable) {
				t.Fatalf("got %v", err)
			}
		}
	}
	if l.Lag() < 40*time.Hour {
		t.Errorf("lag %v after an outage of 41 hours", l.Lag())
	}
	b.fake.Heal()
	steps := 0
	for l.Lag() > 0 {
		if steps++; steps > 10 {
			t.Fatalf("after %d calls the lag is %v", steps, l.Lag())
		}
		before := b.calls("d1-query")
		b.step(l)
		if n := b.calls("d1-query") - before; n > 1 {
			t.Fatalf("%d calls at once", n)
		}
	}
	b.want("after the outage", want)
	// One that was dropped by hand is made again, with what the store still has.
	b.api(http.MethodPost, "/d1/database/"+b.database+"/query", map[string]any{"sql": "DROP TABLE usage"}, nil)
	b.add("m0", 0)
	if err := l.Step(t.Context()); err == nil {
		t.Error("a table that isn't there was written to")
	}
	for range 12 {
		b.step(l)
	}
	want["m0"] = [2]int64{want["m0"][0] + 1, want["m0"][1]}
	b.want("made again", want)
}

// A process that stops in peace copies what was used last.
func TestLedgerEndsWithALastCopy(t *testing.T) {
	t.Parallel()
	b := newBooks(t)
	l := b.ledger("store")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { l.Run(ctx); close(ended) }()
	if _, err := b.fake.Await(t.Context(), func(e fakecloudflare.Entry) bool { return e.Operation == "d1-query-database" }); err != nil {
		t.Fatal(err)
	}
	b.add("m", 4)
	// The answer of the first call is there once the lag is known.
	for l.Lag() == 0 {
		runtime.Gosched()
	}
	cancel()
	<-ended
	b.want("at the end", map[string][2]int64{"m": {1, 4}})
}
