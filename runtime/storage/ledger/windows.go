package ledger

import (
	"math"
	"sync"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

const (
	sweepEvery = time.Minute
	sweepAbove = 1024
	// sweepSlack spares keys that a caller with a slightly older clock may still ask
	// about.
	sweepSlack = time.Minute
)

// Windows keeps the time of every take of every window: exact, at 8 bytes a take.
type Windows struct {
	tenants *tenants[windowBook]
	changes *changes[windowKey]
}

// WindowRow is one window as a driver stores it.
type WindowRow struct {
	// Tenant is the storage identity.
	Tenant, Key, Name string
	Length            time.Duration
	// Takes are Unix nanoseconds, oldest first.
	Takes []int64

	row *windowKey
}

type windowBook struct {
	identity  string
	mu        sync.Mutex
	keys      map[string]*windowKey
	sweepAt   int
	nextSweep int64
}

type windowKey struct {
	book   *windowBook
	key    string
	logs   []takeLog
	listed bool
	// gone: erased, so a change of it is nobody's any more.
	gone bool
}

type takeLog struct {
	name   string
	length int64
	takes  ring
}

// NewWindows returns windows without a take. With track, changes are kept for
// Changed.
func NewWindows(track bool) *Windows {
	w := &Windows{tenants: newTenants(func(identity string) *windowBook {
		return &windowBook{identity: identity, keys: map[string]*windowKey{}, sweepAt: sweepAbove}
	})}
	if track {
		w.changes = &changes[windowKey]{}
	}
	return w
}

// Take is storage.Windows.Take.
func (w *Windows) Take(t tenancy.ID, key string, windows []storage.Window, now time.Time) storage.Taken {
	at := now.UnixNano()
	book := w.tenants.of(t.Identity())
	book.mu.Lock()
	defer book.mu.Unlock()
	book.sweep(at)
	k := book.at(key)
	taken := k.look(windows, at)
	if taken.OK && k.record(windows, at) {
		w.list(k)
	}
	return taken
}

// look drops what has run out and tells what a take at this time would be answered.
func (k *windowKey) look(windows []storage.Window, at int64) storage.Taken {
	if refused, ok := k.refusal(windows, at); ok {
		return refused
	}
	taken := storage.Taken{OK: true, Remaining: math.MaxInt}
	for _, win := range windows {
		if !bounds(win) {
			continue
		}
		log := k.log(win)
		left := win.Limit - log.takes.n - 1
		reset := win.Length + time.Duration(log.late(at))
		if left < taken.Remaining || left == taken.Remaining && reset > taken.Reset {
			taken.Remaining, taken.Reset, taken.Tightest = left, reset, win.Name
		}
	}
	return taken
}

// refusal is the answer of the window that takes longest to have room, if one has
// none.
func (k *windowKey) refusal(windows []storage.Window, at int64) (refused storage.Taken, ok bool) {
	for _, win := range windows {
		if !bounds(win) {
			continue
		}
		log := k.log(win)
		log.advance(at)
		over := log.takes.n - win.Limit
		if over < 0 {
			continue
		}
		// When the take at this index runs out, Limit-1 are left.
		wait := time.Duration(log.length - (at - log.takes.get(over)))
		if !ok || wait > refused.RetryAfter {
			refused = storage.Taken{Tightest: win.Name, RetryAfter: wait, Reset: log.untilEmpty(at)}
			ok = true
		}
	}
	return refused, ok
}

func (k *windowKey) record(windows []storage.Window, at int64) (recorded bool) {
	for _, win := range windows {
		if bounds(win) {
			log := k.log(win)
			log.takes.push(at + log.late(at))
			recorded = true
		}
	}
	return recorded
}

// Return is storage.Windows.Return.
func (w *Windows) Return(t tenancy.ID, key string, windows []storage.Window, at time.Time) {
	book := w.tenants.of(t.Identity())
	book.mu.Lock()
	defer book.mu.Unlock()
	k := book.keys[key]
	if k == nil {
		return
	}
	for _, win := range windows {
		if bounds(win) {
			k.log(win).undo(at.UnixNano())
		}
	}
	w.list(k)
}

func (w *Windows) list(k *windowKey) {
	if w.changes != nil && !k.listed {
		k.listed = true
		w.changes.add(k)
	}
}

func bounds(w storage.Window) bool { return w.Limit > 0 && w.Length > 0 }

// log finds the window's log by name and gives it the length of now, which a changed
// document may have altered.
func (k *windowKey) log(win storage.Window) *takeLog {
	for i := range k.logs {
		if k.logs[i].name == win.Name {
			k.logs[i].length = int64(win.Length)
			return &k.logs[i]
		}
	}
	k.logs = append(k.logs, takeLog{name: win.Name, length: int64(win.Length)})
	return &k.logs[len(k.logs)-1]
}

// advance drops the takes that have run out at this time.
func (l *takeLog) advance(at int64) {
	if late := l.late(at); late > l.length {
		for i := range l.takes.n {
			l.takes.set(i, at)
		}
	} else {
		at += late
	}
	for l.takes.n > 0 && at-l.takes.get(0) >= l.length {
		l.takes.pop()
	}
}

// undo removes the take of this time. A take that came late was put down at the time
// of the one before it, so the first that isn't earlier stands for it.
func (l *takeLog) undo(at int64) {
	for i := l.takes.n - 1; i >= 0; i-- {
		if l.takes.get(i) >= at && (i == 0 || l.takes.get(i-1) < at) {
			l.takes.remove(i)
			return
		}
	}
}

// late is by how much at lies before the latest take, 0 if it doesn't.
func (l *takeLog) late(at int64) int64 {
	if l.takes.n == 0 {
		return 0
	}
	return max(0, l.takes.get(l.takes.n-1)-at)
}

func (l *takeLog) untilEmpty(at int64) time.Duration {
	if l.takes.n == 0 {
		return 0
	}
	return time.Duration(l.length - (at - l.takes.get(l.takes.n-1)))
}

func (b *windowBook) at(key string) *windowKey {
	k := b.keys[key]
	if k == nil {
		k = &windowKey{book: b, key: key}
		b.keys[key] = k
	}
	return k
}

// sweep drops keys whose takes have all run out: every minute, and whenever twice as
// many are kept as were live at the last sweep.
func (b *windowBook) sweep(at int64) {
	if at < b.nextSweep && len(b.keys) < b.sweepAt {
		return
	}
	live := make(map[string]*windowKey, len(b.keys)/2)
	for key, k := range b.keys {
		if k.listed || k.live(at-int64(sweepSlack)) {
			live[key] = k
		}
	}
	b.keys = live
	b.sweepAt = max(sweepAbove, 2*len(live))
	b.nextSweep = at + int64(sweepEvery)
}

func (k *windowKey) live(at int64) bool {
	for i := range k.logs {
		if k.logs[i].untilEmpty(at) > 0 {
			return true
		}
	}
	return false
}

// Changed returns the windows that were taken from since the last call.
func (w *Windows) Changed() []WindowRow {
	var rows []WindowRow
	for _, k := range w.changes.drain() {
		k.book.mu.Lock()
		k.listed = false
		if k.gone {
			k.logs = nil
		}
		for i := range k.logs {
			l := &k.logs[i]
			rows = append(rows, WindowRow{
				Tenant: k.book.identity, Key: k.key, Name: l.name,
				Length: time.Duration(l.length), Takes: l.takes.all(), row: k,
			})
		}
		k.book.mu.Unlock()
	}
	return rows
}

// Erase forgets all takes of t.
func (w *Windows) Erase(t tenancy.ID) {
	book := w.tenants.of(t.Identity())
	book.mu.Lock()
	defer book.mu.Unlock()
	for _, k := range book.keys {
		k.gone = true
	}
	clear(book.keys)
}

// NotWritten hands back rows of Changed, to be among the next. Those that have run
// out since are let go.
func (w *Windows) NotWritten(rows []WindowRow) {
	for _, r := range rows {
		r.row.book.mu.Lock()
		if !r.row.listed && r.row.book.keys[r.row.key] == r.row {
			r.row.listed = true
			w.changes.add(r.row)
		}
		r.row.book.mu.Unlock()
	}
}

// Restore puts back a row that a driver had stored. It comes before the first Take.
func (w *Windows) Restore(r WindowRow) {
	book := w.tenants.of(r.Tenant)
	book.mu.Lock()
	defer book.mu.Unlock()
	log := book.at(r.Key).log(storage.Window{Name: r.Name, Length: r.Length})
	for _, take := range r.Takes {
		log.takes.push(take)
	}
}
