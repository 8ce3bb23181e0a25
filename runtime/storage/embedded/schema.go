package embedded

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strconv"

	// The driver "sqlite": SQLite in pure Go.
	_ "modernc.org/sqlite"
)

// schemaVersion is the file's PRAGMA user_version. A change of the schema adds a step
// to migrations; a file is never read by a binary older than its writer.
const schemaVersion = 3

// migrations[i] takes a file from version i to i+1.
//
// A message's id is its session's id << 32 plus its number in the session, so that
// histories are ranges of the table itself. So is a passage's: its part's id << 20 plus
// its number; and a payload's: its job's number << 12 plus the piece's. Vectors lie in a
// table of their own, since they are three times as long as the texts, and each is read
// by a look-up of its own. Times are Unix milliseconds.
var migrations = []string{`
CREATE TABLE sessions (
  id INTEGER PRIMARY KEY,
  tenant TEXT NOT NULL, session TEXT NOT NULL, caller TEXT NOT NULL,
  created INTEGER NOT NULL, updated INTEGER NOT NULL,
  first INTEGER NOT NULL, next INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX sessions_by_name ON sessions (tenant, session, caller);
CREATE INDEX sessions_by_caller ON sessions (tenant, caller, updated);
CREATE INDEX sessions_by_update ON sessions (tenant, updated);
CREATE TABLE messages (
  id INTEGER PRIMARY KEY,
  tenant TEXT NOT NULL, role TEXT NOT NULL, content TEXT NOT NULL,
  at INTEGER NOT NULL, tokens INTEGER NOT NULL, partial INTEGER NOT NULL
) STRICT;
CREATE TABLE windows (
  tenant TEXT NOT NULL, key TEXT NOT NULL, name TEXT NOT NULL,
  length_ns INTEGER NOT NULL, until INTEGER NOT NULL, takes BLOB NOT NULL,
  PRIMARY KEY (tenant, key, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE budgets (
  tenant TEXT NOT NULL, name TEXT NOT NULL,
  used INTEGER NOT NULL, reserved INTEGER NOT NULL, until INTEGER NOT NULL,
  PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE usage (
  tenant TEXT NOT NULL, minute INTEGER NOT NULL,
  model TEXT NOT NULL, feature TEXT NOT NULL, outcome TEXT NOT NULL,
  calls INTEGER NOT NULL, tokens_in INTEGER NOT NULL, tokens_out INTEGER NOT NULL,
  micro_usd INTEGER NOT NULL, latency_ns INTEGER NOT NULL,
  PRIMARY KEY (tenant, minute, model, feature, outcome)
) STRICT, WITHOUT ROWID;
CREATE TABLE probe (id INTEGER PRIMARY KEY, at INTEGER NOT NULL) STRICT;
`, `
CREATE TABLE audit (
  id INTEGER PRIMARY KEY,
  tenant TEXT NOT NULL, at INTEGER NOT NULL, caller TEXT NOT NULL, tool TEXT NOT NULL,
  params_hash TEXT NOT NULL, outcome TEXT NOT NULL, duration_ns INTEGER NOT NULL
) STRICT;
CREATE INDEX audit_by_time ON audit (tenant, at);
`, `
CREATE TABLE libraries (
  tenant TEXT PRIMARY KEY,
  version INTEGER NOT NULL, head INTEGER NOT NULL, floor INTEGER NOT NULL, forgotten INTEGER NOT NULL,
  documents INTEGER NOT NULL, passages INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE parts (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  tenant TEXT NOT NULL, doc TEXT NOT NULL, version INTEGER NOT NULL,
  dimensions INTEGER NOT NULL, passages INTEGER NOT NULL, next INTEGER NOT NULL, latest INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX parts_by_name ON parts (tenant, doc, version);
CREATE TABLE documents (
  id INTEGER PRIMARY KEY,
  tenant TEXT NOT NULL, doc TEXT NOT NULL, part INTEGER NOT NULL, version INTEGER NOT NULL, source INTEGER NOT NULL,
  change INTEGER NOT NULL, created INTEGER NOT NULL, updated INTEGER NOT NULL,
  passages INTEGER NOT NULL, bytes INTEGER NOT NULL, about TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX documents_by_name ON documents (tenant, doc);
CREATE INDEX documents_by_change ON documents (tenant, change);
CREATE UNIQUE INDEX documents_by_part ON documents (part);
CREATE TABLE removals (
  tenant TEXT NOT NULL, doc TEXT NOT NULL,
  change INTEGER NOT NULL, floor INTEGER NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY (tenant, doc)
) STRICT, WITHOUT ROWID;
CREATE INDEX removals_by_change ON removals (tenant, change);
CREATE TABLE passages (
  id INTEGER PRIMARY KEY, text TEXT NOT NULL, headings TEXT NOT NULL, page INTEGER NOT NULL
) STRICT;
CREATE TABLE vectors (id INTEGER PRIMARY KEY, vector BLOB NOT NULL) STRICT;
CREATE TABLE jobs (
  number INTEGER PRIMARY KEY,
  tenant TEXT NOT NULL, job TEXT NOT NULL, kind TEXT NOT NULL, caller TEXT NOT NULL,
  state TEXT NOT NULL, ended INTEGER NOT NULL, attempts INTEGER NOT NULL, note BLOB NOT NULL,
  created INTEGER NOT NULL, updated INTEGER NOT NULL, lease INTEGER NOT NULL,
  worker TEXT NOT NULL, turn INTEGER NOT NULL, size INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX jobs_by_name ON jobs (tenant, job);
CREATE INDEX jobs_by_turn ON jobs (tenant, turn) WHERE ended = 0;
CREATE TABLE payloads (id INTEGER PRIMARY KEY, piece BLOB NOT NULL) STRICT;
CREATE TABLE dropped (kind INTEGER NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (kind, id)) STRICT, WITHOUT ROWID;
`}

