// Package statestore is what both wings must spell alike about state that tenants
// share a server for: under which names a tenant's data lies, as whom its pods log in,
// and what that login may do. The operator makes the logins and the schema, the runtime
// uses them.
//
// It promises that two storage identities never share a name. It holds no secret and
// opens no connection; standard library only.
package statestore
