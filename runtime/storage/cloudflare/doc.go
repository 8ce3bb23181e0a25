// Package cloudflare keeps passages in Vectorize and files in R2, and copies usage to D1
// and the document to KV: what a tenant's bindings are for.
//
// Promise: a tenant finds its own alone, in an index of its own or in one that it shares
// — each match is checked again by its id, which is made of the tenant. Texts are whole:
// what doesn't fit beside its vector lies in R2, or the call is refused. All calls of one
// API token share one budget; beyond it they are refused with an honest wait, never
// queued. What becomes visible late is told as late. The token is asked for at each
// call, so that a rotated one is taken up at once.
package cloudflare
