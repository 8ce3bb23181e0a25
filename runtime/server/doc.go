// Package server is the wiring: the only room that knows all others. It opens the
// state store and the upstream that a tenant's document names, mounts the features,
// listens, follows changes of the document, and stops without losing a request.
//
// Promise: a change that can be taken up live is, without ending a stream; one that
// can't waits for a restart and is told at /status. After SIGTERM requests are
// served on while the world hears of it, then refused with 503; open streams may go
// on for the document's drainSeconds, are then ended with an error event, and
// everything they used is stored before the process ends.
package server
