// Package limits says how much: the rate windows of a caller and the token and
// money budgets of a tenant, behind one choke point that every costly route passes.
//
// Promise: Gate.Admit decides before any work is done, in all limits or in none, so
// that a refused request costs no quota; budgets are reserved before the upstream
// is called and settled with what was really used, exactly once, though the client
// went away; parallel requests never overdraw a budget beyond what one call's
// estimate was short of. Retry-After is honest.
//
// While the store is away no budget can be reserved, so requests are refused with 503,
// at no cost. Until then rates are counted in this process, by its share of the limits, or
// refused at once, as the tenant's document says.
package limits
