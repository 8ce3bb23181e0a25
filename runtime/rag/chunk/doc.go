// Package chunk cuts a document's text into passages that can be found and quoted.
//
// Promise: structure comes first: a heading begins a passage, a paragraph, list item, row
// of a table or code stays whole if it fits, then sentences do, then words. A word is cut
// only if it is longer than a passage may be, and a character that a reader sees as one
// never. No text is lost: what follows another without overlap is all of the document but
// for white space. The same blocks give the same passages.
//
// It refuses sizes out of bounds and knows nothing of files, models or stores.
package chunk
