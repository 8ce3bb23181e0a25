package embedded

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// auditWaiting bounds the records that a store which can't be written holds back; more
// are refused.
const auditWaiting = 10_000

var errAuditFull = errors.New("too many audit records wait to be written")

// auditLog holds the audit records that aren't in the file yet.
type auditLog struct {
	mu sync.Mutex
	// made numbers records over all tenants; at the start it is the file's last.
	made    int64
	waiting []auditRow
}

type auditRow struct {
	tenant string
	id     int64
	storage.AuditRecord
}

func (a *auditLog) add(tenant string, r storage.AuditRecord) bool {
	r.At = time.UnixMilli(r.At.UnixMilli()).UTC()
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.waiting) >= auditWaiting {
		return false
	}
	a.made++
	a.waiting = append(a.waiting, auditRow{tenant, a.made, r})
	return true
}

// number makes one for a record that goes into the file by itself.
func (a *auditLog) number() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.made++
	return a.made
}

func (a *auditLog) startAt(id int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.made = id
}

// all returns what waits; it goes on waiting until written is told of it.
func (a *auditLog) all() []auditRow {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.waiting)
}

func (a *auditLog) of(tenant string) []auditRow {
	return slices.DeleteFunc(a.all(), func(r auditRow) bool { return r.tenant != tenant })
}

func (a *auditLog) written(rows []auditRow) {
	if len(rows) == 0 {
		return
	}
	last := rows[len(rows)-1].id
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiting = slices.DeleteFunc(a.waiting, func(r auditRow) bool { return r.id <= last })
}

func (a *auditLog) erase(tenant string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiting = slices.DeleteFunc(a.waiting, func(r auditRow) bool { return r.tenant == tenant })
}

type audit struct{ s *Store }

func (a audit) Record(_ context.Context, t tenancy.ID, r storage.AuditRecord) error {
	if err := a.s.admitEnded(t); err != nil {
		return err
	}
	if !a.s.audit.add(t.Identity(), r) {
		return unavailable(a.s.Health().Reason, errAuditFull)
	}
	a.s.writer.changed()
	return nil
}

// Records takes what waits first and the file after it: a record that is written
// between is in both.
func (a audit) Records(ctx context.Context, t tenancy.ID, from, to time.Time, limit int, cursor string) ([]storage.AuditRecord, string, error) {
	if err := a.s.admit(ctx, t); err != nil {
		return nil, "", err
	}
	if limit < 1 {
		return nil, "", storage.ErrBadLimit
	}
	after := endOfTime
	if cursor != "" {
		var err error
		if after, err = storage.ParseAuditCursor(t, cursor); err != nil {
			return nil, "", err
		}
	}
	rows := slices.DeleteFunc(a.s.audit.of(t.Identity()), func(r auditRow) bool {
		return r.At.Before(from) || !r.At.Before(to) || !after.Before(r.position())
	})
	stored, err := a.s.reader.audit(ctx, t, from, to, limit+1, after)
	if err != nil {
		return nil, "", err
	}
	rows = append(rows, stored...)
	slices.SortFunc(rows, func(x, y auditRow) int {
		switch {
		case x.position().Before(y.position()):
			return -1
		case y.position().Before(x.position()):
			return 1
		}
		return 0
	})
	rows = slices.CompactFunc(rows, func(x, y auditRow) bool { return x.id == y.id })
	next := ""
	if len(rows) > limit {
		rows = rows[:limit]
		next = storage.AuditCursor(t, rows[limit-1].position())
	}
	var found []storage.AuditRecord
	for _, r := range rows {
		found = append(found, r.AuditRecord)
	}
	return found, next, nil
}

func (r auditRow) position() storage.Position { return storage.Position{Updated: r.At, Seq: r.id} }

const auditColumns = `tenant, id, at, caller, tool, params_hash, outcome, duration_ns`

func scanAudit(r *sql.Rows, t tenancy.ID) (auditRow, error) {
	var a auditRow
	var at int64
	if err := r.Scan(&a.tenant, &a.id, &at, &a.Caller, &a.Tool, &a.ParamsHash, &a.Outcome, &a.Duration); err != nil {
		return a, err
	}
	if a.tenant != t.Identity() {
		return a, fmt.Errorf("%w: an audit record of another tenant is read", ErrCorrupt)
	}
	a.At = time.UnixMilli(at).UTC()
	return a, nil
}

// audit returns the records of the file, newest first.
func (r *reader) audit(ctx context.Context, t tenancy.ID, from, to time.Time, limit int, after storage.Position) (found []auditRow, err error) {
	err = r.each(ctx, func(rows *sql.Rows) error {
		a, err := scanAudit(rows, t)
		found = append(found, a)
		return err
	}, `SELECT `+auditColumns+` FROM audit WHERE tenant = ?1 AND at >= ?2 AND at < ?3 AND (at, id) < (?4, ?5)
		ORDER BY at DESC, id DESC LIMIT ?6`,
		t.Identity(), firstMilli(from), firstMilli(to), after.Updated.UnixMilli(), after.Seq, limit)
	return found, err
}

// auditAfter returns the records of the file with a greater number, rising.
func (r *reader) auditAfter(ctx context.Context, t tenancy.ID, id int64, limit int) (found []auditRow, err error) {
	err = r.each(ctx, func(rows *sql.Rows) error {
		a, err := scanAudit(rows, t)
		found = append(found, a)
		return err
	}, `SELECT `+auditColumns+` FROM audit WHERE tenant = ? AND id > ? ORDER BY id LIMIT ?`, t.Identity(), id, limit)
	return found, err
}

// firstMilli is the first whole millisecond that isn't before t.
func firstMilli(t time.Time) int64 { return t.Add(time.Millisecond - 1).UnixMilli() }
