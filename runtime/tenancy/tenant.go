package tenancy

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"strings"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
)

// Tenant is a snapshot of one tenant's document and of the secrets beside it; it never
// changes. Load and NewTenant alone make one.
type Tenant struct {
	ID ID
	// Config is shared: read only.
	Config *tenantconfig.Config
	// Digest of Config, as tenantconfig.DigestOf gives it.
	Digest string

	dir string
	// systemPrompt is rendered once, so that a request renders none.
	systemPrompt string

	digests []keyDigest
	proxies []netip.Prefix
	secrets *secrets
}

// secrets is held by pointer, so that no formatting of a Tenant prints what is inside.
type secrets struct{ byName map[string]string }

// keyDigest is one value that opens the tenant.
type keyDigest struct {
	sum [sha256.Size]byte
	// notAfter in Unix nanoseconds; math.MaxInt64 is never.
	notAfter int64
	key      *tenantconfig.Key
}

// NewTenant makes a tenant of a document and the files beside it, by name. A document
// that breaks rules gives tenantconfig.Violations (errors.As).
func NewTenant(c *tenantconfig.Config, files map[string]string) (*Tenant, error) {
	if v := tenantconfig.Validate(c); len(v) > 0 {
		return nil, fmt.Errorf("checking the tenant document: %w", v)
	}
	id, err := NewID(c.Tenant.ID, c.Tenant.Identity)
	if err != nil {
		return nil, fmt.Errorf("checking the tenant document: %w", err)
	}
	t := &Tenant{ID: id, Config: c, Digest: tenantconfig.DigestOf(c), secrets: &secrets{map[string]string{}}}
	t.systemPrompt = render(c.Prompt.System, c.Prompt.Variables)
	for name, content := range files {
		t.secrets.byName[name] = strings.TrimSpace(content)
	}
	if name := c.Upstream.CredentialsFile; name != "" && t.secrets.byName[name] == "" {
		return nil, fmt.Errorf("checking the tenant document: upstream.credentialsFile: there is no file %q beside the document, or it is empty", name)
	}
	if err := t.index(); err != nil {
		return nil, fmt.Errorf("checking the tenant document: %w", err)
	}
	return t, nil
}

// index prepares what Identify looks up on every request.
func (t *Tenant) index() error {
	for i := range t.Config.Auth.Keys {
		key := &t.Config.Auth.Keys[i]
		for _, d := range key.Digests {
			entry := keyDigest{notAfter: math.MaxInt64, key: key}
			if _, err := hex.Decode(entry.sum[:], []byte(d.SHA256)); err != nil {
				return fmt.Errorf("auth.keys[%d]: %w", i, err)
			}
			if !d.NotAfter.IsZero() {
				entry.notAfter = clampNano(d.NotAfter.Unix())
			}
			t.digests = append(t.digests, entry)
		}
	}
	for _, p := range t.Config.TrustedProxies {
		prefix, err := netip.ParsePrefix(p)
		if err != nil {
			return fmt.Errorf("trustedProxies: %w", err)
		}
		t.proxies = append(t.proxies, prefix)
	}
	return nil
}

// clampNano turns seconds into nanoseconds; what doesn't fit (after the year 2262) is
// as good as never.
func clampNano(sec int64) int64 {
	if sec > math.MaxInt64/int64(time.Second) {
		return math.MaxInt64
	}
	return sec * int64(time.Second)
}

// Secret gives the content of a file beside the document that the document or the
// mount's contract names, without surrounding white space. It is never empty.
func (t *Tenant) Secret(name string) (string, error) {
	if s := t.secrets.byName[name]; s != "" {
		return s, nil
	}
	return "", fmt.Errorf("reading secret %q of tenant %s: %w", name, t.ID, ErrNoSecret)
}

// ErrNoSecret: there is no such file beside the document, or it is empty.
var ErrNoSecret = errors.New("no such file beside the tenant document, or it is empty")

// LogValue keeps the document out of logs: it holds prompts.
func (t *Tenant) LogValue() slog.Value { return slog.StringValue(t.ID.String()) }

// sameAs tells whether serving from either makes no difference.
func (t *Tenant) sameAs(other *Tenant) bool {
	if t.Digest != other.Digest || len(t.secrets.byName) != len(other.secrets.byName) {
		return false
	}
	for name, s := range t.secrets.byName {
		if o, ok := other.secrets.byName[name]; !ok || o != s {
			return false
		}
	}
	return true
}
