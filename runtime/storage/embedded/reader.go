package embedded

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// readers is how many reads run at once; each is a connection with a cache.
const readers = 2

const bucketColumns = `minute, model, feature, outcome, calls, tokens_in, tokens_out, micro_usd, latency_ns`

// endOfTime is listed before every session.
var endOfTime = storage.Position{Updated: time.UnixMilli(math.MaxInt64), Seq: math.MaxInt64}

// reader reads what is committed, over connections that can't write and that close
// when nobody reads for a while.
type reader struct {
	s *Store

	mu     sync.Mutex
	db     *sql.DB
	closed bool
	stmts  map[string]*sql.Stmt
}

func newReader(s *Store) *reader { return &reader{s: s, stmts: map[string]*sql.Stmt{}} }

func (r *reader) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	if r.db == nil {
		return nil
	}
	err := r.db.Close()
	r.db = nil
	return err
}

// prepared returns the statement for a query, made when first asked for.
func (r *reader) prepared(ctx context.Context, query string) (*sql.Stmt, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, sql.ErrConnDone
	}
	if r.db == nil {
		db, err := sql.Open("sqlite", dsn(r.s.path, false, 0))
		if err != nil {
			return nil, err
		}
		db.SetMaxOpenConns(readers)
		db.SetMaxIdleConns(readers)
		db.SetConnMaxIdleTime(time.Minute)
		r.db = db
	}
	if s := r.stmts[query]; s != nil {
		return s, nil
	}
	s, err := r.db.PrepareContext(ctx, query)
	if err == nil {
		r.stmts[query] = s
	}
	return s, err
}

func (r *reader) each(ctx context.Context, row func(*sql.Rows) error, query string, args ...any) error {
	s, err := r.prepared(ctx, query)
	if err != nil {
		return r.unreadable(ctx, err)
	}
	found, err := s.QueryContext(ctx, args...)
	if err != nil {
		return r.unreadable(ctx, err)
	}
	if err := eachRow(found, row); err != nil && !errors.Is(err, errEnough) {
		return r.unreadable(ctx, err)
	}
	return nil
}

// errEnough ends a read that has all it wants.
var errEnough = errors.New("enough is read")

func (r *reader) unreadable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if r.s.closed.Load() {
		return unavailable(ReasonClosed, err)
	}
	if isCorrupt(err) {
		err = errors.Join(ErrCorrupt, err)
	}
	return unavailable(reasonOf(r.s.dir, err), fmt.Errorf("reading: %w", err))
}

// One session's messages are the range of its id.
const (
	ownHistory = `SELECT m.tenant, m.role, m.content, m.at, m.tokens, m.partial FROM messages m,
		(SELECT id FROM sessions WHERE tenant = ?1 AND session = ?2 AND caller = ?3) s
		WHERE m.id >= s.id << 32 AND m.id < (s.id + 1) << 32 AND m.at < ?4 ORDER BY m.id DESC LIMIT ?5`
	anyHistory = `SELECT m.tenant, m.role, m.content, m.at, m.tokens, m.partial FROM messages m,
		(SELECT id FROM sessions WHERE tenant = ?1 AND session = ?2 ORDER BY caller = ?3 DESC, updated DESC, id DESC LIMIT 1) s
		WHERE m.id >= s.id << 32 AND m.id < (s.id + 1) << 32 AND m.at < ?4 ORDER BY m.id DESC LIMIT ?5`
)

func (r *reader) history(ctx context.Context, t tenancy.ID, o storage.Owner, id string, page storage.Page) ([]storage.Message, error) {
	edge := int64(math.MaxInt64)
	if !page.Before.IsZero() {
		edge = page.Before.Add(time.Millisecond - 1).UnixMilli()
	}
	query := ownHistory
	if o.All {
		query = anyHistory
	}
	var found []storage.Message
	err := r.each(ctx, func(rows *sql.Rows) error {
		m, err := scanMessage(rows, t)
		found = append(found, m)
		return err
	}, query, t.Identity(), id, o.Caller, edge, page.Limit)
	if err != nil {
		return nil, err
	}
	return found, nil
}

