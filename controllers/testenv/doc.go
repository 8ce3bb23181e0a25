// Package testenv is the stage of the controllers' tests: a real etcd and API server,
// the real controller manager where rollouts and garbage collection matter, and doubles
// for what only a node can do (pods that run, a runtime that answers).
//
// A World is one namespace with a Reconciler of its own. Its client counts every API
// write and can be told to crash, fail or time out at any of them. Tests call Reconcile
// and await nothing.
package testenv
