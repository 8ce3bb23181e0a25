package tenancy

import (
	"net/http"
	"net/netip"
	"strings"
)

// maxHops bounds how much of X-Forwarded-For is read: no chain of proxies is longer.
const maxHops = 32

// clientAddress is whom the caller is limited by when there is no key: the peer,
// unless it is a trusted proxy; then the right-most address of X-Forwarded-For that no
// trusted proxy has. Everything left of that one may have been made up by the client.
func (t *Tenant) clientAddress(r *http.Request) string {
	addr, ok := parseAddr(r.RemoteAddr)
	if !ok {
		return "unknown"
	}
	lines := r.Header["X-Forwarded-For"]
	hops := 0
	for i := len(lines) - 1; i >= 0; i-- {
		rest := lines[i]
		for more := true; more; hops++ {
			if hops == maxHops || !t.trusts(addr) {
				return bucket(addr)
			}
			var hop string
			if cut := strings.LastIndexByte(rest, ','); cut >= 0 {
				rest, hop = rest[:cut], rest[cut+1:]
			} else {
				hop, more = rest, false
			}
			next, ok := parseAddr(strings.TrimSpace(hop))
			if !ok {
				return bucket(addr)
			}
			addr = next
		}
	}
	return bucket(addr)
}

func (t *Tenant) trusts(addr netip.Addr) bool {
	for _, p := range t.proxies {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// parseAddr reads an address with or without a port. An IPv4 address in IPv6 dress is
// the IPv4 address.
func parseAddr(s string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(strings.Trim(s, "[]"))
	if err != nil {
		ap, err := netip.ParseAddrPort(s)
		if err != nil {
			return netip.Addr{}, false
		}
		addr = ap.Addr()
	}
	return addr.Unmap().WithZone(""), true
}

// bucket spells an address as a caller: an IPv6 client owns its whole /64.
func bucket(addr netip.Addr) string {
	if addr.Is4() {
		return addr.String()
	}
	prefix, err := addr.Prefix(64)
	if err != nil {
		return addr.String()
	}
	return prefix.String()
}
