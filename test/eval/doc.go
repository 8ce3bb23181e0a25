// Command eval measures whether documents are found: the product's own text index,
// learnt vectors and fusion on two public judged sets, or a tenant's live API on the
// tenant's own questions. It writes docs/evaluation.md and docs/evaluation.svg, and ends
// with one line a data set.
//
// Nothing is tuned while it measures, and every choice by chance is the same in every
// run. It is no test: a figure that misses its goal is written down as measured.
package main
