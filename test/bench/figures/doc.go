// Package figures keeps what was measured: docs/benchmarks.json, one line a figure with
// its goal, and docs/benchmarks.md, one section a command with the raw numbers behind
// it. A command replaces its own lines and section and leaves the others as they are.
package figures
