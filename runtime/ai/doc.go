// Package ai is the model as features see it: small interfaces, errors that say
// what happened rather than which code was sent, the order of fallbacks, and what
// tokens cost.
//
// Promise: a driver streams each token as it arrives, cancels its call within
// 100 ms of the context's end, always sends a token limit upstream, never retries
// after the first byte, and never lets an upstream's text or a credential reach an
// error that a client may see. No model is called but through this package.
package ai
