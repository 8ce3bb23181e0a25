package embedded

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/ledger"
)

// tx is the writer's connection with its statements, prepared once. Its calls have no
// context: a transaction that was begun is ended.
type tx struct {
	conn *sql.Conn

	begin, commit, rollback                  *sql.Stmt
	addSession, addMessage, addTurn          *sql.Stmt
	findOne, findAll, findOld, findAny       *sql.Stmt
	dropSession, dropMessages                *sql.Stmt
	putWindow, putBudget, putUsage, putProbe *sql.Stmt
	putAudit                                 *sql.Stmt

	// prepared are those of query, made when they are first asked for.
	prepared map[string]*sql.Stmt
	// dropping tells that parts or payloads may be there to be swept.
	dropping bool
}

func newTx(ctx context.Context, c *sql.Conn) (*tx, error) {
	t := &tx{conn: c, prepared: map[string]*sql.Stmt{}, dropping: true}
	for _, s := range []struct {
		to  **sql.Stmt
		sql string
	}{
		{&t.begin, `BEGIN IMMEDIATE`},
		{&t.commit, `COMMIT`},
		{&t.rollback, `ROLLBACK`},
		// ?6 messages come, of which the last ?7 are kept; 0 keeps all. Their times are
		// ?4 to ?5 and are moved past the session's last update, if they must be.
		{&t.addSession, `INSERT INTO sessions (tenant, session, caller, created, updated, first, next)
			VALUES (?1, ?2, ?3, ?4, ?5, iif(?7 > 0, max(0, ?6 - ?7), 0), ?6)
			ON CONFLICT (tenant, session, caller) DO UPDATE SET
			updated = ?5 + max(0, updated + 1 - ?4), next = next + ?6, first = iif(?7 > 0, max(first, next + ?6 - ?7), first)
			RETURNING id, first, next, updated - ?5`},
		{&t.addMessage, `INSERT INTO messages (id, tenant, role, content, at, tokens, partial) VALUES (?,?,?,?,?,?,?)`},
		{&t.addTurn, `INSERT INTO messages (id, tenant, role, content, at, tokens, partial) VALUES (?,?,?,?,?,?,?), (?,?,?,?,?,?,?)`},
		{&t.findOne, `SELECT id FROM sessions WHERE tenant = ? AND session = ? AND caller = ?`},
		{&t.findAll, `SELECT id FROM sessions WHERE tenant = ? AND session = ?`},
		{&t.findOld, `SELECT id FROM sessions WHERE tenant = ? AND updated < ? ORDER BY updated LIMIT ?`},
		{&t.findAny, `SELECT id FROM sessions WHERE tenant = ? LIMIT ?`},
		{&t.dropSession, `DELETE FROM sessions WHERE id = ?`},
		{&t.dropMessages, `DELETE FROM messages WHERE id >= ? AND id < ?`},
		{&t.putWindow, `INSERT OR REPLACE INTO windows (tenant, key, name, length_ns, until, takes) VALUES (?,?,?,?,?,?)`},
		{&t.putBudget, `INSERT OR REPLACE INTO budgets (tenant, name, used, reserved, until) VALUES (?,?,?,?,?)`},
		{&t.putUsage, `INSERT OR REPLACE INTO usage (tenant, minute, model, feature, outcome,
			calls, tokens_in, tokens_out, micro_usd, latency_ns) VALUES (?,?,?,?,?,?,?,?,?,?)`},
		{&t.putAudit, `INSERT OR REPLACE INTO audit (` + auditColumns + `) VALUES (?,?,?,?,?,?,?,?)`},
		{&t.putProbe, `INSERT OR REPLACE INTO probe (id, at) VALUES (1, ?)`},
	} {
		stmt, err := c.PrepareContext(ctx, s.sql)
		if err != nil {
			return nil, errors.Join(err, t.closeStatements())
		}
		*s.to = stmt
	}
	return t, nil
}

