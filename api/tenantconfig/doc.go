// Package tenantconfig is the seam between the operator and the runtime: the
// document that the operator renders from a Tenant and the runtime loads.
//
// Promise: the document carries its own version; fields are only ever added; a
// reader accepts its own version and every older one. It holds no secrets: keys
// appear as SHA-256 digests, credentials as names of files mounted beside it, so
// that it can be logged, compared and attached to a bug report.
//
// The operator is the only writer (controllers/tenant/resources/config.go), the
// runtime the only reader (runtime/tenancy). Standard library only.
package tenantconfig
