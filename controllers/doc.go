// Package controllers is the operator's wing: it makes the manager and lists the
// controllers that run in it. The rooms below do the work; flags and processes are
// cmd/operator's.
package controllers
