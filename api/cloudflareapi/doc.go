// Package cloudflareapi is what Cloudflare's APIs put on the wire and both wings must
// understand: the shapes in which they say no. Standard library only.
//
// Promise: ParseErrors reads every shape that is known and never fails; a body that
// makes no sense gives no errors, and the status alone must do. Messages are
// Cloudflare's text: compare and log them, but don't show them to a tenant's client.
package cloudflareapi
