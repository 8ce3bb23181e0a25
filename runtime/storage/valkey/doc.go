// Package valkey is the driver for state that several replicas and tenants share: a
// Valkey or Redis server, protocol 7.0 or later.
//
// It promises one round trip a decision (a script that is atomic on the server), exact
// windows and budgets, and bounded memory: all that it writes has a time to live, but
// for sessions that are kept for ever, budgets that never end, a counter a tenant, and
// documents and open jobs. All keys of a tenant
// begin with statestore.KeyPrefix and lie in one slot; it sends only what
// statestore.ACLRules allows, so a tenant's own login is enough. Each value carries its
// tenant and each answer the mark of its call: what doesn't match is ErrForeign.
//
// What one tenant asks at the same time goes together: fewer calls, and no more round
// trips. A tenant's windows are one hash: a server frees that of 100,000 callers at once,
// in tens of milliseconds, when they all fall silent, unless lazyfree-lazy-expire is on.
// That is the default of Valkey 8, and advised on others.
//
// Each version of a document lies under keys of its own, which publishing names and removing
// unlinks: neither takes longer for a large one. No script touches more than a thousand
// things. Whoever awaits a change reads once a second.
//
// It refuses to be a reason not to start: while the server is away, calls are
// storage.ErrUnavailable.
//
// URLs: redis://user:password@host:port for one server or a cluster, which it tells
// apart by itself; rediss:// for TLS; valkey:// and valkeys:// mean the same. /N or
// ?db=N chooses a database. ?addr=host:port names more nodes of a cluster.
// ?master_set=NAME makes the addresses those of sentinels, with sentinel_user and
// sentinel_password as the login there.
package valkey
