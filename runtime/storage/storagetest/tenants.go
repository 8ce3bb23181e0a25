package storagetest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

var tenantChecks = []Check{
	{"Tenants/no name spells another's", namesApart},
	{"Tenants/any interleaving against a model", tenantsApart},
}

// namesApart gives each of many names that spell each other the last that it may
// have: none may find it taken.
func namesApart(t rapid.TB, s storage.Store) {
	ctx := context.Background()
	for _, sep := range separators {
		tenants, _, names := spelling(sep)
		for _, identity := range tenants {
			id := tenant(t, sep+"/"+identity)
			for _, name := range names {
				what := fmt.Sprintf("%q of tenant %q", name, identity)
				taken, err := s.Windows().Take(ctx, id, name, []storage.Window{{Name: "long", Limit: 1, Length: time.Minute}}, epoch)
				must(t, "Take", err)
				r, err := s.Budgets().Reserve(ctx, id, []storage.Limit{limitOf(name, 1)}, []int64{1})
				must(t, "Reserve", err)
				if !taken.OK || r.Refused != "" {
					t.Fatalf("%s was used by another: %+v, %+v", what, taken, r)
				}
				if got := history(t, s, id, caller(name), name); got != nil {
					t.Fatalf("%s was written by another: %v", what, got)
				}
				appendTo(t, s, id, caller(name), name, turn(1)...)
			}
		}
	}
}

// spelling returns names that can spell each other when a store joins or globs them.
func spelling(sep string) (tenants, callers, names []string) {
	return []string{"a", "a" + sep, "a" + sep + "b", "a" + sep + "b" + sep + "c"},
		[]string{"", "b", "b" + sep + "c", "c"},
		[]string{"s", sep, sep + "s", "c" + sep + "s", "b" + sep + "s", "b" + sep + "c" + sep + "s"}
}

// sessionName names a session in the model, where a struct can't be misspelt.
type sessionName struct{ tenant, caller, session string }

type counterName struct{ tenant, name string }

// world is what a right store would hold.
type world struct {
	t        *rapid.T
	s        storage.Store
	prefix   string
	tenants  []string
	callers  []string
	names    []string
	now      time.Time
	sessions map[sessionName][]storage.Message
	updated  map[sessionName]time.Time
	windows  map[counterName]*modelWindow
	used     map[counterName]int64
	reserved map[counterName]int64
	open     []openReservation
	calls    map[counterName]int64
	cached   map[counterName]string
	audit    map[string][]storage.AuditRecord
}

type openReservation struct {
	counterName
	storage.Reservation
}

// tenantsApart drives several tenants whose names spell each other through one store
// and compares everything that can be read with the model.
func tenantsApart(t rapid.TB, s storage.Store) {
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		w := &world{
			t: t, s: s, prefix: fmt.Sprintf("%d/", run), now: epoch,
			sessions: map[sessionName][]storage.Message{}, updated: map[sessionName]time.Time{},
			windows: map[counterName]*modelWindow{}, used: map[counterName]int64{},
			reserved: map[counterName]int64{}, calls: map[counterName]int64{},
			cached: map[counterName]string{}, audit: map[string][]storage.AuditRecord{},
		}
		w.tenants, w.callers, w.names = spelling(rapid.SampledFrom(separators).Draw(t, "separator"))
		t.Repeat(map[string]func(*rapid.T){
			"append": w.append, "history": w.history, "delete": w.delete, "list": w.list, "expire": w.expire,
			"take": w.take, "reserve": w.reserve, "settle": w.settle, "spent": w.spent, "use": w.use, "sum": w.sum,
			"put": w.put, "get": w.get, "clear": w.clear, "record": w.record, "records": w.records, "move": w.move, "erase": w.erase,
		})
		w.readAll(t)
	})
}

func (w *world) draw(t *rapid.T) (sessionName, tenancy.ID) {
	n := sessionName{
		tenant:  rapid.SampledFrom(w.tenants).Draw(t, "tenant"),
		caller:  rapid.SampledFrom(w.callers).Draw(t, "caller"),
		session: rapid.SampledFrom(w.names).Draw(t, "session"),
	}
	return n, w.id(n.tenant)
}

