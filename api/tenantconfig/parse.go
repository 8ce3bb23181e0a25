package tenantconfig

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// MaxBytes is the largest document that Parse reads: a Secret holds no more.
const MaxBytes = 1 << 20

// Parse reads a document of version 1 to Version. Fields that this build doesn't know
// are passed over, because a document may be written by a newer operator; duplicate
// keys, keys in another case, anything after the document and invalid UTF-8 are
// refused. Parse doesn't Validate.
func Parse(b []byte) (*Config, error) {
	if len(b) > MaxBytes {
		return nil, fmt.Errorf("parsing the tenant document: %d bytes are more than the %d that fit into a Secret", len(b), MaxBytes)
	}
	if !utf8.Valid(b) {
		return nil, errors.New("parsing the tenant document: not valid UTF-8")
	}
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return nil, parseError(err)
	}
	switch {
	case head.Version > Version:
		return nil, fmt.Errorf("parsing the tenant document: version: is %d, this runtime reads 1 to %d; roll out a runtime image of the operator's release", head.Version, Version)
	case head.Version < 1:
		return nil, fmt.Errorf("parsing the tenant document: version: must be 1 to %d", Version)
	}
	if err := checkKeys(b); err != nil {
		return nil, fmt.Errorf("parsing the tenant document: %w", err)
	}
	var c Config
	if err := json.Unmarshal(b, &c); err != nil {
		return nil, parseError(err)
	}
	return &c, nil
}

// parseError puts the field's path first. It never repeats the document's values.
func parseError(err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return fmt.Errorf("parsing the tenant document: %s: can't be a JSON %s", wrong.Field, jsonKind(wrong.Value))
	}
	return fmt.Errorf("parsing the tenant document: %w", err)
}

// jsonKind cuts the value off a description such as "number 1e99".
func jsonKind(v string) string {
	kind, _, _ := strings.Cut(v, " ")
	return kind
}

// Marshal gives the canonical bytes of a document: the same document gives the same
// bytes, whoever writes it.
func Marshal(c *Config) ([]byte, error) {
	b, err := json.Marshal(canonical(c))
	if err != nil {
		return nil, fmt.Errorf("writing the tenant document: %w", err)
	}
	return b, nil
}

// canonical copies c with every time in UTC and whole seconds, so that one moment has
// one spelling.
func canonical(c *Config) *Config {
	out := *c
	out.Auth.Keys = make([]Key, len(c.Auth.Keys))
	for i, k := range c.Auth.Keys {
		digests := make([]Digest, len(k.Digests))
		for j, d := range k.Digests {
			if !d.NotAfter.IsZero() {
				d.NotAfter = d.NotAfter.UTC().Truncate(time.Second)
			}
			digests[j] = d
		}
		k.Digests = digests
		out.Auth.Keys[i] = k
	}
	return &out
}

// DigestOf is "sha256:" and the hexadecimal SHA-256 of the canonical bytes.
func DigestOf(c *Config) string { return digestOf(canonical(c)) }

// RestartDigest is the digest of the part whose change needs a restart. The version is
// not in it: an operator that writes a newer format rolls no pods by that alone. Nor is
// the Cloudflare token, which rotates: it is read again.
func RestartDigest(c *Config) string {
	documents := Documents{Store: c.Documents.Store, Vectorize: c.Documents.Vectorize, Embedding: c.Documents.Embedding}
	cloudflare := c.Cloudflare
	cloudflare.CredentialsRevision, cloudflare.TokenID = "", ""
	return digestOf(struct {
		Tenant     Tenant     `json:"tenant"`
		Server     Server     `json:"server"`
		State      State      `json:"state"`
		Documents  Documents  `json:"documents,omitzero"`
		Cloudflare Cloudflare `json:"cloudflare,omitzero"`
	}{c.Tenant, c.Server, c.State, documents, cloudflare})
}

// NeedsRestart tells whether going from have to want takes a new process; every other
// change is taken up live.
func NeedsRestart(have, want *Config) bool { return RestartDigest(have) != RestartDigest(want) }

// digestOf hashes plain structs of this package. What they can't express as JSON (a
// year beyond 9999) has no digest; Validate refuses it.
func digestOf(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "unwritable: " + err.Error()
	}
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}
