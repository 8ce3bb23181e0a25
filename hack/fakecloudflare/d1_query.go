package fakecloudflare

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	_ "modernc.org/sqlite" // D1 is SQLite
)

// Limits of a query.
const (
	maxSQL       = 100_000
	maxParams    = 100
	queryTimeout = 30 * time.Second
)

type statement struct {
	SQL    string `json:"sql"`
	Params []any  `json:"params"`
}

// queryDatabase answers query and raw; a batch is a transaction.
func queryDatabase(c *call) answer {
	c.s.mu.Lock()
	i := c.acct.D1.get(c.param(1))
	c.s.mu.Unlock()
	if i == nil {
		return noDatabase(c.param(1))
	}
	var body struct {
		statement
		Batch []statement `json:"batch"`
	}
	if err := decode(c.body, &body); err != nil {
		return fail(http.StatusBadRequest, 7400, "The request is malformed: %s", err)
	}
	statements := body.Batch
	if body.SQL != "" {
		parts := split(body.SQL)
		if len(parts) > 1 && len(body.Params) > 0 {
			return fail(http.StatusBadRequest, 7400, "Several statements can't have params: use batch")
		}
		for _, p := range parts {
			statements = append(statements, statement{SQL: p, Params: body.Params})
		}
	}
	if len(statements) == 0 {
		return fail(http.StatusBadRequest, 7400, "No SQL statements detected.")
	}
	for _, st := range statements {
		switch {
		case len(st.SQL) > maxSQL:
			return fail(http.StatusBadRequest, 7500, "statement too long: SQLITE_TOOBIG")
		case len(st.Params) > maxParams:
			return fail(http.StatusBadRequest, 7500, "too many SQL variables: SQLITE_ERROR")
		case forbidden.MatchString(st.SQL):
			return fail(http.StatusBadRequest, 7500, "not authorized: SQLITE_AUTH")
		}
	}
	results, wrote, err := i.Value.run(c.r.Context(), statements, c.op.id == "d1-raw-database-query")
	if err != nil {
		return fail(http.StatusBadRequest, 7500, "%s", err)
	}
	if wrote {
		c.did("write", i.Key, i.Value.Name)
	}
	return ok(results)
}

// forbidden statements would leave the database, or the transaction that D1 runs
// everything in.
var forbidden = regexp.MustCompile(`(?is)^(\s|--[^\n]*\n|/\*.*?\*/)*(attach|detach|vacuum|begin|commit|rollback|savepoint|release|end)\b|\bload_extension\s*\(`)

func (d *d1Database) run(ctx context.Context, statements []statement, raw bool) (results []map[string]any, wrote bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	if err := d.start(ctx); err != nil {
		return nil, false, err
	}
	tx, err := d.open.BeginTx(ctx, nil)
	if err != nil {
		return nil, false, fmt.Errorf("starting a transaction: %w", err)
	}
	defer func() { err = errors.Join(err, ignoreDone(tx.Rollback())) }()
	for _, st := range statements {
		result, changed, err := execute(ctx, tx, st, raw)
		if err != nil {
			return nil, false, err
		}
		wrote = wrote || changed
		results = append(results, result)
	}
	return results, wrote, tx.Commit()
}

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

func execute(ctx context.Context, tx *sql.Tx, st statement, raw bool) (map[string]any, bool, error) {
	began := time.Now()
	changesBefore, err := number(ctx, tx, "SELECT total_changes()")
	if err != nil {
		return nil, false, err
	}
	rows, err := tx.QueryContext(ctx, st.SQL, st.Params...)
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = rows.Close() }() // read to its end, or failed with an error of its own
	columns, err := rows.Columns()
	if err != nil {
		return nil, false, err
	}
	var lines [][]any
	for rows.Next() {
		line := make([]any, len(columns))
		for i := range line {
			line[i] = new(any)
		}
		if err := rows.Scan(line...); err != nil {
			return nil, false, err
		}
		for i := range line {
			line[i] = *line[i].(*any)
			if b, isBytes := line[i].([]byte); isBytes {
				line[i] = base64.StdEncoding.EncodeToString(b)
			}
		}
		lines = append(lines, line)
	}
	if err := rows.Err(); err != nil {
		return nil, false, err
	}
	changesAfter, err := number(ctx, tx, "SELECT total_changes()")
	if err != nil {
		return nil, false, err
	}
	last, err := number(ctx, tx, "SELECT last_insert_rowid()")
	if err != nil {
		return nil, false, err
	}
	size, err := number(ctx, tx, "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
	if err != nil {
		return nil, false, err
	}
	changes := changesAfter - changesBefore
	milliseconds := float64(time.Since(began).Microseconds()) / 1000
	schemaChange := schemaWord.MatchString(st.SQL)
	return map[string]any{
		"success": true,
		"results": shape(columns, lines, raw),
		"meta": map[string]any{"changed_db": changes > 0 || schemaChange, "changes": changes, "duration": milliseconds, "last_row_id": last,
			"rows_read": len(lines), "rows_written": changes, "size_after": size, "served_by_region": "WEUR", "served_by_primary": true,
			"timings": map[string]any{"sql_duration_ms": milliseconds}},
	}, changes > 0 || schemaChange, nil
}