func (w *world) id(identity string) tenancy.ID { return tenant(w.t, w.prefix+identity) }

func (w *world) append(t *rapid.T) {
	n, id := w.draw(t)
	w.now = w.now.Add(time.Duration(rapid.IntRange(0, 2).Draw(t, "later")) * time.Millisecond)
	msgs := make([]storage.Message, rapid.IntRange(1, 3).Draw(t, "messages"))
	for i := range msgs {
		msgs[i] = storage.Message{Role: storage.RoleUser, Content: rapid.StringN(0, 8, -1).Draw(t, "text"), At: w.now.Add(time.Duration(i) * time.Millisecond), Tokens: i}
	}
	most := rapid.SampledFrom([]int{0, 0, 1, 4}).Draw(t, "keep")
	must(t, "Append", w.s.Sessions().Append(context.Background(), id, caller(n.caller), n.session, msgs, storage.Keep{MaxMessages: most}))
	if move := w.updated[n].Add(time.Millisecond).Sub(w.now); w.sessions[n] != nil && move > 0 {
		for i := range msgs {
			msgs[i].At = msgs[i].At.Add(move)
		}
	}
	all := append(w.sessions[n], msgs...)
	if most > 0 {
		all = all[max(0, len(all)-most):]
	}
	w.sessions[n], w.updated[n] = all, msgs[len(msgs)-1].At
}

func (w *world) history(t *rapid.T) {
	n, id := w.draw(t)
	w.compare(t, n, id)
}

func (w *world) compare(t *rapid.T, n sessionName, id tenancy.ID) {
	want := slices.Clone(w.sessions[n])
	slices.Reverse(want)
	if len(want) == 0 {
		want = nil
	}
	if d := cmp.Diff(want, history(t, w.s, id, caller(n.caller), n.session)); d != "" {
		t.Fatalf("history of %q (-want +got):\n%s", n, d)
	}
}

func (w *world) delete(t *rapid.T) {
	n, id := w.draw(t)
	all := rapid.IntRange(0, 3).Draw(t, "all") == 0
	must(t, "Delete", w.s.Sessions().Delete(context.Background(), id, storage.Owner{Caller: n.caller, All: all}, n.session))
	for m := range w.sessions {
		if m == n || all && m.tenant == n.tenant && m.session == n.session {
			delete(w.sessions, m)
			delete(w.updated, m)
		}
	}
}

func (w *world) list(t *rapid.T) {
	n, id := w.draw(t)
	all := rapid.Bool().Draw(t, "all")
	got := walk(t, w.s, id, storage.Owner{Caller: n.caller, All: all}, rapid.IntRange(1, 5).Draw(t, "page"))
	want := map[sessionName]int{}
	for m, msgs := range w.sessions {
		if m.tenant == n.tenant && (all || m.caller == n.caller) {
			want[m] = len(msgs)
		}
	}
	if len(got) != len(want) {
		t.Fatalf("list of %q, all %v: got %d sessions %v, want %d", n, all, len(got), got, len(want))
	}
	for i, info := range got {
		if i > 0 && info.Updated.After(got[i-1].Updated) {
			t.Fatalf("%v is listed after %v", info, got[i-1])
		}
		if all {
			continue
		}
		m := sessionName{n.tenant, n.caller, info.ID}
		if want[m] != info.Messages || !info.Updated.Equal(w.updated[m]) {
			t.Fatalf("list of %q: got %+v, want %d messages, updated %v", n, info, want[m], w.updated[m])
		}
	}
}

func (w *world) expire(t *rapid.T) {
	n, id := w.draw(t)
	before := w.now.Add(-time.Duration(rapid.IntRange(0, 10).Draw(t, "age")) * time.Millisecond)
	got, err := w.s.Sessions().Expire(context.Background(), id, before)
	must(t, "Expire", err)
	want := 0
	for m, at := range w.updated {
		if m.tenant == n.tenant && at.Before(before) {
			delete(w.sessions, m)
			delete(w.updated, m)
			want++
		}
	}
	if got != want {
		t.Fatalf("expire of %q: removed %d, want %d", n.tenant, got, want)
	}
}

