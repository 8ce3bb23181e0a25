// Package ledger decides in memory what a driver of one process may decide there:
// exact sliding windows, budgets that are never overdrawn, usage by the minute.
//
// Promise: a decision is atomic under its tenant's lock, tenants share no lock but
// the one of the directory, and what has run out is dropped as later calls pass, so
// memory follows what is live. A driver that keeps more than a process lives drains
// what changed, writes it, and hands back what it could not write.
//
// It is no driver: it refuses nothing for a missing tenant and does no I/O.
package ledger
