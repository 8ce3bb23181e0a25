package storagetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

var portableChecks = []Check{
	{"Dump/each record once, from any position on", dumpResumes},
	{"Dump/holds all that is kept, and of one tenant", dumpWhole},
	{"Dump/a foreign position is refused, an error of yield ends it", dumpRefuses},
	{"Load/twice is once, and reads as it did", loadTwice},
	{"Load/replaces what is there", loadReplaces},
	{"Load/all or none", loadAllOrNone},
	{"Erase/all of one tenant, nothing of another", eraseOne},
	{"Erase/what comes after it stays", eraseThenUse},
}

// belongings are records as a tenant may have them, with names that spell each other.
func belongings() []storage.Record {
	var all []storage.Record
	for _, sep := range separators {
		_, callers, names := spelling(sep)
		for i, c := range callers {
			for j, n := range names[:3] {
				s := &storage.SessionRecord{Caller: sep + c, ID: sep + n, Created: epoch.Add(-time.Minute)}
				for k := range 1 + (i+j)%3 {
					s.Messages = append(s.Messages, turn(10*i+k)...)
				}
				all = append(all, storage.Record{Session: s})
			}
		}
		for i, n := range names {
			all = append(all, storage.Record{Budget: &storage.BudgetRecord{Name: sep + n + "!", Used: int64(i + 1), Until: epoch.Add(48 * time.Hour)}})
		}
	}
	for i := range 30 {
		n := int64(i + 1)
		all = append(all, storage.Record{Usage: &storage.UsageBucket{
			Minute: epoch.Add(time.Duration(i%4) * time.Minute), Model: fmt.Sprint("m", i%5), Feature: "chat", Outcome: fmt.Sprint("o", i),
			Calls: n, TokensIn: 2 * n, TokensOut: 3 * n, MicroUSD: 4 * n, Latency: time.Duration(n) * time.Millisecond,
		}})
		r := ran(i)
		all = append(all, storage.Record{Audit: &r})
	}
	return all
}

func load(t rapid.TB, s storage.Store, id tenancy.ID, records []storage.Record) {
	t.Helper()
	for part := range slices.Chunk(records, 25) {
		must(t, "Load", s.Portable().Load(context.Background(), id, part))
	}
}

// dump returns what Dump gives, and the position after each record.
func dump(t rapid.TB, s storage.Store, id tenancy.ID, from string) (found []storage.Record, positions []string) {
	t.Helper()
	err := s.Portable().Dump(context.Background(), id, from, func(r storage.Record, next string) error {
		found, positions = append(found, r), append(positions, next)
		return nil
	})
	must(t, "Dump", err)
	return found, positions
}

// spelled are records as text, in an order that no driver chooses.
func spelled(t rapid.TB, records []storage.Record) []string {
	t.Helper()
	all := make([]string, len(records))
	for i, r := range records {
		b, err := json.Marshal(r)
		must(t, "Marshal", err)
		all[i] = string(b)
	}
	slices.Sort(all)
	return all
}

func dumpResumes(t rapid.TB, s storage.Store) {
	id := tenant(t, "a")
	load(t, s, id, belongings())
	all, positions := dump(t, s, id, "")
	same(t, "dump", spelled(t, all), spelled(t, belongings()))
	for i := range positions {
		if i%7 != 0 && i != len(positions)-1 {
			continue
		}
		rest, _ := dump(t, s, id, positions[i])
		if got, want := len(rest), len(all)-i-1; got != want {
			t.Fatalf("from position %d: got %d records, want %d", i, got, want)
		}
		for j, r := range rest {
			same(t, fmt.Sprintf("record %d from position %d", j, i), r, all[i+1+j])
		}
	}
	if got, _ := dump(t, s, tenant(t, "nobody"), ""); len(got) != 0 {
		t.Errorf("nobody has %v", got)
	}
}

