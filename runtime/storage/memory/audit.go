package memory

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// auditMost is how many records of one tenant are kept; beyond it the oldest go.
const auditMost = 20_000

type audit struct {
	now func() time.Time

	mu    sync.Mutex
	made  int64
	books map[string][]audited
}

// audited is a record and its number, which orders records of one time.
type audited struct {
	seq int64
	storage.AuditRecord
}

func (a audited) position() storage.Position { return storage.Position{Updated: a.At, Seq: a.seq} }

func newAudit(now func() time.Time) *audit {
	return &audit{now: now, books: map[string][]audited{}}
}

func (a *audit) Record(_ context.Context, t tenancy.ID, r storage.AuditRecord) error {
	if t.IsZero() {
		return storage.ErrNoTenant
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.add(t, r)
	return nil
}

// add keeps a book in the order of time, which is nearly that of its making. It needs
// the lock.
func (a *audit) add(t tenancy.ID, r storage.AuditRecord) {
	r.At = millis(r.At)
	a.made++
	n := audited{a.made, r}
	book := a.books[t.Identity()]
	at := len(book)
	for at > 0 && book[at-1].position().Before(n.position()) {
		at--
	}
	book = slices.Insert(book, at, n)
	drop := max(0, len(book)-auditMost)
	for edge := a.now().Add(-storage.AuditKept); drop < len(book) && book[drop].At.Before(edge); {
		drop++
	}
	// A full book isn't moved for every record: it grows anew now and then.
	clear(book[:drop])
	a.books[t.Identity()] = book[drop:]
}

func (a *audit) Records(ctx context.Context, t tenancy.ID, from, to time.Time, limit int, cursor string) ([]storage.AuditRecord, string, error) {
	if err := admit(ctx, t); err != nil {
		return nil, "", err
	}
	if limit < 1 {
		return nil, "", storage.ErrBadLimit
	}
	var after storage.Position
	if cursor != "" {
		var err error
		if after, err = storage.ParseAuditCursor(t, cursor); err != nil {
			return nil, "", err
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	var found []storage.AuditRecord
	var last storage.Position
	for _, r := range slices.Backward(a.books[t.Identity()]) {
		if r.At.Before(from) || !r.At.Before(to) || cursor != "" && !after.Before(r.position()) {
			continue
		}
		if len(found) == limit {
			return found, storage.AuditCursor(t, last), nil
		}
		found, last = append(found, r.AuditRecord), r.position()
	}
	return found, "", nil
}

// after returns the records made after the one with this number, in that order.
func (a *audit) after(t tenancy.ID, seq int64) []audited {
	a.mu.Lock()
	defer a.mu.Unlock()
	var found []audited
	for _, r := range a.books[t.Identity()] {
		if r.seq > seq {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(x, y audited) int { return cmp.Compare(x.seq, y.seq) })
	return found
}

// load adds a record unless there is an equal one.
func (a *audit) load(t tenancy.ID, r storage.AuditRecord) {
	r.At = millis(r.At)
	a.mu.Lock()
	defer a.mu.Unlock()
	if !slices.ContainsFunc(a.books[t.Identity()], func(have audited) bool { return have.AuditRecord == r }) {
		a.add(t, r)
	}
}

func (a *audit) erase(t tenancy.ID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.books, t.Identity())
}
