// Package session shows and deletes what was said: GET /chat/{sessionId}/history,
// DELETE /chat/{sessionId}, GET /sessions and GET /health, and forgets sessions
// whose time is up.
//
// Promise: a session belongs to the caller that made it; to another caller of the
// same tenant it doesn't exist, unless that caller's key has the scope sessions:all.
package session
