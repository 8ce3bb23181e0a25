// Package lsa makes vectors of texts without a trained network: latent semantic
// analysis, learnt from the passages that are to be found. Words that keep the same
// company get directions close to each other, so a passage can answer a question that
// shares no word with it.
//
// Promise: the same counts always give the same model, bit for bit on one kind of
// processor, however many of them there are; a model never changes, and its Version
// tells what it was learnt from: vectors of different versions must not be compared.
// Questions and passages are folded by one function. Below MinPassages there is nothing
// to learn, and Train says so.
//
// It knows one-topic collections well and mixed ones poorly (docs/evaluation.md), so
// its similarity is for adding to a text score, never for ranking alone.
package lsa
