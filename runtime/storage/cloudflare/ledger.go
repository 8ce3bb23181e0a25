package cloudflare

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// LedgerOptions say what is copied where.
type LedgerOptions struct {
	// Database is the D1 database's id.
	Database string
	// Tenant whose usage it is.
	Tenant tenancy.ID
	// Usage is where it is counted, and read from.
	Usage storage.Usage
	// Source is by whom: one name for all pods if they share a store, which has the sums
	// of all, else a name that no other life of a process has. Rows of one source only
	// ever grow.
	Source string
	// Pace is how often D1 is called at most; 0 is a minute.
	Pace   time.Duration
	Logger *slog.Logger
}

// Ledger copies usage to D1, a minute's sum a row, at most one call a minute.
//
// Rows are sums that the store has, written over what was there if they are larger: so a
// crash, a repeated call or a second pod of the same source counts nothing twice. Nothing
// is buffered: what couldn't be sent is read from the store again, which keeps it for
// storage.UsageKept.
type Ledger struct {
	a *Account
	o LedgerOptions

	// through is up to when all is in D1, in Unix seconds; 0 before it is known.
	through atomic.Int64
	sent    map[rowKey]storage.UsageBucket
}

type rowKey struct {
	minute                  int64
	model, feature, outcome string
}

const (
	// lateness is how old usage may be that is still to come: of streams that end, and of
	// a store that was away.
	lateness = time.Hour
	// lastCopy is how long a process that stops waits for D1.
	lastCopy = 5 * time.Second
	// D1 takes 100 parameters a statement; a row has nine besides tenant and source.
	rowsPerStatement = 10
	statements       = 100
)

const ledgerSchema = `CREATE TABLE IF NOT EXISTS usage (
 tenant TEXT NOT NULL, source TEXT NOT NULL, minute INTEGER NOT NULL, model TEXT NOT NULL, feature TEXT NOT NULL, outcome TEXT NOT NULL,
 calls INTEGER NOT NULL, tokens_in INTEGER NOT NULL, tokens_out INTEGER NOT NULL, micro_usd INTEGER NOT NULL, latency_ms INTEGER NOT NULL,
 PRIMARY KEY (tenant, source, minute, model, feature, outcome)) WITHOUT ROWID`

const ledgerUpsert = ` ON CONFLICT DO UPDATE SET calls = max(calls, excluded.calls), tokens_in = max(tokens_in, excluded.tokens_in),
 tokens_out = max(tokens_out, excluded.tokens_out), micro_usd = max(micro_usd, excluded.micro_usd), latency_ms = max(latency_ms, excluded.latency_ms)`

// NewLedger makes a ledger. It calls nobody before Run.
func NewLedger(a *Account, o LedgerOptions) *Ledger {
	if o.Pace <= 0 {
		o.Pace = time.Minute
	}
	return &Ledger{a: a, o: o, sent: map[rowKey]storage.UsageBucket{}}
}

// Lag is how old the newest usage is that D1 has all of, and everything before; 0 before
// the first answer.
func (l *Ledger) Lag() time.Duration {
	through := l.through.Load()
	if through == 0 {
		return 0
	}
	return l.a.o.Now().Sub(time.Unix(through, 0))
}

// Run copies until ctx ends, and once more then for whoever stops in peace.
func (l *Ledger) Run(ctx context.Context) {
	ticker := time.NewTicker(l.o.Pace)
	defer ticker.Stop()
	failing := false
	for {
		switch err := l.Step(ctx); {
		case ctx.Err() != nil:
		case err != nil && !failing:
			l.o.Logger.Warn("usage isn't copied to the ledger for now; it is kept and will be", "tenant", l.o.Tenant.String(), "error", err)
			failing = true
		case err == nil && failing:
			l.o.Logger.Info("usage is copied to the ledger again", "tenant", l.o.Tenant.String())
			failing = false
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastCopy)
			defer cancel()
			if err := l.Step(last); err != nil {
				l.o.Logger.Warn("the last usage isn't in the ledger", "tenant", l.o.Tenant.String(), "error", err)
			}
			return
		}
	}
}

// Step makes one call at most, with as many rows as one takes. It is not for use beside
// Run, nor by two at once.
func (l *Ledger) Step(ctx context.Context) error {
	if l.through.Load() == 0 {
		return l.resume(ctx)
	}
	now := l.a.o.Now()
	from := time.Unix(l.through.Load(), 0).Add(-lateness).Truncate(time.Minute)
	if oldest := now.Add(-storage.UsageKept); from.Before(oldest) {
		l.o.Logger.Warn("usage was dropped before it was copied to the ledger", "tenant", l.o.Tenant.String(), "from", from, "to", oldest)
		from = oldest.Truncate(time.Minute)
	}
	buckets, err := l.o.Usage.Sum(ctx, l.o.Tenant, from, now.Add(time.Minute))
	if err != nil {
		return fmt.Errorf("reading usage for the ledger: %w", err)
	}
	fresh, rest := l.fresh(buckets)
	if len(fresh) > 0 {
		if err := l.send(ctx, fresh); err != nil {
			return fmt.Errorf("writing the ledger: %w", err)
		}
		for _, b := range fresh {
			l.sent[keyOfRow(b)] = b
		}
	}
	through := now
	if rest != nil {
		through = rest.Minute
	}
	l.through.Store(through.Unix())
	oldest := through.Add(-lateness - time.Minute).Unix()
	for k := range l.sent {
		if k.minute < oldest {
			delete(l.sent, k)
		}
	}
	return nil
}

