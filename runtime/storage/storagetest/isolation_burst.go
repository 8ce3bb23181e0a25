package storagetest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

// atOnce is how many calls a burst makes at the same time.
const atOnce = 8

// burst makes calls at once, spread over the replicas.
func (l *lane) burst(call func(i int, s storage.Store) error) bool {
	errs := make([]error, atOnce)
	together(atOnce, func(i int) { errs[i] = call(i, l.stores[i%len(l.stores)]) })
	l.run.did(atOnce)
	for _, err := range errs {
		if !l.works("a call of many at once", err) {
			return false
		}
	}
	return true
}

// appendsAtOnce: all turns are there, whole, each writer's in its order.
func (l *lane) appendsAtOnce() {
	s, now := l.session(), l.now
	var turns [atOnce][2][]storage.Message
	for w := range turns {
		for n := range turns[w] {
			base := l.text()
			turns[w][n] = []storage.Message{
				{Role: storage.RoleUser, Content: base + "?", At: now},
				{Role: storage.RoleAssistant, Content: base + "!", At: now.Add(time.Millisecond)},
			}
		}
	}
	for n := range 2 {
		if !l.burst(func(w int, store storage.Store) error {
			return store.Sessions().Append(l.ctx, l.id, caller(s.caller), s.id, turns[w][n], storage.Keep{})
		}) {
			return
		}
	}
	got, err := l.store().Sessions().History(l.ctx, l.id, caller(s.caller), s.id, storage.Page{Limit: 1 << 20})
	l.run.did(1)
	if !l.works("History", err) {
		return
	}
	slices.Reverse(got)
	before := l.sessions[s]
	if !l.counts(fmt.Sprintf("messages after many at once in %q", s.id), int64(len(got)), int64(len(before)+4*atOnce)) ||
		!l.sameMessages(s, got[:len(before)], before) {
		return
	}
	l.wantTurns(s, got[len(before):], turns[:])
	l.sessions[s] = got
}

func (l *lane) wantTurns(s laneSession, got []storage.Message, turns [][2][]storage.Message) {
	place := map[string]int{}
	for i, m := range got {
		if !l.mine(m.Content) {
			l.deviates(leak, "session %q holds %q", s.id, m.Content)
			return
		}
		if i > 0 && !m.At.After(got[i-1].At) {
			l.deviates(lost, "two messages of session %q share a time", s.id)
			return
		}
		if answer := strings.HasSuffix(m.Content, "!"); answer && (i == 0 || got[i-1].Content != strings.TrimSuffix(m.Content, "!")+"?") {
			l.deviates(lost, "a turn of session %q is torn at %q", s.id, m.Content)
			return
		}
		place[m.Content] = i + 1
	}
	for _, w := range turns {
		first, second := place[w[0][0].Content], place[w[1][0].Content]
		if first == 0 || second < first {
			l.deviates(lost, "a writer's turns in session %q are at %d and %d", s.id, first, second)
			return
		}
	}
}

// takesAtOnce: exactly as many are allowed as there is room for.
func (l *lane) takesAtOnce() {
	key := l.name()
	m := l.windowOf(key)
	var allowed atomic.Int64
	if !l.burst(func(_ int, s storage.Store) error {
		got, err := s.Windows().Take(l.ctx, l.id, key, []storage.Window{m.Window}, l.now)
		if got.OK {
			allowed.Add(1)
		}
		return err
	}) {
		return
	}
	want := int64(0)
	for range atOnce {
		if modelTake([]*modelWindow{m}, l.now).OK {
			want++
		}
	}
	// More than there is room for is an exceeded limit, fewer a wrong refusal.
	if got := allowed.Load(); got != want {
		l.deviates(lost, "of takes at once %d were allowed, there was room for %d", got, want)
	}
}

// reservesAtOnce: exactly as many are granted as there is room for, and the sum of
// what was used is exact after all have settled at once.
func (l *lane) reservesAtOnce() {
	name := l.name()
	const amount, used = 50, 20
	room := int64(l.rand.IntN(atOnce + 1))
	limit := limitOf(name, max(1, l.used[name]+l.reserved[name]+room*amount))
	var mu sync.Mutex
	var granted []storage.Reservation
	if !l.burst(func(_ int, s storage.Store) error {
		r, err := s.Budgets().Reserve(l.ctx, l.id, []storage.Limit{limit}, []int64{amount})
		if err == nil && r.Refused == "" {
			mu.Lock()
			granted = append(granted, r)
			mu.Unlock()
		}
		return err
	}) {
		return
	}
	if got := int64(len(granted)); got != room {
		l.deviates(lost, "of reservations at once in %q %d were granted, there was room for %d", name, got, room)
		return
	}
	if len(granted) > 0 && !l.burst(func(i int, _ storage.Store) error {
		if i >= len(granted) {
			return nil
		}
		return l.home().Budgets().Settle(l.ctx, l.id, granted[i], []int64{used})
	}) {
		return
	}
	l.used[name] += used * int64(len(granted))
	l.compareSpent(name)
}

func (l *lane) usesAtOnce() {
	name := l.name()
	if l.burst(func(int, storage.Store) error { return l.home().Usage().Add(l.ctx, l.id, l.call(name)) }) {
		l.usage[name] += atOnce
		l.sum()
	}
}

// trespass asks for a neighbour's data with a login of its own. Whatever is refused, or
// found empty, is right; what was written is found by the neighbour.
func (l *lane) trespass() {
	s, o := l.session(), storage.Owner{Caller: l.session().caller, All: true}
	from, stolen := l.store(), ""
	switch l.rand.IntN(6) {
	case 0:
		if got, err := from.Sessions().History(l.ctx, l.neighbour, o, s.id, storage.Page{Limit: 100}); err == nil && len(got) > 0 {
			stolen = got[0].Content
		}
	case 1:
		if got, _, err := from.Sessions().List(l.ctx, l.neighbour, o, 100, ""); err == nil && len(got) > 0 {
			stolen = got[0].ID
		}
	case 2:
		if got, ok, err := from.Cache().Get(l.ctx, l.neighbour, s.id); err == nil && ok {
			stolen = string(got)
		}
	case 3:
		if used, reserved, err := from.Budgets().Spent(l.ctx, l.neighbour, []string{s.id}); err == nil && used[0]+reserved[0] > 0 {
			stolen = fmt.Sprint("what is used: ", used[0])
		}
	case 4:
		_ = from.Sessions().Append(l.ctx, l.neighbour, caller(s.caller), s.id,
			[]storage.Message{{Role: storage.RoleUser, Content: l.text(), At: l.now}}, storage.Keep{})
	case 5:
		_ = from.Sessions().Delete(l.ctx, l.neighbour, o, s.id)
	}
	l.run.did(1)
	if stolen != "" {
		l.deviates(leak, "it read of tenant %q: %q", l.neighbour.Identity(), stolen)
	}
}
