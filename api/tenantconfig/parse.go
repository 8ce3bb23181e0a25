package tenantconfig

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// Parse reads a document strictly. It does not Validate.
func Parse(b []byte) (*Config, error) {
	var c Config
	if err := json.Unmarshal(b, &c); err != nil {
		return nil, fmt.Errorf("parsing the tenant document: %w", err)
	}
	return &c, nil
}

// Marshal gives the canonical bytes of a document: the same document, the same bytes.
func Marshal(c *Config) ([]byte, error) { return json.Marshal(c) }

// DigestOf is "sha256:" and the hexadecimal SHA-256 of the canonical bytes.
func DigestOf(c *Config) string { return digestOf(c) }

// RestartDigest is the digest of the part whose change needs a restart.
func RestartDigest(c *Config) string {
	return digestOf(struct {
		Tenant Tenant `json:"tenant"`
		Server Server `json:"server"`
		State  State  `json:"state"`
	}{c.Tenant, c.Server, c.State})
}

// NeedsRestart tells whether going from have to want takes a new process; every
// other change is taken up live.
func NeedsRestart(have, want *Config) bool { return RestartDigest(have) != RestartDigest(want) }

func digestOf(v any) string {
	b, _ := json.Marshal(v)
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}
