package storagetest

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// lane is one tenant: its stores, and what a right store would hold of it.
type lane struct {
	run       *isolationRun
	ctx       context.Context
	id        tenancy.ID
	neighbour tenancy.ID
	stores    []storage.Store
	rand      *rand.Rand
	callers   []string
	names     []string
	ended     bool
	// now goes faster than any clock, so that no time to live of a server runs out
	// before the model says so.
	now  time.Time
	made int

	sessions       map[laneSession][]storage.Message
	windows        map[string]*modelWindow
	taken          []laneTake
	used, reserved map[string]int64
	open           []storage.Reservation
	usage          map[string]int64
	cached         map[string][]byte
	audit          []storage.AuditRecord
	library        map[string]laneDocument
	// changed is the latest change that a publication told.
	changed int64
	// queue holds the jobs that wait, in their order.
	queue []laneJob
}

// laneSession is a struct, where no names can spell those of another.
type laneSession struct{ caller, id string }

type laneTake struct {
	key string
	at  time.Time
}

func newLane(ctx context.Context, r *isolationRun, id tenancy.ID, stores []storage.Store, rnd *rand.Rand) *lane {
	l := &lane{run: r, ctx: ctx, id: id, stores: stores, rand: rnd, now: epoch}
	l.callers, l.names = hostileNames()
	l.forgetAll()
	return l
}

func (l *lane) forgetAll() {
	l.sessions, l.windows, l.taken = map[laneSession][]storage.Message{}, map[string]*modelWindow{}, nil
	l.used, l.reserved, l.open = map[string]int64{}, map[string]int64{}, nil
	l.usage, l.cached, l.audit = map[string]int64{}, map[string][]byte{}, nil
	l.library, l.queue = map[string]laneDocument{}, nil
}

// store is any replica.
func (l *lane) store() storage.Store { return l.stores[l.rand.IntN(len(l.stores))] }

// home is the replica that what may ride on a later write is written and read by.
func (l *lane) home() storage.Store { return l.stores[0] }

func (l *lane) name() string { return l.names[l.rand.IntN(len(l.names))] }

func (l *lane) session() laneSession {
	return laneSession{l.callers[l.rand.IntN(len(l.callers))], l.name()}
}

// text carries the tenant, so that whoever reads it can tell whose it is.
func (l *lane) text() string {
	l.made++
	return fmt.Sprintf("%s\n%d", l.id.Identity(), l.made)
}

func (l *lane) mine(text string) bool { return strings.HasPrefix(text, l.id.Identity()+"\n") }

// operations and how often each is drawn.
func (l *lane) operations() (ops []func(), weights []int) {
	for _, o := range []struct {
		weight int
		op     func()
	}{
		{180, l.append}, {180, l.history}, {20, l.delete}, {40, l.list}, {3, l.expire},
		{140, l.take}, {30, l.giveBack}, {80, l.reserve}, {80, l.settle}, {40, l.spent},
		{50, l.use}, {20, l.sum}, {50, l.get}, {50, l.put}, {3, l.clear}, {30, l.record}, {15, l.records},
		{3, l.appendsAtOnce}, {3, l.takesAtOnce}, {3, l.reservesAtOnce}, {2, l.usesAtOnce}, {1, l.move},
	} {
		ops, weights = append(ops, o.op), append(weights, o.weight)
	}
	moreOps, moreWeights := l.documentOperations()
	ops, weights = append(ops, moreOps...), append(weights, moreWeights...)
	if l.run.Enforced {
		ops, weights = append(ops, l.trespass), append(weights, 20)
	}
	return ops, weights
}

func (l *lane) begin() {
	_, err := l.home().Portable().Erase(l.ctx, l.id)
	l.run.did(1)
	l.works("Erase", err)
}

func (l *lane) play() {
	ops, weights := l.operations()
	total := 0
	for _, w := range weights {
		total += w
	}
	for !l.ended && l.run.made.Load() < l.run.Operations {
		l.now = l.now.Add(time.Duration(l.rand.IntN(600)) * time.Millisecond)
		n, i := l.rand.IntN(total), 0
		for n >= weights[i] {
			n -= weights[i]
			i++
		}
		ops[i]()
		// A store in memory never waits, and one lane would make all that is left.
		runtime.Gosched()
	}
}

