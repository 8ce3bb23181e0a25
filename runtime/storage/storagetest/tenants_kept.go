package storagetest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

func (w *world) put(t *rapid.T) {
	n, id := w.draw(t)
	value := n.tenant + "|" + rapid.StringN(0, 8, -1).Draw(t, "value")
	must(t, "Put", w.s.Cache().Put(context.Background(), id, n.session, []byte(value), time.Hour))
	w.cached[counterName{n.tenant, n.session}] = value
}

func (w *world) get(t *rapid.T) {
	n, id := w.draw(t)
	got, ok := cached(t, w.s, id, n.session)
	if want, put := w.cached[counterName{n.tenant, n.session}]; ok && (!put || got != want) {
		t.Fatalf("cache of %q: got %q, last put was %q, %v", n, got, want, put)
	}
}

func (w *world) clear(t *rapid.T) {
	n, id := w.draw(t)
	must(t, "Clear", w.s.Cache().Clear(context.Background(), id))
	w.forget(n.tenant, w.cached)
}

// forget drops one tenant's names of a model's part.
func (w *world) forget(identity string, part map[counterName]string) {
	maps.DeleteFunc(part, func(c counterName, _ string) bool { return c.tenant == identity })
}

func (w *world) record(t *rapid.T) {
	n, id := w.draw(t)
	r := storage.AuditRecord{At: w.now, Caller: n.caller, Tool: n.session, ParamsHash: fmt.Sprint(len(w.audit[n.tenant])), Outcome: "ok"}
	record(t, w.s, id, r)
	w.audit[n.tenant] = append(w.audit[n.tenant], r)
}

func (w *world) records(t *rapid.T) {
	n, id := w.draw(t)
	want := slices.Clone(w.audit[n.tenant])
	slices.Reverse(want)
	if d := cmp.Diff(want, records(t, w.s, id, rapid.IntRange(1, 4).Draw(t, "page"))); d != "" {
		t.Fatalf("audit of %q (-want +got):\n%s", n.tenant, d)
	}
}

// move dumps a tenant's data and loads it over itself, now and then: nothing changes but
// that what was reserved is spent.
func (w *world) move(t *rapid.T) {
	n, id := w.draw(t)
	if rapid.IntRange(0, 3).Draw(t, "move") != 0 {
		return
	}
	all, _ := dump(t, w.s, id, "")
	sessions := 0
	for m := range w.sessions {
		if m.tenant == n.tenant {
			sessions++
		}
	}
	for _, r := range all {
		if r.Session != nil {
			sessions--
		}
	}
	if sessions != 0 {
		t.Fatalf("the dump of %q lacks %d sessions", n.tenant, sessions)
	}
	load(t, w.s, id, all)
	w.open = slices.DeleteFunc(w.open, func(o openReservation) bool { return o.tenant == n.tenant })
	for c, reserved := range w.reserved {
		if c.tenant == n.tenant {
			w.used[c], w.reserved[c] = w.used[c]+reserved, 0
		}
	}
}

func (w *world) erase(t *rapid.T) {
	n, id := w.draw(t)
	if rapid.IntRange(0, 3).Draw(t, "erase") != 0 {
		return
	}
	got, err := w.s.Portable().Erase(context.Background(), id)
	must(t, "Erase", err)
	for m := range w.sessions {
		if m.tenant == n.tenant {
			got--
			delete(w.sessions, m)
			delete(w.updated, m)
		}
	}
	if got != 0 {
		t.Fatalf("erase of %q told of %d sessions too many", n.tenant, got)
	}
	of := func(c counterName) bool { return c.tenant == n.tenant }
	maps.DeleteFunc(w.windows, func(c counterName, _ *modelWindow) bool { return of(c) })
	for _, part := range []map[counterName]int64{w.used, w.reserved, w.calls} {
		maps.DeleteFunc(part, func(c counterName, _ int64) bool { return of(c) })
	}
	w.open = slices.DeleteFunc(w.open, func(o openReservation) bool { return of(o.counterName) })
	w.forget(n.tenant, w.cached)
	delete(w.audit, n.tenant)
}
