package storage

import (
	"strconv"
	"strings"

	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// Key names a value of tenant t in a store that has one flat space of names. Every
// part carries its length in bytes, so no choice of parts spells the key of other
// parts or of another tenant, and no key is a prefix of another. The tenant comes
// first: TenantPrefix(t) is a prefix of t's keys and of no one else's.
//
// It panics without a tenant, since such a key would be everybody's.
func Key(t tenancy.ID, parts ...string) string {
	size := len(t.Identity()) + 8
	for _, p := range parts {
		size += len(p) + 8
	}
	var b strings.Builder
	b.Grow(size)
	b.WriteString(TenantPrefix(t))
	b.WriteString(strconv.Itoa(len(parts)))
	b.WriteByte(';')
	for _, p := range parts {
		writePart(&b, p)
	}
	return b.String()
}

// TenantPrefix is what all keys of t start with and no other tenant's does. It
// panics without a tenant.
func TenantPrefix(t tenancy.ID) string {
	if t.IsZero() {
		panic("storage: a key needs a tenant")
	}
	var b strings.Builder
	writePart(&b, t.Identity())
	return b.String()
}

func writePart(b *strings.Builder, p string) {
	b.WriteString(strconv.Itoa(len(p)))
	b.WriteByte(':')
	b.WriteString(p)
}
