package tenancy

import (
	"net/netip"
	"strings"

	"golang.org/x/net/idna"
)

// CanonicalHost gives the one spelling of the host of a Host header or authority:
// lower case, punycode, no port, no trailing dot. It is empty for what is no host.
func CanonicalHost(authority string) string {
	host := withoutPort(authority)
	if strings.HasPrefix(host, "[") {
		addr, err := netip.ParseAddr(strings.TrimSuffix(host[1:], "]"))
		if err != nil || addr.Zone() != "" {
			return ""
		}
		return addr.String()
	}
	host = strings.TrimSuffix(host, ".")
	if len(host) == 0 || len(host) > 1024 {
		return ""
	}
	if isPlainHost(host) {
		return host
	}
	// Lookup maps case and width as browsers do, and refuses what is no name.
	ascii, err := idna.Lookup.ToASCII(host)
	if err != nil || !isPlainHost(ascii) {
		return ""
	}
	return ascii
}

// withoutPort cuts a port off, if what follows the colon may be one.
func withoutPort(authority string) string {
	i := strings.LastIndexByte(authority, ':')
	if i < 0 {
		return authority
	}
	for _, c := range []byte(authority[i+1:]) {
		if c < '0' || c > '9' {
			return authority
		}
	}
	return authority[:i]
}

// isPlainHost tells that host is canonical already, which is the hot path.
func isPlainHost(host string) bool {
	if len(host) > 253 {
		return false
	}
	last := byte('.')
	for i := range len(host) {
		c := host[i]
		switch {
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9':
		case c == '-':
			if last == '.' {
				return false
			}
		case c == '.':
			if last == '.' || last == '-' {
				return false
			}
		default:
			return false
		}
		last = c
	}
	return last != '.' && last != '-'
}
