// Package limits says how much: the rate windows of a caller and the token and
// money budgets of a tenant, behind one choke point that every costly route passes.
//
// Promise: Gate.Admit decides before any work is done, in all limits or in none, so
// that a refused request costs no quota; budgets are reserved before the upstream
// is called and settled with what was really used, exactly once, though the client
// went away; parallel requests never overdraw a budget beyond what one call's
// estimate was short of. Retry-After is honest.
//
// While the store is away nothing can be reserved, and requests are refused with 503, at
// no cost. Where only limits are away, since they have a server of their own, and no
// budget bounds the tenant, there is nothing to overdraw: under onStoreFailure "local" it
// is served at a rate that is counted in this process, by its share of the limits, and
// what it used is counted once the store is back. Under "deny" it is refused at once.
package limits