func scanMessage(rows *sql.Rows, t tenancy.ID) (m storage.Message, err error) {
	var owner string
	var at, marks int64
	if err := rows.Scan(&owner, &m.Role, &m.Content, &at, &m.Tokens, &marks); err != nil {
		return m, err
	}
	if owner != t.Identity() {
		return m, fmt.Errorf("%w: a message of another tenant lies in a session", ErrCorrupt)
	}
	m.At, m.Partial, m.Untrusted = time.UnixMilli(at).UTC(), marks&markPartial != 0, marks&markUntrusted != 0
	return m, nil
}

const (
	ownList = `SELECT tenant, id, session, created, updated, next - first FROM sessions
		WHERE tenant = ?1 AND caller = ?2 AND (updated, id) < (?3, ?4) ORDER BY updated DESC, id DESC LIMIT ?5`
	anyList = `SELECT tenant, id, session, created, updated, next - first FROM sessions
		WHERE tenant = ?1 AND ?2 IS NOT NULL AND (updated, id) < (?3, ?4) ORDER BY updated DESC, id DESC LIMIT ?5`
)

func (r *reader) list(ctx context.Context, t tenancy.ID, o storage.Owner, limit int, after storage.Position) ([]storage.SessionInfo, string, error) {
	query := ownList
	if o.All {
		query = anyList
	}
	var found []storage.SessionInfo
	var last storage.Position
	more := false
	// One row more than asked for tells whether there is a next page.
	err := r.each(ctx, func(rows *sql.Rows) error {
		if len(found) == limit {
			more = true
			return nil
		}
		var i storage.SessionInfo
		var owner string
		var created, updated int64
		if err := rows.Scan(&owner, &last.Seq, &i.ID, &created, &updated, &i.Messages); err != nil {
			return err
		}
		if owner != t.Identity() {
			return fmt.Errorf("%w: a session of another tenant is listed", ErrCorrupt)
		}
		i.Created, i.Updated = time.UnixMilli(created).UTC(), time.UnixMilli(updated).UTC()
		last.Updated = i.Updated
		found = append(found, i)
		return nil
	}, query, t.Identity(), o.Caller, after.Updated.UnixMilli(), after.Seq, limit+1)
	if err != nil {
		return nil, "", err
	}
	if !more {
		return found, "", nil
	}
	return found, storage.Cursor(t, o, last), nil
}

func scanBucket(r *sql.Rows, tenant *string) (storage.UsageBucket, error) {
	var b storage.UsageBucket
	var minute int64
	err := r.Scan(tenant, &minute, &b.Model, &b.Feature, &b.Outcome,
		&b.Calls, &b.TokensIn, &b.TokensOut, &b.MicroUSD, &b.Latency)
	b.Minute = time.Unix(minute*60, 0).UTC()
	return b, err
}

// sum returns the buckets of the file.
func (r *reader) sum(ctx context.Context, t tenancy.ID, from, to time.Time) ([]storage.UsageBucket, error) {
	var found []storage.UsageBucket
	err := r.each(ctx, func(rows *sql.Rows) error {
		var owner string
		b, err := scanBucket(rows, &owner)
		if err != nil {
			return err
		}
		if owner != t.Identity() {
			return fmt.Errorf("%w: usage of another tenant is summed", ErrCorrupt)
		}
		found = append(found, b)
		return nil
	}, `SELECT tenant, `+bucketColumns+` FROM usage WHERE tenant = ? AND minute >= ? AND minute < ?`,
		t.Identity(), firstMinute(from), firstMinute(to))
	return found, err
}

// firstMinute is the first whole minute since 1970 that isn't before t.
func firstMinute(t time.Time) int64 {
	minute := t.Unix() / 60
	if time.Unix(minute*60, 0).Before(t) {
		minute++
	}
	return minute
}

// usageBase reads one bucket that memory has forgotten.
func (r *reader) usageBase(identity string, key storage.UsageBucket) (b storage.UsageBucket, ok bool, err error) {
	err = r.each(context.Background(), func(rows *sql.Rows) error {
		var owner string
		ok = true
		b, err = scanBucket(rows, &owner)
		return err
	}, `SELECT tenant, `+bucketColumns+` FROM usage WHERE tenant = ? AND minute = ? AND model = ? AND feature = ? AND outcome = ?`,
		identity, key.Minute.Unix()/60, key.Model, key.Feature, key.Outcome)
	return b, ok, err
}
