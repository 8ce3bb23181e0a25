// Command scale measures the operator over many Cloudflare accounts: five accounts of 400
// tenants with four bindings each, 8,000 objects, on a real API server, with the fake
// Cloudflare's true budgets and quotas. Tenants are represented by their bindings: a
// Tenant's own children need no Cloudflare.
//
// Time runs faster by a factor that is printed, the same everywhere: the window in which
// Cloudflare counts calls and the accounts' budget, how often accounts are listed, how
// often what lists don't show is polled. An edit's delay is told in real seconds.
//
// It writes its part of docs/benchmarks.json and docs/benchmarks.md. Nothing here is a
// test: a figure that misses its goal is written down as measured.
package main
