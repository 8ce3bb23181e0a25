// Package tenant brings one Tenant at a time to what its spec asks for.
//
// A pass reads all that its decisions need once (observe.go), walks the phases
// (checks → credentials → state logins → bindings → workload → rollout →
// route) until one fails or waits, and
// saves the status once. Nothing that serves is undone because a later wish can't be
// met.
//
// Promise: a pass over a tenant that is as it should be writes nothing; a pass cut off
// at any write is finished by the next one; a generated key is made once. It refuses
// to touch objects that aren't its own, and to put a secret into a condition, an event,
// a log line or a metric.
package tenant
