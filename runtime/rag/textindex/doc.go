// Package textindex finds passages by their words: an inverted index in memory, ranked
// by BM25+.
//
// Promise: Search gives the exact best k, and the same bits for the same passages
// whatever was added and removed before; a removed passage counts for nothing from then
// on. Words of every script are found: English by its stem, the very form first;
// unparted scripts by pairs of neighbours; identifiers whole and by their parts. No text
// is hostile: a term has at most 64 bytes, and time and memory grow with the text's
// length alone.
//
// It keeps nothing on disk, knows no tenant (an index belongs to one) and has no query
// language, so nothing can be injected. Any number of Search, Score, Snapshot, Len
// and Bytes may run at once, or one Add or Remove: the caller holds a sync.RWMutex.
package textindex
