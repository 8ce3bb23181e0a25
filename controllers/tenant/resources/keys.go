package resources

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
)

// maxPastDigests bounds what a key keeps of its past, so that no rhythm of rotation
// outgrows a Secret. Of more, those that end soonest go.
const maxPastDigests = 16

// auth gives every key the digest of its value, then those that it had in the previous
// document and whose grace period isn't over. Generated and referenced keys rotate by
// this one mechanism.
func auth(in Inputs) tenantconfig.Auth {
	if len(in.Effective.Keys) == 0 {
		return tenantconfig.Auth{Mode: tenantconfig.AuthNone}
	}
	out := tenantconfig.Auth{Mode: tenantconfig.AuthAPIKey}
	taken := map[string]bool{}
	for _, k := range in.Effective.Keys {
		key := tenantconfig.Key{Name: k.Name, TrustUserHeader: k.TrustUserHeader}
		for _, s := range k.Scopes {
			if !slices.Contains(key.Scopes, string(s)) {
				key.Scopes = append(key.Scopes, string(s))
			}
		}
		if value, ok := in.Keys[k.Name]; ok {
			digest := Digest(value)
			key.Digests = []tenantconfig.Digest{{SHA256: digest}}
			taken[digest] = true
		}
		out.Keys = append(out.Keys, key)
	}
	// Past digests come after all current ones: a value that another key has now opens
	// the tenant as that key.
	for i, k := range in.Effective.Keys {
		for _, d := range past(in, k) {
			if !taken[d.SHA256] {
				taken[d.SHA256] = true
				out.Keys[i].Digests = append(out.Keys[i].Digests, d)
			}
		}
	}
	return out
}

// past are the digests of k that still work, the longest-lived first. A grace period that
// is lowered cuts what already runs: that is how a leaked value is ended.
func past(in Inputs, k v1alpha1.APIKey) []tenantconfig.Digest {
	if in.Previous == nil {
		return nil
	}
	var out []tenantconfig.Digest
	for _, had := range in.Previous.Auth.Keys {
		if had.Name != k.Name {
			continue
		}
		for _, d := range had.Digests {
			if len(in.Keys) > 0 && d.SHA256 == Digest(in.Keys[k.Name]) {
				continue
			}
			last := in.Now.Add(k.GracePeriod.Duration).UTC().Truncate(time.Second)
			if d.NotAfter.IsZero() || d.NotAfter.After(last) {
				d.NotAfter = last
			}
			if d.NotAfter.After(in.Now) {
				out = append(out, d)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b tenantconfig.Digest) int {
		return cmp.Or(b.NotAfter.Compare(a.NotAfter), cmp.Compare(a.SHA256, b.SHA256))
	})
	return out[:min(len(out), maxPastDigests)]
}

// Digest of a key's value as the document holds it.
func Digest(value string) string {
	sum := sha256.Sum256([]byte(value))
	return hex.EncodeToString(sum[:])
}

// NextChange is when the document changes by time alone: the end of the first grace
// period, or the first rotation of a generated key. The zero time means never.
func NextChange(in Inputs, c *tenantconfig.Config) time.Time {
	var next time.Time
	sooner := func(t time.Time) {
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	for _, k := range c.Auth.Keys {
		for _, d := range k.Digests {
			if !d.NotAfter.IsZero() {
				sooner(d.NotAfter)
			}
		}
	}
	for _, k := range in.Effective.Keys {
		if g, ok := in.Generated[k.Name]; ok && k.SecretRef == nil && k.RotateAfter != nil {
			sooner(g.CreatedAt.Add(k.RotateAfter.Duration))
		}
	}
	return next
}

// NeedsValue tells whether a generated key is to get a new value: it has none, its
// revision was raised, or it is old.
func NeedsValue(k v1alpha1.APIKey, have GeneratedKey, now time.Time) bool {
	switch {
	case k.SecretRef != nil:
		return false
	case have.Value == "", k.Revision > have.Revision:
		return true
	}
	return k.RotateAfter != nil && !now.Before(have.CreatedAt.Add(k.RotateAfter.Duration))
}
