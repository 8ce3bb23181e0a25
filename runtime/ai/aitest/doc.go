// Package aitest is what package ai promises of a driver, as tests: every driver runs
// them in a few lines.
package aitest
