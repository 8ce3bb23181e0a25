// Package move takes what a tenant has from one store to another, into a snapshot, and
// back: sessions, budgets, usage and audit; no secret and no setting.
//
// Promise: a move is counted, goes on where it was cut off, and once done isn't done
// again, so that it can't bring old data back over new. A snapshot tells when it is
// truncated or altered, and goes into no other tenant than its own unless that is asked
// for. Taking one in twice is taking it in once. A store that is away for a moment is
// waited for.
//
// It refuses a snapshot of a newer version. What is written while it reads may be missed.
package move
