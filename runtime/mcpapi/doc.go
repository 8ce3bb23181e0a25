// Package mcpapi is /mcp: a server of the Model Context Protocol that offers a caller the
// tools of its tenant, and the tenant's documents as resources.
//
// Promise: what a caller is offered and may run is exactly what the rest of the API gives
// it, with the same checks, limits and audit; a tool that fails is a result with isError,
// which models can read, never a broken connection.
//
// There are no sessions: every request carries its key and is judged by it, so there is
// no session id that could be guessed, stolen or mixed up between callers, and any
// replica can answer. A page of a foreign origin is refused, whatever name it resolves to
// us. It refuses subscriptions: nothing is told unasked.
package mcpapi