// readAll compares all that the model has with the store.
func (l *lane) readAll() {
	for s := range l.sessions {
		l.compare(l.store(), s)
	}
	for _, name := range l.names {
		l.compareSpent(name)
		l.compareCached(name)
	}
	l.sum()
	l.compareAudit(epoch, len(l.audit)+1)
	l.readLibrary()
}

func (l *lane) end() {
	sessions, err := l.home().Portable().Erase(l.ctx, l.id)
	l.run.did(1)
	if l.works("Erase", err) {
		l.counts("sessions erased", int64(sessions), int64(len(l.sessions)))
	}
	err = l.home().Portable().Dump(l.ctx, l.id, "", func(r storage.Record, _ string) error {
		return fmt.Errorf("after the erasure there still is %+v", r)
	})
	l.run.did(1)
	if err != nil {
		l.deviates(lost, "%v", err)
	}
}

func (l *lane) append() {
	s := l.session()
	msgs := make([]storage.Message, 1+l.rand.IntN(3))
	for i := range msgs {
		msgs[i] = storage.Message{Role: storage.RoleUser, Content: l.text(), At: l.now.Add(time.Duration(i) * time.Millisecond), Tokens: i}
	}
	most := []int{0, 0, 3, 12}[l.rand.IntN(4)]
	if len(l.sessions[s]) > 40 {
		most = 12
	}
	err := l.store().Sessions().Append(l.ctx, l.id, caller(s.caller), s.id, msgs, storage.Keep{MaxMessages: most})
	l.run.did(1)
	if !l.works("Append", err) {
		return
	}
	have := l.sessions[s]
	if len(have) > 0 {
		move := max(0, have[len(have)-1].At.Add(time.Millisecond).Sub(msgs[0].At))
		for i := range msgs {
			msgs[i].At = msgs[i].At.Add(move)
		}
	}
	have = append(have, msgs...)
	if most > 0 {
		have = slices.Clone(have[max(0, len(have)-most):])
	}
	l.sessions[s] = have
}

func (l *lane) history() { l.compare(l.store(), l.session()) }

// compare reads a whole session and holds it against the model.
func (l *lane) compare(from storage.Store, s laneSession) {
	got, err := from.Sessions().History(l.ctx, l.id, caller(s.caller), s.id, storage.Page{Limit: 1 << 20})
	l.run.did(1)
	if l.works("History", err) {
		slices.Reverse(got)
		l.sameMessages(s, got, l.sessions[s])
	}
}

func (l *lane) sameMessages(s laneSession, got, want []storage.Message) bool {
	for _, m := range got {
		if !l.mine(m.Content) {
			l.deviates(leak, "session %q of caller %q holds %q", s.id, s.caller, m.Content)
			return false
		}
	}
	if !slices.EqualFunc(got, want, func(a, b storage.Message) bool {
		sameTime := a.At.Equal(b.At)
		a.At, b.At = time.Time{}, time.Time{}
		return sameTime && a == b
	}) {
		l.deviates(lost, "session %q of caller %q: got %v, want %v", s.id, s.caller, got, want)
		return false
	}
	return true
}

func (l *lane) delete() {
	s, all := l.session(), l.rand.IntN(4) == 0
	err := l.store().Sessions().Delete(l.ctx, l.id, storage.Owner{Caller: s.caller, All: all}, s.id)
	l.run.did(1)
	if !l.works("Delete", err) {
		return
	}
	for other := range l.sessions {
		if other == s || all && other.id == s.id {
			delete(l.sessions, other)
		}
	}
}

