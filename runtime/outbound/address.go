package outbound

import (
	"net/netip"
	"strings"
)

func prefixes(list string) []netip.Prefix {
	var all []netip.Prefix
	for p := range strings.FieldsSeq(list) {
		all = append(all, netip.MustParsePrefix(p))
	}
	return all
}

var (
	// never are what is not of the public internet (IANA's special-purpose registries)
	// or answers with a machine's credentials: metadata services are at link-local
	// addresses, and at these single ones of Azure, Alibaba, AWS and Google.
	never = prefixes(`0.0.0.0/8 127.0.0.0/8 169.254.0.0/16 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 198.18.0.0/15
		198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 168.63.129.16/32 100.100.100.200/32
		2001::/23 2001:db8::/32 2002::/16 3fff::/20 fd00:ec2::/32 fd20:ce::254/128`)
	loopback = prefixes(`127.0.0.0/8 ::1/128`)
	private  = prefixes(`10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 100.64.0.0/10 fc00::/7`)
	public6  = netip.MustParsePrefix("2000::/3")
	nat64    = netip.MustParsePrefix("64:ff9b::/96")
)

func within(a netip.Addr, list []netip.Prefix) bool {
	for _, p := range list {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// reachable judges one address. An IPv6 address that carries an IPv4 one is judged by
// what it carries, where a network may take it there: mapped, NAT64 and ISATAP. All other
// carriers (6to4, Teredo, compatible, NAT64 of a local prefix) are in never, or not public.
func reachable(a netip.Addr, allowPrivate, allowLoopback bool) bool {
	if !a.IsValid() || a.Zone() != "" {
		return false
	}
	a = a.Unmap()
	switch {
	case allowLoopback && within(a, loopback):
		return true
	case within(a, never):
		return false
	case within(a, private):
		return allowPrivate
	case a.Is4():
		return true
	}
	b := a.As16()
	carried := netip.AddrFrom4([4]byte(b[12:]))
	if nat64.Contains(a) {
		return reachable(carried, allowPrivate, false)
	}
	if b[8]&^0x03 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe && !reachable(carried, allowPrivate, false) {
		return false
	}
	return public6.Contains(a)
}

// isAddress tells an address from a name, both canonical.
func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}