func keyOfRow(b storage.UsageBucket) rowKey {
	return rowKey{b.Minute.Unix(), b.Model, b.Feature, b.Outcome}
}

// fresh are the buckets that changed since they were sent, oldest first, as many as one
// call takes; rest is the first of those that have to wait.
func (l *Ledger) fresh(buckets []storage.UsageBucket) (fresh []storage.UsageBucket, rest *storage.UsageBucket) {
	for i, b := range buckets {
		if l.sent[keyOfRow(b)] == b {
			continue
		}
		if len(fresh) == rowsPerStatement*statements {
			return fresh, &buckets[i]
		}
		fresh = append(fresh, b)
	}
	return fresh, nil
}

type statement struct {
	SQL    string   `json:"sql"`
	Params []string `json:"params,omitempty"`
}

// resume makes the table, and finds out where the last process stopped.
func (l *Ledger) resume(ctx context.Context) error {
	results, err := l.query(ctx, []statement{{SQL: ledgerSchema}, {
		SQL: "SELECT max(minute) AS last FROM usage WHERE tenant = ? AND source = ?", Params: []string{l.o.Tenant.Identity(), l.o.Source},
	}})
	if err != nil {
		return fmt.Errorf("opening the ledger: %w", err)
	}
	var rows []struct{ Last *int64 }
	if len(results) < 2 || json.Unmarshal(results[1].Results, &rows) != nil || len(rows) != 1 {
		return fmt.Errorf("opening the ledger: %w: the answer isn't of this call", storage.ErrUnavailable)
	}
	through := l.a.o.Now().Add(-storage.UsageKept + lateness + time.Minute)
	if last := rows[0].Last; last != nil && time.Unix(*last, 0).After(through) {
		through = time.Unix(*last, 0)
	}
	l.through.Store(through.Unix())
	return nil
}

// send writes rows. D1 takes parameters as text alone, so numbers are cast.
func (l *Ledger) send(ctx context.Context, buckets []storage.UsageBucket) error {
	var batch []statement
	for rows := range slices.Chunk(buckets, rowsPerStatement) {
		// The tenant and the source stand once, before the rows.
		st := statement{Params: []string{l.o.Tenant.Identity(), l.o.Source}}
		var values []string
		for _, b := range rows {
			n := len(st.Params)
			p := func(i int) string { return "?" + strconv.Itoa(n+i) }
			values = append(values, fmt.Sprintf("(?1, ?2, CAST(%s AS INTEGER), %s, %s, %s, CAST(%s AS INTEGER), CAST(%s AS INTEGER), CAST(%s AS INTEGER), CAST(%s AS INTEGER), CAST(%s AS INTEGER))",
				p(1), p(2), p(3), p(4), p(5), p(6), p(7), p(8), p(9)))
			st.Params = append(st.Params, strconv.FormatInt(b.Minute.Unix(), 10), b.Model, b.Feature, b.Outcome,
				strconv.FormatInt(b.Calls, 10), strconv.FormatInt(b.TokensIn, 10), strconv.FormatInt(b.TokensOut, 10), strconv.FormatInt(b.MicroUSD, 10), strconv.FormatInt(b.Latency.Milliseconds(), 10))
		}
		st.SQL = "INSERT INTO usage (tenant, source, minute, model, feature, outcome, calls, tokens_in, tokens_out, micro_usd, latency_ms) VALUES " + strings.Join(values, ", ") + ledgerUpsert
		batch = append(batch, st)
	}
	_, err := l.query(ctx, batch)
	var refused *apiError
	if errors.As(err, &refused) && refused.status < 500 {
		// A table that was dropped by hand is made again.
		l.through.Store(0)
		clear(l.sent)
	}
	return err
}

type queryResult struct {
	Success bool
	Results json.RawMessage
}

// query runs a batch, which is one transaction.
func (l *Ledger) query(ctx context.Context, batch []statement) ([]queryResult, error) {
	body, err := encode(map[string]any{"batch": batch})
	if err != nil {
		return nil, err
	}
	var results []queryResult
	call := apiCall{method: http.MethodPost, path: "/d1/database/" + url.PathEscape(l.o.Database) + "/query", contentType: "application/json", body: body, background: true}
	if err := l.a.call(ctx, call, &results); err != nil {
		return nil, err
	}
	for _, r := range results {
		if !r.Success {
			return nil, fmt.Errorf("%w: a statement failed", storage.ErrUnavailable)
		}
	}
	return results, nil
}