func (l *lane) list() {
	o := storage.Owner{Caller: l.session().caller, All: l.rand.IntN(4) == 0}
	want, all := map[string]int{}, 0
	for s, msgs := range l.sessions {
		if o.All || s.caller == o.Caller {
			want[s.id] += len(msgs)
			all++
		}
	}
	got, pages := 0, l.store()
	page := 1 + l.rand.IntN(20)
	last := time.Time{}
	for cursor := ""; ; {
		found, next, err := pages.Sessions().List(l.ctx, l.id, o, page, cursor)
		l.run.did(1)
		if !l.works("List", err) {
			return
		}
		for _, i := range found {
			if _, ok := want[i.ID]; !ok {
				l.deviates(leak, "caller %q lists %+v", o.Caller, i)
				return
			}
			if !last.IsZero() && i.Updated.After(last) {
				l.deviates(lost, "a list is out of order at %+v", i)
				return
			}
			want[i.ID] -= i.Messages
			last = i.Updated
		}
		got += len(found)
		if cursor = next; cursor == "" {
			break
		}
	}
	if !l.counts("sessions listed", int64(got), int64(all)) {
		return
	}
	for id, n := range want {
		l.counts(fmt.Sprintf("messages missing in the list at %q", id), int64(-n), 0)
	}
}

func (l *lane) expire() {
	before := l.now.Add(-time.Duration(l.rand.IntN(600)) * time.Second)
	got, err := l.store().Sessions().Expire(l.ctx, l.id, before)
	l.run.did(1)
	if !l.works("Expire", err) {
		return
	}
	want := 0
	for s, msgs := range l.sessions {
		if msgs[len(msgs)-1].At.Before(before) {
			delete(l.sessions, s)
			want++
		}
	}
	l.counts("sessions expired", int64(got), int64(want))
}

func (l *lane) get() { l.compareCached(l.name()) }

func (l *lane) compareCached(key string) {
	got, ok, err := l.store().Cache().Get(l.ctx, l.id, key)
	l.run.did(1)
	if !l.works("Get", err) || !ok {
		return
	}
	if !l.mine(string(got)) {
		l.deviates(leak, "the cache holds %q under %q", got, key)
	} else if !bytes.Equal(got, l.cached[key]) {
		l.deviates(lost, "the cache holds %q under %q, last put was %q", got, key, l.cached[key])
	}
}

func (l *lane) put() {
	key, value := l.name(), []byte(l.text())
	err := l.store().Cache().Put(l.ctx, l.id, key, value, 24*time.Hour)
	l.run.did(1)
	if l.works("Put", err) {
		l.cached[key] = value
	}
}

func (l *lane) clear() {
	err := l.store().Cache().Clear(l.ctx, l.id)
	l.run.did(1)
	if l.works("Clear", err) {
		clear(l.cached)
	}
}

func (l *lane) record() {
	r := storage.AuditRecord{At: l.now, Caller: l.session().caller, Tool: l.name(), ParamsHash: l.text(), Outcome: "ok", Duration: time.Millisecond}
	err := l.home().Audit().Record(l.ctx, l.id, r)
	l.run.did(1)
	if l.works("Record", err) {
		l.audit = append(l.audit, r)
	}
}

func (l *lane) records() { l.compareAudit(l.now.Add(-10*time.Minute), 5) }

// compareAudit reads the newest records since a time, a page of this many.
func (l *lane) compareAudit(since time.Time, limit int) {
	if l.ended {
		return
	}
	got, _, err := l.home().Audit().Records(l.ctx, l.id, since, l.now.Add(time.Second), limit, "")
	l.run.did(1)
	if !l.works("Records", err) {
		return
	}
	var want []storage.AuditRecord
	for _, r := range slices.Backward(l.audit) {
		if len(want) < limit && !r.At.Before(since) {
			want = append(want, r)
		}
	}
	for i, r := range got {
		if !l.mine(r.ParamsHash) {
			l.deviates(leak, "audit holds %+v", r)
			return
		}
		if i < len(want) && r.At.Equal(want[i].At) {
			r.At = want[i].At
		}
		if i >= len(want) || r != want[i] {
			l.deviates(lost, "audit record %d is %+v of %v", i, r, want)
			return
		}
	}
	l.counts("audit records", int64(len(got)), int64(len(want)))
}
