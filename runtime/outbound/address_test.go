package outbound_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/crispy-enigma/crispy-enigma/runtime/outbound"
)

func TestReachable(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		addrs           string
		public, private bool
	}{
		{"8.8.8.8 1.1.1.1 2606:4700::1111 2a00:1450::5 ::ffff:8.8.8.8 64:ff9b::808:808 100.128.0.1 172.32.0.1 9.255.255.255", true, true},
		{"10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 100.64.0.1 fd12::1 fc00::1 ::ffff:10.0.0.1 64:ff9b::a00:1", false, true},
		{"127.0.0.1 127.255.255.255 ::1 0.0.0.0 0.1.2.3 :: 169.254.169.254 169.254.0.1 fe80::1 fe80::1%eth0 224.0.0.1 ff02::1 255.255.255.255 240.0.0.1", false, false},
		{"192.0.0.192 100.100.100.200 168.63.129.16 fd00:ec2::254 fd20:ce::254 ::ffff:169.254.169.254 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b:1::7f00:1", false, false},
		{"::127.0.0.1 ::8.8.8.8 2002:7f00:1:: 2002:808:808:: 2001:0:7f00:1:: 2001:db8::1 3fff::1 198.18.0.1 203.0.113.9 fec0::1 2a00::5efe:7f00:1 2a00::200:5efe:7f00:1", false, false},
	} {
		for text := range strings.FieldsSeq(c.addrs) {
			a := netip.MustParseAddr(text)
			if got := outbound.Reachable(a, false, false); got != c.public {
				t.Errorf("%s: reachable %v; want %v", a, got, c.public)
			}
			if got := outbound.Reachable(a, true, false); got != c.private {
				t.Errorf("%s with private addresses: reachable %v; want %v", a, got, c.private)
			}
		}
	}
}

// forbidden judges as net.IP does, independently of the lists: whatever carries an IPv4
// address in its last or second part counts as that address.
func forbidden(a netip.Addr) bool {
	bad := func(ip net.IP) bool {
		return ip.IsLoopback() || ip.IsUnspecified() || ip.IsPrivate() || ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.Equal(net.IPv4bcast)
	}
	ip := net.IP(a.AsSlice())
	if bad(ip) {
		return true
	}
	if a.Is4() || a.Is4In6() {
		return false
	}
	b := a.As16()
	switch {
	case b[0] == 0x20 && b[1] == 0x02:
		return bad(net.IP(b[2:6]))
	case strings.HasPrefix(a.StringExpanded(), "0064:ff9b:0000:0000:0000:0000") || strings.HasPrefix(a.StringExpanded(), "0000:"):
		return bad(net.IP(b[12:]))
	}
	return false
}

// spellings draws hosts and what their names lead to.
type spellings struct {
	*rand.Rand
	resolved map[string]string
}

func (s *spellings) addr() netip.Addr {
	v4 := [][4]byte{{127, 0, 0, 1}, {10, 1, 2, 3}, {169, 254, 169, 254}, {192, 168, 0, 1}, {0, 0, 0, 0}, {8, 8, 8, 8}, {224, 0, 0, 1}, {172, 20, 0, 1}}[s.IntN(8)]
	if s.IntN(4) == 0 {
		v4[3] = byte(s.Uint32())
	}
	var b [16]byte
	switch s.IntN(8) {
	case 0:
		return netip.AddrFrom4([4]byte{byte(s.Uint32()), byte(s.Uint32()), byte(s.Uint32()), byte(s.Uint32())})
	case 1:
		b[10], b[11] = 0xff, 0xff
	case 2:
		copy(b[:], "\x00\x64\xff\x9b")
	case 3:
		copy(b[:], "\x20\x02")
		copy(b[2:], v4[:])
		return netip.AddrFrom16(b)
	case 4:
		b[0], b[1], b[15] = []byte{0xfe, 0xfd, 0xff, 0x2a}[s.IntN(4)], []byte{0x80, 0, 2}[s.IntN(3)], byte(s.Uint32())
		return netip.AddrFrom16(b)
	case 5:
		b[15] = byte(s.IntN(2))
		return netip.AddrFrom16(b)
	case 6: // compatible
	default:
		return netip.AddrFrom4(v4)
	}
	copy(b[12:], v4[:])
	return netip.AddrFrom16(b)
}

func (s *spellings) host() string {
	a := s.addr()
	b := a.AsSlice()
	n := uint32(b[len(b)-4])<<24 | uint32(b[len(b)-3])<<16 | uint32(b[len(b)-2])<<8 | uint32(b[len(b)-1])
	switch s.IntN(7) {
	case 0:
		name := fmt.Sprintf("n%d.example", s.IntN(1000))
		s.resolved[name] = a.String()
		return name
	case 1:
		return fmt.Sprint(n)
	case 2:
		return fmt.Sprintf("0x%x", n)
	case 3:
		return fmt.Sprintf("0%o.%d.%d", b[len(b)-4], b[len(b)-2], b[len(b)-1])
	case 4:
		return "[" + a.StringExpanded() + "]"
	}
	if a.Is6() {
		return "[" + a.String() + "]"
	}
	return a.String()
}

func (s *spellings) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if text, ok := s.resolved[host]; ok {
		return []netip.Addr{netip.MustParseAddr(text), s.addr()}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

// Over 100,000 drawn addresses, met directly and by redirects from a public host, none
// that is forbidden is connected to.
func TestDrawnAddressesNeverLeadInside(t *testing.T) {
	t.Parallel()
	s := &spellings{rand.New(rand.NewPCG(1, 2)), map[string]string{}}
	everything := []string{"*.example"}
	var urls, connected atomic.Int64
	next := make(chan string, 1)
	connect := func(_ context.Context, _, address string) (net.Conn, error) {
		to := netip.MustParseAddrPort(address)
		if forbidden(to.Addr()) {
			t.Errorf("connected to %s", address)
		}
		connected.Add(1)
		mine, theirs := net.Pipe()
		go redirectOnce(theirs, next)
		return mine, nil
	}
	for urls.Load() < 100_000 {
		first, second := s.host(), s.host()
		hosts := append(everything, strings.Trim(first, "[]"), strings.Trim(second, "[]"))
		c := outbound.New(outbound.Policy{Hosts: hosts}, outbound.WithConnect(outbound.Options{Resolver: s}, connect))
		for _, start := range []string{first, "8.8.8.8"} {
			c := c
			if start == "8.8.8.8" {
				c = outbound.New(outbound.Policy{Hosts: append(hosts, start)}, outbound.WithConnect(outbound.Options{Resolver: s}, connect))
			}
			next <- "http://" + second + "/"
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+start+"/", nil)
			urls.Add(2)
			if err == nil {
				if resp, err := c.Do(r); err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
				}
			}
			c.Close()
			select {
			case <-next:
			default:
			}
		}
	}
	if connected.Load() < 1000 {
		t.Errorf("only %d connections: the addresses are drawn too badly to show anything", connected.Load())
	}
}

// redirectOnce answers one request: with a redirect to what lies ready, else with success.
func redirectOnce(conn net.Conn, next <-chan string) {
	defer conn.Close()
	if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
		return
	}
	select {
	case to := <-next:
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", to)
	default:
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	}
}
