package tenantconfig

import (
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
)

var (
	label   = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
	visible = regexp.MustCompile(`^[!-~]+$`)
	scope   = regexp.MustCompile(`^[a-z0-9]([-a-zA-Z0-9_.:]*([a-zA-Z0-9]|[.][*]))?$`)
	sha     = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

func isLabel(s string, max int) bool { return len(s) <= max && label.MatchString(s) }

func validateTenant(r *report, t Tenant) {
	r.require(isLabel(t.ID, 40), "tenant.id", "must be a DNS label of at most 40 characters")
	parts := strings.Split(t.Identity, "/")
	whole := len(parts) == 4 && len(t.Identity) <= 512 && visible.MatchString(t.Identity)
	for _, p := range parts {
		whole = whole && p != ""
	}
	r.require(whole, "tenant.identity", "must be <ownerID>/<namespace>/<environment>/<tenantID>, at most 512 visible ASCII characters")
	if whole {
		r.require(parts[2] == t.Environment, "tenant.identity", "names another environment than tenant.environment")
		r.require(parts[3] == t.ID, "tenant.identity", "names another tenant than tenant.id")
	}
	r.oneOf(t.Environment, "tenant.environment", "development", "staging", "production")
}

func validateServer(r *report, s Server) {
	r.within(s.APIPort, 1, 65535, "server.apiPort")
	r.within(s.MetricsPort, 1, 65535, "server.metricsPort")
	r.require(s.APIPort != s.MetricsPort, "server.metricsPort", "must differ from server.apiPort: metrics are not for tenants")
	r.within(s.DrainSeconds, 0, 3600, "server.drainSeconds")
}

func validateHosts(r *report, hosts []string) {
	for i, h := range hosts {
		r.require(isHost(h), at("hosts", i), "must be a host name in canonical form: lower case, punycode, no port, no trailing dot")
	}
	r.unique(hosts, "hosts")
}

// isHost accepts DNS names; an IP address passes only in its one canonical form.
func isHost(h string) bool {
	if addr, err := netip.ParseAddr(h); err == nil {
		return addr.String() == h
	}
	if len(h) > 253 {
		return false
	}
	for l := range strings.SplitSeq(h, ".") {
		if !isLabel(l, 63) {
			return false
		}
	}
	return true
}

func validateAuth(r *report, a Auth) {
	r.oneOf(a.Mode, "auth.mode", AuthAPIKey, AuthNone)
	if a.Mode == AuthAPIKey {
		r.require(len(a.Keys) > 0, "auth.keys", "must hold a key: nobody could call this tenant")
	}
	names := make([]string, len(a.Keys))
	seen := map[string]string{}
	empty := sha256.Sum256(nil)
	for i, k := range a.Keys {
		at := at("auth.keys", i)
		names[i] = k.Name
		r.require(isLabel(k.Name, 63), at+".name", "must be a DNS label of at most 63 characters")
		r.require(len(k.Digests) > 0, at+".digests", "must hold a digest: nothing could match this key")
		for j, d := range k.Digests {
			validateDigest(r, d, atDigest(at, j), seen, hex.EncodeToString(empty[:]))
		}
		for j, s := range k.Scopes {
			r.require(len(s) <= 63 && scope.MatchString(s), atScope(at, j), "must be a scope such as sessions:all")
		}
		r.unique(k.Scopes, at+".scopes")
	}
	for i, n := range names {
		for j := range i {
			r.require(names[j] != n, at("auth.keys", i)+".name", "is the name of %s too", at("auth.keys", j))
		}
	}
}

func atDigest(key string, j int) string { return at(key+".digests", j) }
func atScope(key string, j int) string  { return at(key+".scopes", j) }

// validateDigest keeps one value from opening the tenant as two callers.
func validateDigest(r *report, d Digest, at string, seen map[string]string, empty string) {
	r.require(sha.MatchString(d.SHA256), at+".sha256", "must be 64 lower-case hexadecimal digits")
	r.require(d.SHA256 != empty, at+".sha256", "is the digest of an empty key")
	if other, ok := seen[d.SHA256]; ok {
		r.require(false, at+".sha256", "is the same as %s.sha256", other)
	} else {
		seen[d.SHA256] = at
	}
	r.require(d.NotAfter.IsZero() || d.NotAfter.Year() >= 2000 && d.NotAfter.Year() <= 9999, at+".notAfter", "must be in the years 2000 to 9999")
}

func validateOrigins(r *report, origins []string) {
	for i, o := range origins {
		r.require(isOrigin(o), at("cors.origins", i), "must be an origin such as https://app.example, or have one leading wildcard label: https://*.example; no path, lower case")
	}
	r.unique(origins, "cors.origins")
}

func isOrigin(o string) bool {
	scheme, rest, ok := strings.Cut(o, "://")
	if !ok || scheme != "https" && scheme != "http" {
		return false
	}
	rest = strings.TrimPrefix(rest, "*.")
	u, err := url.Parse(scheme + "://" + rest)
	if err != nil || u.Host != rest {
		return false
	}
	if host, port, err := net.SplitHostPort(rest); err == nil {
		return port != "" && isHost(host)
	}
	return isHost(strings.Trim(rest, "[]"))
}

func validateProxies(r *report, proxies []string) {
	for i, p := range proxies {
		prefix, err := netip.ParsePrefix(p)
		if err != nil || prefix.Masked() != prefix {
			r.require(false, at("trustedProxies", i), "must be a CIDR without host bits, such as 10.0.0.0/8")
			continue
		}
		r.require(prefix.Bits() > 0, at("trustedProxies", i), "would trust everybody: any client could choose the address it is limited by")
	}
	r.unique(proxies, "trustedProxies")
}
