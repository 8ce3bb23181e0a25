package storagetest_test

import (
	"context"
	"strings"
	"testing"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/memory"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/storagetest"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

func isolate(t *testing.T, s storage.Store, operations int64) storagetest.Verdict {
	t.Helper()
	v, err := storagetest.Isolation{
		Operations: operations, Seed: 1,
		Open: func(context.Context, tenancy.ID) ([]storage.Store, error) { return []storage.Store{s}, nil },
	}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestIsolationOfARightStore(t *testing.T) {
	v := isolate(t, memory.New(memory.Options{MaxBytes: 1 << 30}), 50_000)
	if !v.OK() || v.Operations < 50_000 {
		t.Errorf("%+v", v)
	}
}

// TestIsolationHasTeeth: a store that spells names of tenants, or that breaks a promise
// one time in many, doesn't get through.
func TestIsolationHasTeeth(t *testing.T) {
	for _, m := range []struct {
		breaks string
		plant  func(storage.Store) storage.Store
		leaks  bool
	}{
		{"sessions under callers joined by a colon", joinedSessions, false},
		{"windows under tenant + \":\" + key", joinedWindows, true},
		{"budgets under tenant + \":\" + key", joinedBudgets, true},
		{"cache under tenant + \":\" + key", joinedCache, true},
		{"everything under tenant + \":\" + key", joinedAll, true},
		{"a cache that isn't cleared", clearsNothing, false},
		{"messages appended one by one", tornAppend, false},
		{"a budget checked, then incremented", checkThenReserve, false},
		{"a usage record in a thousand is lost", losesUsage, false},
		{"an audit record in a hundred is lost", losesAudit, false},
		{"a dump without audit", dumpsNoAudit, false},
		{"documents under tenant + \":\" + id", joinedDocuments, false},
		{"one queue for all tenants", oneQueue, true},
		{"a dump without documents", dumpsNoDocuments, false},
		{"passages of the version before stay", keepsOldPassages, false},
	} {
		t.Run(m.breaks, func(t *testing.T) {
			t.Parallel()
			v := isolate(t, m.plant(memory.New(memory.Options{})), 40_000)
			if v.OK() {
				t.Fatalf("not noticed: %+v", v)
			}
			if m.leaks && v.Leaks == 0 {
				t.Errorf("no leak among %s", strings.Join(v.Deviations, "\n"))
			}
		})
	}
}

// joinedAll keys all that has a key as so many do.
func joinedAll(s storage.Store) storage.Store {
	p := plant(s)
	p.windows, p.budgets, p.cache = joinedWindows(s).Windows(), joinedBudgets(s).Budgets(), joinedCache(s).Cache()
	return p
}
