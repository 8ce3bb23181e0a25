// Package index is one tenant's searchable documents in this process: an index of words
// and one of vectors over the same passages, kept fresh from storage.Documents by the
// sequence of its changes. What is lost with the process is read again from the store.
//
// Promise: a search sees each document in the version before a change or the one after
// it, whole; never both, never neither. Filters mean what storage.Meets says. Whatever
// fails while changes are read is read again, and nothing is lost or half there. A score
// is the true one of its passage: what one arm found is scored by the other too.
//
// It keeps no texts and no full vectors: hits name passages, and who reads them from the
// store finds none if the document was replaced meanwhile, and searches again. It makes
// no vectors of texts but those that it learns from the passages themselves, and calls
// no model.
package index