func (t *tx) closeStatements() error {
	var errs []error
	for _, s := range []*sql.Stmt{
		t.begin, t.commit, t.rollback, t.addSession, t.addMessage, t.addTurn, t.findOne, t.findAll, t.findOld, t.findAny,
		t.dropSession, t.dropMessages, t.putWindow, t.putBudget, t.putUsage, t.putAudit, t.putProbe,
	} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	for _, s := range t.prepared {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// query gives the statement for a text.
func (t *tx) query(text string) (*sql.Stmt, error) {
	if s := t.prepared[text]; s != nil {
		return s, nil
	}
	s, err := t.conn.PrepareContext(context.Background(), text)
	if err == nil {
		t.prepared[text] = s
	}
	return s, err
}

// do runs a statement and tells how many rows it changed.
func (t *tx) do(text string, args ...any) (int64, error) {
	s, err := t.query(text)
	if err != nil {
		return 0, err
	}
	r, err := s.ExecContext(context.Background(), args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// one reads one row, and tells whether there is one.
func (t *tx) one(into []any, text string, args ...any) (bool, error) {
	s, err := t.query(text)
	if err != nil {
		return false, err
	}
	err = s.QueryRowContext(context.Background(), args...).Scan(into...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

func (t *tx) close() error { return errors.Join(t.closeStatements(), t.conn.Close()) }

// checkpoint moves the log into the file and cuts it to nothing, as far as it goes.
func (t *tx) checkpoint() {
	_, _ = t.conn.ExecContext(context.Background(), "PRAGMA wal_checkpoint(TRUNCATE)")
}

// run does all jobs and writes all rows, or nothing. A probe makes sure that there is
// something to write.
func (t *tx) run(b *batch, r *rows, probe bool) error {
	if err := do(t.begin); err != nil {
		return err
	}
	b.claim()
	err := t.fill(b.claimed, r, probe)
	if err == nil {
		err = do(t.commit)
	}
	if err != nil {
		// SQLite may have rolled back by itself; then this says so and changes nothing.
		_ = do(t.rollback)
	}
	return err
}

// fill writes the counters first: what a job loads or erases is later than they.
func (t *tx) fill(jobs []*job, r *rows, probe bool) error {
	if err := r.write(t); err != nil {
		return err
	}
	for _, j := range jobs {
		if err := j.apply(t); err != nil {
			return err
		}
	}
	if probe {
		return do(t.putProbe, time.Now().UnixMilli())
	}
	return nil
}

func do(s *sql.Stmt, args ...any) error {
	_, err := s.ExecContext(context.Background(), args...)
	return err
}

// rows are the counters of one commit: each that changed, once, however often.
type rows struct {
	windows []ledger.WindowRow
	budgets []ledger.BudgetRow
	usage   []ledger.UsageRow
	audit   []auditRow
	// prune deletes what has run out by then; zero doesn't.
	prune time.Time
	// sweep deletes a little of what was dropped.
	sweep bool
}

func (r *rows) empty() bool {
	return len(r.windows)+len(r.budgets)+len(r.usage)+len(r.audit) == 0 && !r.sweep
}

func (r *rows) notWritten(s *Store) {
	s.windows.NotWritten(r.windows)
	s.budgets.NotWritten(r.budgets)
	s.usage.NotWritten(r.usage)
}

func (r *rows) write(t *tx) error {
	for _, b := range r.budgets {
		if err := do(t.putBudget, b.Tenant, b.Name, b.Used, b.Reserved, millis(b.Until)); err != nil {
			return err
		}
	}
	for _, u := range r.usage {
		if err := t.writeBucket(u.Tenant, u.Bucket); err != nil {
			return err
		}
	}
	for _, a := range r.audit {
		if err := do(t.putAudit, a.tenant, a.id, a.At.UnixMilli(), a.Caller, a.Tool, a.ParamsHash, a.Outcome, int64(a.Duration)); err != nil {
			return err
		}
	}
	for _, w := range r.windows {
		until := int64(0)
		if n := len(w.Takes); n > 0 {
			until = (w.Takes[n-1] + int64(w.Length)) / int64(time.Millisecond)
		}
		if err := do(t.putWindow, w.Tenant, w.Key, w.Name, int64(w.Length), until, packTakes(w.Takes)); err != nil {
			return err
		}
	}
	if r.sweep {
		if err := t.sweep(); err != nil {
			return err
		}
	}
	if r.prune.IsZero() {
		return nil
	}
	return t.prune(r.prune)
}

func (t *tx) writeBucket(tenant string, b storage.UsageBucket) error {
	return do(t.putUsage, tenant, b.Minute.Unix()/60, b.Model, b.Feature, b.Outcome,
		b.Calls, b.TokensIn, b.TokensOut, b.MicroUSD, int64(b.Latency))
}

func (t *tx) prune(now time.Time) error {
	for _, p := range []struct {
		sql  string
		edge int64
	}{
		{`DELETE FROM windows WHERE until < ?`, now.Add(-time.Minute).UnixMilli()},
		{`DELETE FROM budgets WHERE until > 0 AND until < ?`, now.Add(-budgetsLate).UnixMilli()},
		{`DELETE FROM usage WHERE minute < ?`, now.Add(-storage.UsageKept).Unix() / 60},
		{`DELETE FROM audit WHERE at < ?`, now.Add(-storage.AuditKept).UnixMilli()},
		{`DELETE FROM jobs WHERE ended = 1 AND updated < ?`, now.Add(-storage.JobsKept).UnixMilli()},
	} {
		if _, err := t.conn.ExecContext(context.Background(), p.sql, p.edge); err != nil {
			return err
		}
	}
	return t.pruneDocuments(now)
}

// millis is 0 for no time.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// packTakes writes times as differences, a third of their size.
func packTakes(takes []int64) []byte {
	b := make([]byte, 0, 10+5*len(takes))
	last := int64(0)
	for _, take := range takes {
		b = binary.AppendVarint(b, take-last)
		last = take
	}
	return b
}

func unpackTakes(b []byte) ([]int64, error) {
	var takes []int64
	last := int64(0)
	for len(b) > 0 {
		d, n := binary.Varint(b)
		if n <= 0 {
			return nil, ErrCorrupt
		}
		last += d
		takes = append(takes, last)
		b = b[n:]
	}
	return takes, nil
}
