// Package embedded is the persistent driver of one process: one SQLite file,
// state.db, in a directory that no other process may use at the same time.
//
// Promise: Append, Delete, Expire and Reserve, and all that changes documents and jobs,
// return when what they did is on the disk: its log was synced after it was written.
// Writes that come together share one transaction and one sync; a large Stage or payload
// is written in slices, so that a chat never waits for it. Takes, settlements, usage and
// audit are decided in memory and ride on the next commit, within a second. The cache is
// in memory alone: what can be made again isn't worth a sync. A reservation that was never
// settled counts as spent after a crash. Reads never wait for the writer, and the
// history of a session in use comes from memory, which holds what is committed.
//
// A disk that is full, read-only or broken makes writes storage.ErrUnavailable, with
// the reason in Health, and heals without a restart. A file that is corrupt, or
// written by a newer version, is refused when it is opened, and never altered.
package embedded
