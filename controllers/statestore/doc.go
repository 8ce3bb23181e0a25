// Package statestore is the servers that tenants share their state on, as the operator
// sees them: it makes a login for each tenant that reaches that tenant's data alone,
// changes its password without a gap, removes it, and erases what the tenant kept.
//
// It promises that all it does may be done again after a crash at any point, and that no
// error it gives, nor anything it writes to a server's log, holds a password: Valkey gets
// digests, PostgreSQL verifiers. It keeps nothing that can't be found out anew.
//
// It refuses to touch logins and data under other names than those of api/statestore.
package statestore
