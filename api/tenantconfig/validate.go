package tenantconfig

import (
	"fmt"
	"slices"
	"strings"
)

// Violation is one broken rule.
type Violation struct {
	// Path of the field in the document, for example "auth.keys[0].name".
	Path string
	// Message says what would be right. It never repeats a value that could be secret.
	Message string
}

func (v Violation) String() string { return v.Path + ": " + v.Message }

// Violations are all broken rules of one document. As an error it lists them all; an
// empty list is no error: compare its length before returning it as one.
type Violations []Violation

func (v Violations) Error() string {
	lines := make([]string, len(v))
	for i := range v {
		lines[i] = v[i].String()
	}
	return strings.Join(lines, "; ")
}

// Validate checks every rule and gives all that are broken, in the document's order;
// none if the document may be served.
func Validate(c *Config) Violations {
	var r report
	r.require(c.Version >= 1 && c.Version <= Version, "version", "must be 1 to %d", Version)
	validateTenant(&r, c.Tenant)
	validateServer(&r, c.Server)
	validateState(&r, c.State)
	validateHosts(&r, c.Hosts)
	validateAuth(&r, c.Auth)
	validateOrigins(&r, c.CORS.Origins)
	validateProxies(&r, c.TrustedProxies)
	validateUpstream(&r, c.Upstream)
	validateModels(&r, c.Models, c.Upstream.Type)
	validatePrompt(&r, c.Prompt)
	validateLimits(&r, c.Limits)
	validateBudget(&r, c.Budget)
	r.within(c.Sessions.RetentionDays, 1, 3650, "sessions.retentionDays")
	r.within(c.Sessions.MaxMessages, 1, 100_000, "sessions.maxMessages")
	validateDocuments(&r, c)
	validateCloudflare(&r, c.Cloudflare)
	validateTools(&r, c.Tools)
	validateSpeech(&r, c.Speech, c.Upstream.Type)
	return r.broken
}

// report collects broken rules.
type report struct{ broken Violations }

// require notes a violation unless ok.
func (r *report) require(ok bool, path, format string, args ...any) {
	if !ok {
		r.broken = append(r.broken, Violation{path, fmt.Sprintf(format, args...)})
	}
}

func (r *report) within(n, low, high int, path string) {
	r.require(n >= low && n <= high, path, "must be %d to %d, not %d", low, high, n)
}

func (r *report) oneOf(value, path string, allowed ...string) {
	r.require(slices.Contains(allowed, value), path, "must be one of %s", strings.Join(allowed, ", "))
}

// unique notes every value that an earlier element of the list has already.
func (r *report) unique(values []string, path string) {
	for i, v := range values {
		first := slices.Index(values, v)
		r.require(first == i, at(path, i), "is the same as %s", at(path, first))
	}
}

func at(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }
