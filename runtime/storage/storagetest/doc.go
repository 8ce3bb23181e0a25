// Package storagetest is what every storage driver must keep, as a suite that a
// driver's test runs in a few lines.
//
// It promises to notice what it names: its own tests plant broken drivers and see
// each of them refused. -rapid.checks scales the random part; -rapid.seed repeats it.
package storagetest