func (w *world) take(t *rapid.T) {
	n, id := w.draw(t)
	c := counterName{n.tenant, n.session}
	m := w.windows[c]
	if m == nil {
		m = &modelWindow{Window: storage.Window{Name: "long", Limit: 2, Length: 5 * time.Millisecond}}
		w.windows[c] = m
	}
	want := modelTake([]*modelWindow{m}, w.now)
	got, err := w.s.Windows().Take(context.Background(), id, c.name, []storage.Window{m.Window}, w.now)
	must(t, "Take", err)
	if got != want {
		t.Fatalf("take of %q: got %+v, want %+v", c, got, want)
	}
}

func (w *world) reserve(t *rapid.T) {
	n, id := w.draw(t)
	c := counterName{n.tenant, n.session}
	const most = 20
	amount := rapid.Int64Range(0, 12).Draw(t, "amount")
	r, err := w.s.Budgets().Reserve(context.Background(), id, []storage.Limit{limitOf(c.name, most)}, []int64{amount})
	must(t, "Reserve", err)
	fits := w.used[c]+w.reserved[c]+amount <= most
	if (r.Refused == "") != fits {
		t.Fatalf("reserve %d of %q: got %+v, used %d, reserved %d of %d", amount, c, r, w.used[c], w.reserved[c], most)
	}
	if fits {
		w.reserved[c] += amount
		w.open = append(w.open, openReservation{c, r})
	}
}

func (w *world) settle(t *rapid.T) {
	if len(w.open) == 0 {
		t.Skip("nothing is reserved")
	}
	i := rapid.IntRange(0, len(w.open)-1).Draw(t, "reservation")
	o := w.open[i]
	w.open = slices.Delete(w.open, i, i+1)
	used := rapid.Int64Range(0, 12).Draw(t, "used")
	must(t, "Settle", w.s.Budgets().Settle(context.Background(), w.id(o.tenant), o.Reservation, []int64{used}))
	w.reserved[o.counterName] -= o.Amounts[0]
	w.used[o.counterName] += used
}

func (w *world) spent(t *rapid.T) {
	n, id := w.draw(t)
	w.compareSpent(t, counterName{n.tenant, n.session}, id)
}

func (w *world) compareSpent(t *rapid.T, c counterName, id tenancy.ID) {
	used, reserved := spent(t, w.s, id, c.name)
	if used != w.used[c] || reserved != w.reserved[c] {
		t.Fatalf("spent of %q: got %d, %d; want %d, %d", c, used, reserved, w.used[c], w.reserved[c])
	}
}

func (w *world) use(t *rapid.T) {
	n, id := w.draw(t)
	must(t, "Add", w.s.Usage().Add(context.Background(), id, storage.UsageRecord{At: w.now, Model: n.session}))
	w.calls[counterName{n.tenant, n.session}]++
}

func (w *world) sum(t *rapid.T) {
	n, id := w.draw(t)
	w.compareSum(t, n.tenant, id)
}

func (w *world) compareSum(t *rapid.T, identity string, id tenancy.ID) {
	buckets, err := w.s.Usage().Sum(context.Background(), id, epoch, epoch.Add(time.Hour))
	must(t, "Sum", err)
	got := map[counterName]int64{}
	for _, b := range buckets {
		got[counterName{identity, b.Model}] += b.Calls
	}
	for _, session := range w.names {
		c := counterName{identity, session}
		if got[c] != w.calls[c] {
			t.Fatalf("usage of %q: got %d calls, want %d", c, got[c], w.calls[c])
		}
	}
}

// readAll compares all names that were written with the model, and leaves the store
// as it was found.
func (w *world) readAll(t *rapid.T) {
	for n := range w.sessions {
		w.compare(t, n, w.id(n.tenant))
	}
	for c := range w.reserved {
		w.compareSpent(t, c, w.id(c.tenant))
	}
	for _, identity := range w.tenants {
		w.compareSum(t, identity, w.id(identity))
		_, err := w.s.Sessions().Expire(context.Background(), w.id(identity), w.now.Add(time.Hour))
		must(t, "Expire", err)
	}
}
