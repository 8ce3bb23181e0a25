package tenancy

import (
	"slices"
	"unicode"
	"unicode/utf8"
)

// ScopeSessionsAll is the right of a key to the sessions of every caller of the tenant.
const ScopeSessionsAll = "sessions:all"

// ScopeDocumentsRead keeps a key from changing documents: it may read and search them.
const ScopeDocumentsRead = "documents:read"

// Caller is who asks, as far as the runtime could prove it. It owns sessions and
// has rate-limit windows of its own.
type Caller struct {
	// Key is the name of the API key, empty for tenants without authentication.
	Key string
	// User is the end user that a key with trustUserHeader vouches for.
	User string
	// Address is the client's address, set when there is no Key. An IPv6 client is
	// known by its /64, because it may choose any address in it.
	Address string
	// Scopes of the key.
	Scopes []string
	// NamesUser tells that the key may vouch for a user, see WithUser.
	NamesUser bool
}

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

// WithUser gives the caller with the user id of the request's body, if its key may
// vouch for one and no header named one already; else c as it is. A malformed id of a
// key that may vouch gives ErrUserInvalid.
func (c Caller) WithUser(user string) (Caller, error) {
	if user == "" || !c.NamesUser || c.User != "" {
		return c, nil
	}
	if !isUser(user) {
		return c, ErrUserInvalid
	}
	c.User = user
	return c, nil
}

// maxUser is the longest user id in characters.
const maxUser = 128

func isUser(s string) bool {
	if len(s) > maxUser*utf8.UTFMax || !utf8.ValidString(s) || utf8.RuneCountInString(s) > maxUser {
		return false
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}
