package tenancy

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
)

// What Identify and Locate refuse with. Their texts are for clients.
var (
	ErrTenantRequired = errors.New("no tenant is named: send an API key as Authorization: Bearer KEY, or the header x-tenant-id")
	ErrTenantUnknown  = errors.New("there is no such tenant here: check the header x-tenant-id")
	ErrTenantMismatch = errors.New("the request names more than one tenant: send one x-tenant-id, and a host of the same tenant")
	ErrUnauthorized   = errors.New("send a valid API key of this tenant as Authorization: Bearer KEY or x-api-key: KEY")
	ErrUserInvalid    = errors.New("the user id must be 1 to 128 printable characters, sent once")
)

// maxKey is the longest key that is looked at, in bytes.
const maxKey = 512

// Identify resolves a request's tenant by x-tenant-id, then host, then key, and
// authenticates its caller. What is wrong with a key is not told: a missing, unknown
// or expired one and one of another tenant give the same ErrUnauthorized, after the
// same comparisons.
func (d *Directory) Identify(r *http.Request) (*Tenant, Caller, error) {
	table := d.table.Load()
	t, err := table.named(r)
	if err != nil {
		return nil, Caller{}, err
	}
	if t != nil && t.Config.Auth.Mode == tenantconfig.AuthNone {
		return t, Caller{Address: t.clientAddress(r)}, nil
	}
	value, sent := presentedKey(r.Header)
	var key *tenantconfig.Key
	switch {
	case t == nil && (!sent || !table.keys):
		// Behind a gateway that authenticates, a key is the gateway's business.
		return nil, Caller{}, ErrTenantRequired
	case value == "":
		return nil, Caller{}, ErrUnauthorized
	case t == nil:
		t, key = table.keyed(value)
	default:
		key = t.match(digest(value), time.Now().UnixNano())
	}
	if key == nil {
		return nil, Caller{}, ErrUnauthorized
	}
	caller := Caller{Key: key.Name, Scopes: key.Scopes, NamesUser: key.TrustUserHeader}
	if users := r.Header["X-User-Id"]; caller.NamesUser && len(users) > 0 {
		if len(users) > 1 || users[0] == "" || !isUser(users[0]) {
			return nil, Caller{}, ErrUserInvalid
		}
		caller.User = users[0]
	}
	return t, caller, nil
}

// Locate resolves the tenant alone, for what needs no key: by x-tenant-id, host, or
// because this process serves only one.
func (d *Directory) Locate(r *http.Request) (*Tenant, error) {
	table := d.table.Load()
	t, err := table.named(r)
	if err != nil {
		return nil, err
	}
	if t == nil && len(table.tenants) == 1 {
		t = table.tenants[0]
	}
	if t == nil {
		return nil, ErrTenantRequired
	}
	return t, nil
}

// named resolves by x-tenant-id and host, nil if the request names none. Forwarded
// hosts are not looked at: whoever sends the request could have written them.
func (ix *table) named(r *http.Request) (*Tenant, error) {
	byHost := ix.byHost[CanonicalHost(r.Host)]
	ids := r.Header["X-Tenant-Id"]
	switch {
	case len(ids) > 1:
		return nil, ErrTenantMismatch
	case len(ids) == 0 || ids[0] == "":
		return byHost, nil
	}
	byID := ix.byID[ids[0]]
	if byID == nil {
		return nil, ErrTenantUnknown
	}
	if byHost != nil && byHost != byID {
		return nil, ErrTenantMismatch
	}
	return byID, nil
}

// keyed finds the one tenant that the key opens. A value that opens two names neither.
func (ix *table) keyed(value string) (*Tenant, *tenantconfig.Key) {
	sum, now := digest(value), time.Now().UnixNano()
	var (
		tenant  *Tenant
		key     *tenantconfig.Key
		matches int
	)
	for _, t := range ix.tenants {
		if t.Config.Auth.Mode == tenantconfig.AuthNone {
			continue
		}
		if k := t.match(sum, now); k != nil {
			tenant, key = t, k
			matches++
		}
	}
	if matches != 1 {
		return nil, nil
	}
	return tenant, key
}

// match compares sum with every digest of every key, in a time that tells neither
// whether nor where one matched, nor that it did but is over.
func (t *Tenant) match(sum [sha256.Size]byte, now int64) *tenantconfig.Key {
	found := 0
	for i := range t.digests {
		d := &t.digests[i]
		equal := subtle.ConstantTimeCompare(d.sum[:], sum[:])
		// The sign bit of now-notAfter-1 is set while now <= notAfter.
		live := int(uint64(now-d.notAfter-1) >> 63)
		found = subtle.ConstantTimeSelect(equal&live, i+1, found)
	}
	if found == 0 {
		return nil
	}
	return t.digests[found-1].key
}

// digest hashes without moving the key to the heap.
func digest(value string) [sha256.Size]byte {
	var buf [maxKey]byte
	return sha256.Sum256(buf[:copy(buf[:], value)])
}

// presentedKey gives the key that the request presents, and whether it presents any.
// One that is sent twice, or differently in two headers, is presented but empty: a
// proxy in front may have looked at the other one.
func presentedKey(h http.Header) (value string, sent bool) {
	bearer, fromBearer := single(h["Authorization"])
	if fromBearer {
		scheme, rest, _ := strings.Cut(bearer, " ")
		if bearer != "" && !strings.EqualFold(scheme, "bearer") {
			fromBearer = false
		}
		bearer = strings.TrimLeft(rest, " ")
	}
	plain, fromPlain := single(h["X-Api-Key"])
	switch {
	case fromBearer && fromPlain && bearer != plain:
		return "", true
	case fromBearer:
		value = bearer
	default:
		value = plain
	}
	if len(value) > maxKey {
		value = ""
	}
	return value, fromBearer || fromPlain
}

// single gives the value of a header that may be sent once: empty if it came twice.
func single(values []string) (string, bool) {
	if len(values) == 1 {
		return values[0], true
	}
	return "", len(values) > 1
}
