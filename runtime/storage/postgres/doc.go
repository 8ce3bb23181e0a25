// Package postgres is the driver that many replicas and many tenants share: PostgreSQL 15
// or later.
//
// Promise: each decision is one statement and one transaction, so limits and budgets are
// exact over all replicas. Append, Delete, Expire, Reserve and Load return when the
// server has them on its disk; settlements, usage and audit within a second, and no later
// than any such write begun after them. Rate windows and caches are gone after a crash of
// the server. No statement is tried again unless the first try did nothing, or reads.
//
// The server keeps tenants apart: a login is one tenant's, row security binds it and the
// database's owner alike, and rows are checked again when they are read. api/statestore
// says what a login still sees. A server that is away makes calls storage.ErrUnavailable;
// they work again as soon as it does. Nothing is kept in the process.
//
// Documents are published in one transaction; what they replace is deleted afterwards, a
// thousand passages at a time. Whoever awaits a change listens, over one more connection, on
// a channel that only its tenant can know, and polls where it can't. No extension is needed:
// vectors are read, not searched, here.
//
// It refuses a login that is another tenant's. It isn't made for poolers in transaction
// mode: statements are prepared. PgBouncer in session mode is like a server.
package postgres
