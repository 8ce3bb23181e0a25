// Package rag is a tenant's documents: taking them in, finding passages of them, and
// answers that rest on what was found.
//
// Promise: whoever reads finds a document in the version before a replacement or the one
// after it, whole, and an ingest that fails leaves nothing that is found. Of two ingests of
// one document the later request wins. Work that outlives its request is a job: it goes on
// from where it was after a crash, and ends as done or with an error that says what to do.
// An answer cites only passages that were given, and where none fits it says so instead of
// guessing. A change of the documents makes every cached answer unreachable at once.
//
// It refuses what isn't a document with a 4xx, and keeps no text in logs.
package rag
