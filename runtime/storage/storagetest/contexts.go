package storagetest

import (
	"context"
	"time"

	"pgregory.net/rapid"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

var contextChecks = []Check{
	{"Context/an ended one does nothing", contextEnded},
	{"Context/what was used is billed all the same", contextEndedBills},
	{"Context/no tenant is refused by every method", noTenant},
}

var oneWindow = []storage.Window{{Name: "long", Limit: 2, Length: time.Minute}}

// calls are the methods that a context can end.
func calls(ctx context.Context, s storage.Store, id tenancy.ID) map[string]func() error {
	o := caller("x")
	return map[string]func() error{
		"Append":  func() error { return s.Sessions().Append(ctx, id, o, "s", turn(1), storage.Keep{}) },
		"History": func() error { _, err := s.Sessions().History(ctx, id, o, "s", storage.Page{Limit: 1}); return err },
		"Delete":  func() error { return s.Sessions().Delete(ctx, id, o, "s") },
		"List":    func() error { _, _, err := s.Sessions().List(ctx, id, o, 1, ""); return err },
		"Expire":  func() error { _, err := s.Sessions().Expire(ctx, id, time.Now()); return err },
		"Take":    func() error { _, err := s.Windows().Take(ctx, id, "key", oneWindow, epoch); return err },
		"Reserve": func() error {
			_, err := s.Budgets().Reserve(ctx, id, []storage.Limit{limitOf("day", 10)}, []int64{4})
			return err
		},
		"Spent":   func() error { _, _, err := s.Budgets().Spent(ctx, id, []string{"day"}); return err },
		"Get":     func() error { _, _, err := s.Cache().Get(ctx, id, "k"); return err },
		"Put":     func() error { return s.Cache().Put(ctx, id, "k", []byte("v"), time.Hour) },
		"Clear":   func() error { return s.Cache().Clear(ctx, id) },
		"Records": func() error { _, _, err := s.Audit().Records(ctx, id, epoch, epoch.Add(time.Hour), 1, ""); return err },
		"Dump":    func() error { return s.Portable().Dump(ctx, id, "", func(storage.Record, string) error { return nil }) },
		"Load":    func() error { return s.Portable().Load(ctx, id, belongings()[:2]) },
		"Erase":   func() error { _, err := s.Portable().Erase(ctx, id); return err },
		"Sum":     func() error { _, err := s.Usage().Sum(ctx, id, epoch, epoch.Add(time.Hour)); return err },
	}
}

func contextEnded(t rapid.TB, s storage.Store) {
	id := tenant(t, "a")
	appendTo(t, s, id, caller("x"), "kept", turn(0)...)
	appendTo(t, s, id, caller("x"), "s", turn(0)...)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for name, call := range calls(ctx, s, id) {
		wantErr(t, name, call(), context.Canceled)
	}
	for _, session := range []string{"kept", "s"} {
		same(t, session, history(t, s, id, caller("x"), session), []storage.Message{turn(0)[1], turn(0)[0]})
	}
	if got := take(t, s, "key", oneWindow, epoch); got.Remaining != 1 {
		t.Errorf("the ended take cost: %+v", got)
	}
	wantSpent(t, s, "day", 0, 0)
}

func contextEndedBills(t rapid.TB, s storage.Store) {
	id := tenant(t, "a")
	r := reserve(t, s, []storage.Limit{limitOf("day", 10)}, 4)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	must(t, "Settle", s.Budgets().Settle(ctx, id, r, []int64{3}))
	wantSpent(t, s, "day", 3, 0)
	must(t, "Add", s.Usage().Add(ctx, id, storage.UsageRecord{At: epoch, Model: "m"}))
	if got := sum(t, s, "a", epoch, epoch.Add(time.Hour)); len(got) != 1 || got[0].Calls != 1 {
		t.Errorf("got %v", got)
	}
	must(t, "Record", s.Audit().Record(ctx, id, ran(1)))
	same(t, "audit", records(t, s, id, 10), []storage.AuditRecord{ran(1)})
	take(t, s, "key", oneWindow, epoch)
	must(t, "Return", s.Windows().Return(ctx, id, "key", oneWindow, epoch))
	if got := take(t, s, "key", oneWindow, epoch); got.Remaining != 1 {
		t.Errorf("the take was not returned: %+v", got)
	}
}

func noTenant(t rapid.TB, s storage.Store) {
	ctx, none := context.Background(), tenancy.ID{}
	for name, call := range calls(ctx, s, none) {
		wantErr(t, name, call(), storage.ErrNoTenant)
	}
	r := reserve(t, s, []storage.Limit{limitOf("day", 10)}, 4)
	wantErr(t, "Settle", s.Budgets().Settle(ctx, none, r, []int64{4}), storage.ErrNoTenant)
	wantErr(t, "Add", s.Usage().Add(ctx, none, storage.UsageRecord{At: epoch}), storage.ErrNoTenant)
	wantErr(t, "Record", s.Audit().Record(ctx, none, ran(1)), storage.ErrNoTenant)
	wantErr(t, "Return", s.Windows().Return(ctx, none, "key", oneWindow, epoch), storage.ErrNoTenant)
	wantSpent(t, s, "day", 0, 4)
}