const pageBytes = 4096

// dsn of a connection. The writer syncs at every commit; cache sizes are small since
// an idle tenant should cost little.
func dsn(path string, write bool, maxPages int64) string {
	q := url.Values{}
	pragma := func(p string) { q.Add("_pragma", p) }
	pragma("busy_timeout(2000)")
	pragma("temp_store(MEMORY)")
	if write {
		q.Set("mode", "rwc")
		pragma("page_size(" + strconv.Itoa(pageBytes) + ")")
		pragma("journal_mode(WAL)")
		pragma("synchronous(FULL)")
		pragma("cache_size(-2048)")
		pragma("journal_size_limit(4194304)")
		pragma("max_page_count(" + strconv.FormatInt(maxPages, 10) + ")")
	} else {
		q.Set("mode", "ro")
		pragma("cache_size(-1024)")
	}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String()
}

// migrate brings the file to schemaVersion, all steps in one transaction each.
func migrate(ctx context.Context, c *sql.Conn) error {
	var have int
	if err := c.QueryRowContext(ctx, "PRAGMA user_version").Scan(&have); err != nil {
		return fmt.Errorf("reading the version: %w", err)
	}
	if have > schemaVersion {
		return fmt.Errorf("%w: it has version %d and this binary knows %d; run the newer binary again, or restore a backup made before the upgrade",
			ErrNewer, have, schemaVersion)
	}
	for ; have < schemaVersion; have++ {
		step := fmt.Sprintf("BEGIN IMMEDIATE;%sPRAGMA user_version=%d;COMMIT", migrations[have], have+1)
		if _, err := c.ExecContext(ctx, step); err != nil {
			_, rollback := c.ExecContext(ctx, "ROLLBACK")
			return fmt.Errorf("migrating to version %d: %w", have+1, errors.Join(err, rollback))
		}
	}
	return nil
}
