// Package httpapi is the edge: the one door through which every request of a
// tenant's API comes in and every answer goes out.
//
// Promise: the tenant and the caller are known before a handler runs; bodies are
// bounded and strictly JSON; every answer carries a trace id and the envelope; one
// table turns errors into statuses; a panic fails one request; nothing of an
// upstream, a stack or a secret reaches a client. A handler is a function from a
// request to an answer and never sees the ResponseWriter.
package httpapi
