package statestore

import (
	"crypto/sha256"
	"encoding/hex"
)

// Tag names a tenant in a server that it shares: the first 128 bits of the SHA-256 of
// its storage identity, in 32 lower-case hexadecimal digits. It fits where an identity
// doesn't (a role's name, a key pattern, a hash tag), and needs no quoting anywhere.
func Tag(identity string) string {
	sum := sha256.Sum256([]byte(identity))
	return hex.EncodeToString(sum[:16])
}