var schemaWord = regexp.MustCompile(`(?i)^\s*(create|drop|alter)\b`)

func shape(columns []string, lines [][]any, raw bool) any {
	if raw {
		if lines == nil {
			lines = [][]any{}
		}
		return map[string]any{"columns": columns, "rows": lines}
	}
	objects := make([]map[string]any, len(lines))
	for n, line := range lines {
		objects[n] = map[string]any{}
		for i, name := range columns {
			objects[n][name] = line[i]
		}
	}
	return objects
}

func number(ctx context.Context, tx *sql.Tx, query string) (n int64, err error) {
	err = tx.QueryRowContext(ctx, query).Scan(&n)
	return n, err
}

// start opens the database at its first query: most are never asked one.
func (d *d1Database) start(ctx context.Context) error {
	if d.open != nil {
		return nil
	}
	db, err := sql.Open("sqlite", ":memory:?_pragma=foreign_keys(1)")
	if err != nil {
		return fmt.Errorf("opening a database: %w", err)
	}
	// A second connection would be a second database.
	db.SetMaxOpenConns(1)
	db.SetConnMaxLifetime(0)
	if d.open = db; len(d.Image) == 0 {
		return nil
	}
	return d.onConn(ctx, func(c sqliteConn) error { return c.Deserialize(d.Image) })
}

type sqliteConn interface {
	Serialize() ([]byte, error)
	Deserialize(image []byte) error
}

func (d *d1Database) onConn(ctx context.Context, do func(sqliteConn) error) error {
	conn, err := d.open.Conn(ctx)
	if err != nil {
		return fmt.Errorf("reaching a database: %w", err)
	}
	defer func() { _ = conn.Close() }() // gives it back to the pool
	return conn.Raw(func(driver any) error { return do(driver.(sqliteConn)) })
}

// freeze puts what SQLite holds into Image.
func (d *d1Database) freeze(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open == nil {
		return nil
	}
	return d.onConn(ctx, func(c sqliteConn) (err error) {
		d.Image, err = c.Serialize()
		return err
	})
}

func (d *d1Database) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open != nil {
		_ = d.open.Close() // memory alone
		d.open = nil
	}
}

// split cuts a text into statements at the semicolons that are outside of quotes,
// comments and the bodies of triggers.
func split(text string) []string {
	var parts []string
	begin := 0
	for i := 0; i < len(text); i++ {
		rest := text[i:]
		switch {
		case strings.HasPrefix(rest, "--"):
			i += skipTo(rest, "\n")
		case strings.HasPrefix(rest, "/*"):
			i += skipTo(rest, "*/")
		case text[i] == '\'' || text[i] == '"' || text[i] == '`':
			i += 1 + skipTo(rest[1:], rest[:1])
		case text[i] == ';':
			part := strings.TrimSpace(text[begin:i])
			if !triggerStart.MatchString(part) || triggerEnd.MatchString(part) {
				parts, begin = appendPart(parts, part), i+1
			}
		}
	}
	return appendPart(parts, strings.TrimSpace(text[min(begin, len(text)):]))
}

var (
	triggerStart = regexp.MustCompile(`(?is)^create\s+(temp\w*\s+)?trigger\b`)
	triggerEnd   = regexp.MustCompile(`(?is)\bend\s*$`)
)

func skipTo(text, mark string) int {
	if n := strings.Index(text, mark); n >= 0 {
		return n + len(mark) - 1
	}
	return len(text)
}

func appendPart(parts []string, part string) []string {
	if part == "" {
		return parts
	}
	return append(parts, part)
}
