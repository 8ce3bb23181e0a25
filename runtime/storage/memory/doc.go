// Package memory is the ephemeral driver: everything in this process, gone with it.
//
// Promise: the same decisions as every other driver, at a few microseconds a chat,
// in bounded memory. When the messages of all tenants exceed Options.MaxBytes, the
// sessions that were not appended to for longest are dropped; windows, budgets and
// usage are dropped when they have run out, cached values beyond 16 MiB, and of a
// tenant's audit records all but the last 20,000. Documents are never dropped: beyond
// Options.MaxDocumentBytes no more are taken, which alone is unavailable here, nor jobs
// beyond Options.MaxJobBytes. It can't be shared by two processes.
package memory
