// Package limits says how much: the rate windows of a caller and the token and
// money budgets of a tenant, behind one choke point that every costly route passes.
//
// Promise: Gate.Admit decides before any work is done, in all limits or in none, so
// that a refused request costs no quota; budgets are reserved before the upstream
// is called and settled with what was really used, exactly once, though the client
// went away; parallel requests never overdraw a budget beyond what one call's
// estimate was short of. Retry-After is honest.
//
// While the store is away, a tenant with a budget is refused with 503, at no cost, since
// nothing can be reserved. One without is served under onStoreFailure "local": its rates
// are counted in this process, by its share of the limits, and what it used is counted in
// the store once that is back. Under "deny" nothing is served that can't be counted.
package limits