// dumpWhole writes by every other method and finds it in the dump.
func dumpWhole(t rapid.TB, s storage.Store) {
	ctx, a, b := context.Background(), tenant(t, "a"), tenant(t, "a:")
	for _, id := range []tenancy.ID{a, b} {
		whose := id.Identity()
		appendTo(t, s, id, caller(whose), "s", turn(1)...)
		appendTo(t, s, id, caller(whose), "s", turn(2)...)
		r, err := s.Budgets().Reserve(ctx, id, []storage.Limit{limitOf(whose, 100), limitOf(whose+"2", 100)}, []int64{10, 20})
		must(t, "Reserve", err)
		must(t, "Settle", s.Budgets().Settle(ctx, id, r, []int64{7, 8}))
		_, err = s.Budgets().Reserve(ctx, id, []storage.Limit{limitOf(whose, 100)}, []int64{5})
		must(t, "Reserve", err)
		for range 2 {
			must(t, "Add", s.Usage().Add(ctx, id, storage.UsageRecord{At: epoch.Add(time.Second), Model: whose, Feature: "chat", Outcome: "ok", TokensIn: 3, Latency: time.Second}))
		}
		record(t, s, id, ran(1))
		put(t, s, id, "k", "v")
		_, err = s.Windows().Take(ctx, id, "k", oneWindow, epoch)
		must(t, "Take", err)
	}
	for _, id := range []tenancy.ID{a, b} {
		whose, audited := id.Identity(), ran(1)
		budget := func(name string, used int64) storage.Record {
			return storage.Record{Budget: &storage.BudgetRecord{Name: name, Used: used, Until: limitOf(name, 0).Until}}
		}
		want := []storage.Record{
			{Session: &storage.SessionRecord{Caller: whose, ID: "s", Created: turn(1)[0].At, Messages: append(turn(1), turn(2)...)}},
			budget(whose, 12), budget(whose+"2", 8),
			{Usage: &storage.UsageBucket{Minute: epoch, Model: whose, Feature: "chat", Outcome: "ok", Calls: 2, TokensIn: 6, Latency: 2 * time.Second}},
			{Audit: &audited},
		}
		got, _ := dump(t, s, id, "")
		same(t, "dump of "+whose, spelled(t, got), spelled(t, want))
	}
}

