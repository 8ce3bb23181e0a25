package cloudflare

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"strings"
)

// Identity says whose a thing is and what for.
type Identity struct {
	// OwnerID tells operators that share an account apart; it must not be empty.
	OwnerID string
	// Environment, Namespace, Tenant and Role are for people who read the account's
	// lists; empty ones are left out.
	Environment, Namespace, Tenant, Role string
	// UID of the Kubernetes object: one that is made anew under the same name doesn't
	// inherit what its predecessor left.
	UID string
	// Generation and Nonce tell apart what is made for one object one after the other; 0
	// and "" are left out.
	Generation int64
	Nonce      string
}

const (
	markDigits   = 10
	digestDigits = 8
	// nonceLength is the longest nonce that a name carries as it is.
	nonceLength = 16
)

// nameLimits are the lengths that Cloudflare allows; of D1 none is documented.
var nameLimits = map[Kind]int{KV: 512, D1: 64, R2: 63, Vectorize: 64, AIGateway: 64, APIToken: 120}

// Name is the name of a thing in its account:
//
//	ce-<owner's mark>-<environment>-<namespace>-<tenant>-<role>-<digest>[-g<generation>][-n<nonce>]
//
// of lower-case letters, digits and single hyphens, which every kind takes. The digest is
// of all parts with the UID, so that names that read the same are still two. What is
// longer than the kind allows loses its readable end and has a digest twice as long.
func Name(id Identity, kind Kind) string {
	sum := digest(id.OwnerID, id.Environment, id.Namespace, id.Tenant, id.Role, id.UID)
	tail := ""
	if id.Generation != 0 {
		tail += "-g" + strconv.FormatInt(id.Generation, 10)
	}
	if id.Nonce != "" {
		nonce := plain(id.Nonce)
		if nonce != id.Nonce || len(nonce) > nonceLength {
			nonce = digest(id.Nonce)[:nonceLength]
		}
		tail += "-n" + nonce
	}
	readable := plain(strings.Join([]string{id.Environment, id.Namespace, id.Tenant, id.Role}, "-"))
	name := strings.TrimSuffix(Mark(id.OwnerID)+readable, "-")
	if end := "-" + sum[:digestDigits] + tail; len(name)+len(end) <= nameLimits[kind] {
		return name + end
	}
	end := "-" + sum[:2*digestDigits] + tail
	return strings.TrimRight(name[:min(len(name), nameLimits[kind]-len(end))], "-") + end
}

// Mark is what every name begins with that Name makes for the owner.
func Mark(ownerID string) string { return "ce-" + digest(ownerID)[:markDigits] + "-" }

// OwnedBy tells whether the name carries the owner's mark. Nothing is owned by nobody.
func OwnedBy(name, ownerID string) bool {
	return ownerID != "" && strings.HasPrefix(name, Mark(ownerID))
}

// digest is injective over its parts, as far as SHA-256 is.
func digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		if len(parts) > 1 {
			h.Write(binary.AppendUvarint(nil, uint64(len(p))))
		}
		h.Write([]byte(p))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// plain is the text in lower-case letters, digits and single hyphens, none at the ends.
func plain(s string) string {
	words := strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	return strings.Join(words, "-")
}
