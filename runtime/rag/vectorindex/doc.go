// Package vectorindex finds the vectors nearest to a query by an exact scan over all of
// them, each number kept as one byte.
//
// Promise: a scan reads every kept row once, at the speed of memory; whatever the
// processor, the same index gives the same hits and scores to the last bit. Scores are
// cosines, off by some ten-thousandths as a rule because rows and query are rounded to 8
// bits: whoever needs them exact asks for a few times more hits than it wants and scores
// those with the rows themselves, which this package doesn't keep. It knows slots, no
// documents and no tenants: one index belongs to one tenant.
package vectorindex