func dumpRefuses(t rapid.TB, s storage.Store) {
	ctx, a, b := context.Background(), tenant(t, "a"), tenant(t, "b")
	load(t, s, a, belongings())
	load(t, s, b, belongings())
	_, positions := dump(t, s, a, "")
	yield := func(storage.Record, string) error { t.Errorf("a record is given"); return nil }
	for what, bad := range map[string]string{"another tenant's": positions[3], "one made up": "2", "one altered": positions[3] + "A"} {
		wantErr(t, what, s.Portable().Dump(ctx, b, bad, yield), storage.ErrBadCursor)
	}
	enough, given := errors.New("enough"), 0
	err := s.Portable().Dump(ctx, a, "", func(storage.Record, string) error {
		if given++; given == 3 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || given != 3 {
		t.Errorf("got %v after %d records, want %v after 3", err, given, enough)
	}
}

func loadTwice(t rapid.TB, s storage.Store) {
	ctx, id := context.Background(), tenant(t, "a")
	load(t, s, id, belongings())
	load(t, s, id, belongings())
	got, _ := dump(t, s, id, "")
	same(t, "dump", spelled(t, got), spelled(t, belongings()))
	var calls int64
	for _, r := range belongings() {
		switch {
		case r.Session != nil:
			want := slices.Clone(r.Session.Messages)
			slices.Reverse(want)
			same(t, "history", history(t, s, id, caller(r.Session.Caller), r.Session.ID), want)
		case r.Budget != nil:
			if used, reserved := spent(t, s, id, r.Budget.Name); used != r.Budget.Used || reserved != 0 {
				t.Fatalf("%q: used %d, reserved %d; want %d, 0", r.Budget.Name, used, reserved, r.Budget.Used)
			}
			left, err := s.Budgets().Reserve(ctx, id, []storage.Limit{limitOf(r.Budget.Name, r.Budget.Used)}, []int64{1})
			must(t, "Reserve", err)
			if left.Refused == "" {
				t.Fatalf("%q: the loaded budget of %d had room for one more", r.Budget.Name, r.Budget.Used)
			}
		case r.Usage != nil:
			calls += r.Usage.Calls
		}
	}
	for _, b := range sum(t, s, "a", epoch, epoch.Add(time.Hour)) {
		calls -= b.Calls
	}
	if calls != 0 {
		t.Errorf("%d calls are missing in the sums", calls)
	}
	same(t, "audit", len(records(t, s, id, 100)), 30)
	// A loaded session goes on as any other.
	appendTo(t, s, id, caller(":"), ":s", turn(500)...)
	if got := history(t, s, id, caller(":"), ":s"); len(got) < 4 || got[0] != turn(500)[1] || got[1] != turn(500)[0] {
		t.Errorf("after the load: %v", got)
	}
}

func loadReplaces(t rapid.TB, s storage.Store) {
	ctx, id := context.Background(), tenant(t, "a")
	appendTo(t, s, id, caller("x"), "s", append(turn(1), turn(2)...)...)
	appendTo(t, s, id, caller("y"), "s", turn(3)...)
	r, err := s.Budgets().Reserve(ctx, id, []storage.Limit{limitOf("day", 100)}, []int64{90})
	must(t, "Reserve", err)
	must(t, "Settle", s.Budgets().Settle(ctx, id, r, []int64{90}))
	must(t, "Add", s.Usage().Add(ctx, id, storage.UsageRecord{At: epoch, Model: "m", TokensIn: 9}))
	load(t, s, id, []storage.Record{
		{Session: &storage.SessionRecord{Caller: "x", ID: "s", Created: epoch, Messages: turn(7)}},
		{Budget: &storage.BudgetRecord{Name: "day", Used: 5, Until: limitOf("day", 0).Until}},
		{Usage: &storage.UsageBucket{Minute: epoch, Model: "m", Calls: 40, TokensIn: 50}},
	})
	same(t, "replaced", history(t, s, id, caller("x"), "s"), []storage.Message{turn(7)[1], turn(7)[0]})
	same(t, "another caller's", history(t, s, id, caller("y"), "s"), []storage.Message{turn(3)[1], turn(3)[0]})
	wantSpent(t, s, "day", 5, 0)
	must(t, "Add", s.Usage().Add(ctx, id, storage.UsageRecord{At: epoch, Model: "m", TokensIn: 1}))
	same(t, "usage", sum(t, s, "a", epoch, epoch.Add(time.Hour)), []storage.UsageBucket{{Minute: epoch, Model: "m", Calls: 41, TokensIn: 51}})
}

func loadAllOrNone(t rapid.TB, s storage.Store) {
	ctx, id := context.Background(), tenant(t, "a")
	good := storage.Record{Session: &storage.SessionRecord{Caller: "x", ID: "s", Created: epoch, Messages: turn(1)}}
	torn := turn(1)
	torn[1].At = torn[0].At
	for what, bad := range map[string]storage.Record{
		"nothing":          {},
		"two things":       {Session: good.Session, Budget: &storage.BudgetRecord{Name: "day"}},
		"no messages":      {Session: &storage.SessionRecord{Caller: "x", ID: "t"}},
		"times don't rise": {Session: &storage.SessionRecord{Caller: "x", ID: "t", Messages: torn}},
		"used below 0":     {Budget: &storage.BudgetRecord{Name: "day", Used: -1}},
		"calls below 0":    {Usage: &storage.UsageBucket{Minute: epoch, Calls: -1}},
		"half a minute":    {Usage: &storage.UsageBucket{Minute: epoch.Add(30 * time.Second), Calls: 1}},
	} {
		wantErr(t, what, s.Portable().Load(ctx, id, []storage.Record{good, bad}), storage.ErrBadRecord)
	}
	if got, _ := dump(t, s, id, ""); len(got) != 0 {
		t.Errorf("of refused loads stayed %v", spelled(t, got))
	}
}

func eraseOne(t rapid.TB, s storage.Store) {
	ctx := context.Background()
	a, others := tenant(t, "a"), []tenancy.ID{tenant(t, "a:"), tenant(t, "a*"), tenant(t, "*"), tenant(t, "%")}
	want := 0
	for _, r := range belongings() {
		if r.Session != nil {
			want++
		}
	}
	for _, id := range append(others, a) {
		load(t, s, id, belongings())
		put(t, s, id, "k", "v")
		_, err := s.Windows().Take(ctx, id, "k", []storage.Window{{Name: "long", Limit: 1, Length: time.Minute}}, epoch)
		must(t, "Take", err)
		_, err = s.Budgets().Reserve(ctx, id, []storage.Limit{limitOf("open", 10)}, []int64{10})
		must(t, "Reserve", err)
	}
	for round, sessions := range []int{want, 0} {
		got, err := s.Portable().Erase(ctx, a)
		must(t, "Erase", err)
		if got != sessions {
			t.Errorf("erase %d: told of %d sessions, want %d", round, got, sessions)
		}
	}
	if got, _ := dump(t, s, a, ""); len(got) != 0 {
		t.Errorf("%d records stayed, the first %v", len(got), spelled(t, got[:1]))
	}
	if got := walk(t, s, a, storage.Owner{All: true}, 10); len(got) != 0 {
		t.Errorf("still listed: %v", got)
	}
	if got, ok := cached(t, s, a, "k"); ok {
		t.Errorf("still cached: %q", got)
	}
	taken, err := s.Windows().Take(ctx, a, "k", []storage.Window{{Name: "long", Limit: 1, Length: time.Minute}}, epoch)
	must(t, "Take", err)
	if !taken.OK {
		t.Errorf("a take of before the erasure counts: %+v", taken)
	}
	for _, id := range others {
		got, _ := dump(t, s, id, "")
		if len(got) != len(belongings())+1 {
			t.Errorf("tenant %q has %d records left, want %d", id.Identity(), len(got), len(belongings())+1)
		}
		taken, err := s.Windows().Take(ctx, id, "k", []storage.Window{{Name: "long", Limit: 1, Length: time.Minute}}, epoch)
		must(t, "Take", err)
		if taken.OK {
			t.Errorf("tenant %q has its rate back", id.Identity())
		}
	}
}

// eraseThenUse: a reservation of before is settled after, and new things are kept.
func eraseThenUse(t rapid.TB, s storage.Store) {
	ctx, id := context.Background(), tenant(t, "a")
	appendTo(t, s, id, caller("x"), "s", turn(1)...)
	r, err := s.Budgets().Reserve(ctx, id, []storage.Limit{limitOf("day", 10)}, []int64{10})
	must(t, "Reserve", err)
	_, err = s.Portable().Erase(ctx, id)
	must(t, "Erase", err)
	must(t, "Settle", s.Budgets().Settle(ctx, id, r, []int64{3}))
	wantSpent(t, s, "day", 3, 0)
	appendTo(t, s, id, caller("x"), "s", turn(2)...)
	same(t, "history", history(t, s, id, caller("x"), "s"), []storage.Message{turn(2)[1], turn(2)[0]})
	must(t, "Add", s.Usage().Add(ctx, id, storage.UsageRecord{At: epoch, Model: "m"}))
	same(t, "usage", sum(t, s, "a", epoch, epoch.Add(time.Hour)), []storage.UsageBucket{{Minute: epoch, Model: "m", Calls: 1}})
}
