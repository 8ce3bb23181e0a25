package storagetest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

// laneBudget is the most of each budget of a lane.
const laneBudget = 1000

// windowOf is so narrow that it often is full.
func (l *lane) windowOf(key string) *modelWindow {
	m := l.windows[key]
	if m == nil {
		m = &modelWindow{Window: storage.Window{Name: "long", Limit: 1 + len(key)%3, Length: time.Hour}}
		l.windows[key] = m
	}
	return m
}

func (l *lane) take() {
	key := l.name()
	m := l.windowOf(key)
	got, err := l.store().Windows().Take(l.ctx, l.id, key, []storage.Window{m.Window}, l.now)
	l.run.did(1)
	if !l.works("Take", err) {
		return
	}
	want := modelTake([]*modelWindow{m}, l.now)
	switch {
	case !got.OK && want.OK || got.Remaining < want.Remaining:
		l.deviates(leak, "take of %q: got %+v, want %+v: somebody else has taken", key, got, want)
	case got != want:
		l.deviates(lost, "take of %q: got %+v, want %+v", key, got, want)
	case got.OK:
		l.taken = append(l.taken, laneTake{key, l.now})
	}
}

func (l *lane) giveBack() {
	if len(l.taken) == 0 {
		return
	}
	last := l.taken[len(l.taken)-1]
	l.taken = l.taken[:len(l.taken)-1]
	m := l.windowOf(last.key)
	err := l.store().Windows().Return(l.ctx, l.id, last.key, []storage.Window{m.Window}, last.at)
	l.run.did(1)
	if !l.works("Return", err) {
		return
	}
	if i := slices.IndexFunc(m.takes, last.at.Equal); i >= 0 {
		m.takes = slices.Delete(m.takes, i, i+1)
	}
}

func (l *lane) reserve() {
	name, amount := l.name(), int64(l.rand.IntN(60))
	r, err := l.store().Budgets().Reserve(l.ctx, l.id, []storage.Limit{limitOf(name, laneBudget)}, []int64{amount})
	l.run.did(1)
	if !l.works("Reserve", err) {
		return
	}
	fits := l.used[name]+l.reserved[name]+amount <= laneBudget
	switch {
	case r.Refused != "" && fits:
		l.deviates(leak, "budget %q has no room for %d: used %d, reserved %d", name, amount, l.used[name], l.reserved[name])
	case r.Refused == "" && !fits:
		l.deviates(lost, "budget %q is overdrawn by %d: used %d, reserved %d", name, amount, l.used[name], l.reserved[name])
	case fits:
		l.reserved[name] += amount
		l.open = append(l.open, r)
	}
}

func (l *lane) settle() {
	if len(l.open) == 0 {
		return
	}
	i := l.rand.IntN(len(l.open))
	r := l.open[i]
	l.open = slices.Delete(l.open, i, i+1)
	name, used := r.Limits[0].Name, int64(l.rand.IntN(20))
	err := l.home().Budgets().Settle(l.ctx, l.id, r, []int64{used})
	l.run.did(1)
	if l.works("Settle", err) {
		l.reserved[name] -= r.Amounts[0]
		l.used[name] += used
	}
}

func (l *lane) spent() { l.compareSpent(l.name()) }

func (l *lane) compareSpent(name string) {
	if l.ended {
		return
	}
	used, reserved, err := l.home().Budgets().Spent(l.ctx, l.id, []string{name})
	l.run.did(1)
	if l.works("Spent", err) {
		_ = l.counts(fmt.Sprintf("used of budget %q", name), used[0], l.used[name]) &&
			l.counts(fmt.Sprintf("reserved of budget %q", name), reserved[0], l.reserved[name])
	}
}

func (l *lane) use() {
	name := l.name()
	err := l.home().Usage().Add(l.ctx, l.id, l.call(name))
	l.run.did(1)
	if l.works("Add", err) {
		l.usage[name]++
	}
}

func (l *lane) call(model string) storage.UsageRecord {
	return storage.UsageRecord{At: epoch.Add(time.Duration(len(model)) * time.Minute), Model: model, Feature: "chat", Outcome: "ok", TokensIn: 3}
}

func (l *lane) sum() {
	if l.ended {
		return
	}
	buckets, err := l.home().Usage().Sum(l.ctx, l.id, epoch, epoch.Add(time.Hour))
	l.run.did(1)
	if !l.works("Sum", err) {
		return
	}
	got := map[string]int64{}
	for _, b := range buckets {
		got[b.Model] += b.Calls
		if b.TokensIn != 3*b.Calls {
			l.deviates(lost, "usage of %q: %d calls have %d tokens", b.Model, b.Calls, b.TokensIn)
			return
		}
	}
	for _, name := range l.names {
		if !l.counts(fmt.Sprintf("usage of %q", name), got[name], l.usage[name]) {
			return
		}
	}
}

// move dumps all, erases it and loads it again: what can move is as before.
func (l *lane) move() {
	for len(l.open) > 0 && !l.ended {
		l.settle()
	}
	var all []storage.Record
	err := l.home().Portable().Dump(l.ctx, l.id, "", func(r storage.Record, _ string) error {
		all = append(all, r)
		return nil
	})
	l.run.did(1)
	if l.ended || !l.works("Dump", err) || !l.whole(all) {
		return
	}
	if _, err = l.home().Portable().Erase(l.ctx, l.id); err == nil {
		for part := range slices.Chunk(all, 100) {
			err = errors.Join(err, l.home().Portable().Load(l.ctx, l.id, part))
			l.run.did(1)
		}
	}
	l.run.did(1)
	if !l.works("moving", err) {
		return
	}
	// Windows and caches aren't moved.
	l.windows, l.taken = map[string]*modelWindow{}, nil
	clear(l.cached)
	l.movedLibrary()
}

// whole compares a dump with the model.
func (l *lane) whole(all []storage.Record) bool {
	var sessions, audit, documents int
	parts := map[string][]storage.Passage{}
	for _, r := range all {
		switch {
		case r.Session != nil:
			s := laneSession{r.Session.Caller, r.Session.ID}
			if sessions++; !l.sameMessages(s, r.Session.Messages, l.sessions[s]) {
				return false
			}
		case r.Budget != nil:
			if !l.counts(fmt.Sprintf("dumped budget %q", r.Budget.Name), r.Budget.Used, l.used[r.Budget.Name]) {
				return false
			}
		case r.Usage != nil:
			if !l.counts(fmt.Sprintf("dumped usage %q", r.Usage.Model), r.Usage.Calls, l.usage[r.Usage.Model]) {
				return false
			}
		case r.Audit != nil:
			if audit++; !l.mine(r.Audit.ParamsHash) {
				l.deviates(leak, "the dump holds %+v", *r.Audit)
				return false
			}
		case r.Passages != nil:
			some, err := r.Passages.Unpack()
			if !l.works("Unpack", err) {
				return false
			}
			parts[r.Passages.Doc] = append(parts[r.Passages.Doc], some...)
		case r.Document != nil:
			if documents++; !l.samePassages(r.Document.ID, parts[r.Document.ID], l.library[r.Document.ID].passages) {
				return false
			}
		}
	}
	return l.counts("dumped documents", int64(documents), int64(len(l.library))) &&
		l.counts("dumped sessions", int64(sessions), int64(len(l.sessions))) &&
		l.counts("dumped audit records", int64(audit), int64(len(l.audit)))
}
