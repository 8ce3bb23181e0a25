// Package tenancy says who is asked for and who asks: it loads and watches the
// documents that the operator wrote, resolves a request to a tenant and
// authenticates its caller.
//
// Promise: nothing is stored, cached or sent to a model before Identify has named
// the tenant and the caller. A Tenant is a snapshot that never changes; a reload
// replaces it whole, and a document that breaks a rule is refused whole while the
// old one serves on. Key values are never kept, only their digests.
package tenancy
