package tenancy_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

func TestCanonicalHost(t *testing.T) {
	for in, want := range map[string]string{
		"acme.example":           "acme.example",
		"acme.example:8080":      "acme.example",
		"acme.example:":          "acme.example",
		"ACME.Example":           "acme.example",
		"acme.example.":          "acme.example",
		"acme.example.:443":      "acme.example",
		"müller.example":         "xn--mller-kva.example",
		"MÜLLER.EXAMPLE":         "xn--mller-kva.example",
		"XN--MLLER-KVA.example":  "xn--mller-kva.example",
		"ａｃｍｅ.example":           "acme.example",
		"localhost":              "localhost",
		"127.0.0.1:8080":         "127.0.0.1",
		"[::1]:8080":             "::1",
		"[0:0::1]":               "::1",
		"":                       "",
		".":                      "",
		":80":                    "",
		"acme..example":          "",
		"acme.example..":         "",
		".acme.example":          "",
		"-acme.example":          "",
		"acme_.example":          "",
		"acme.example/globex":    "",
		"acme.example:80:80":     "",
		"acme.example:80@x":      "",
		"user@acme.example":      "",
		"acme.example\x00":       "",
		"acme.example,globex":    "",
		"[::1%eth0]":             "",
		"[::1":                   "",
		strings.Repeat("a", 254): "",
	} {
		if got := tenancy.CanonicalHost(in); got != want {
			t.Errorf("CanonicalHost(%q) = %q, want %q", in, got, want)
		}
	}
}

// A host that came out is the one spelling of itself: two ways to write a host can't
// mean two tenants.
func FuzzCanonicalHost(f *testing.F) {
	for _, s := range []string{"acme.example:80", "MÜLLER.example.", "[::1]:80", "xn--a", "a..b", "ß.example", "ﬁ.example"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		host := tenancy.CanonicalHost(s)
		if host == "" {
			return
		}
		again := host
		if strings.Contains(host, ":") {
			again = "[" + host + "]"
		}
		if got := tenancy.CanonicalHost(again); got != host {
			t.Errorf("%q gives %q, which gives %q", s, host, got)
		}
		if strings.ToLower(host) != host || strings.HasSuffix(host, ".") {
			t.Errorf("%q gives %q", s, host)
		}
	})
}

func TestClientAddress(t *testing.T) {
	d := newDirectory(t, newTenant(t, "open", withHosts("open.example"), withProxies("10.0.0.0/8", "fd00::/8", "192.0.2.7/32")))
	long := strings.Repeat("10.0.0.1, ", 100)
	for name, tc := range map[string]struct {
		peer string
		xff  []string
		want string
	}{
		"no proxy":                   {"203.0.113.9:1", nil, "203.0.113.9"},
		"untrusted peer":             {"203.0.113.9:1", []string{"198.51.100.1"}, "203.0.113.9"},
		"trusted peer":               {"10.1.2.3:1", []string{"198.51.100.1"}, "198.51.100.1"},
		"trusted peer, nothing said": {"10.1.2.3:1", nil, "10.1.2.3"},
		"right-most untrusted":       {"10.1.2.3:1", []string{"1.1.1.1, 198.51.100.1, 10.9.9.9"}, "198.51.100.1"},
		"over several lines":         {"10.1.2.3:1", []string{"1.1.1.1", "198.51.100.1", "10.9.9.9,192.0.2.7"}, "198.51.100.1"},
		"all trusted":                {"10.1.2.3:1", []string{"10.0.0.1, 10.0.0.2"}, "10.0.0.1"},
		"IPv4 in IPv6 dress":         {"[::ffff:10.1.2.3]:1", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
		"with a port":                {"10.1.2.3:1", []string{"198.51.100.1:4711"}, "198.51.100.1"},
		"IPv6 is its /64":            {"[2001:db8:1:2:3:4:5:6]:1", nil, "2001:db8:1:2::/64"},
		"IPv6 of the same /64":       {"[2001:db8:1:2:ffff::1]:1", nil, "2001:db8:1:2::/64"},
		"IPv6 forwarded":             {"[fd00::1]:1", []string{"[2001:db8:1:2::9]:80"}, "2001:db8:1:2::/64"},
		"garbage stops":              {"10.1.2.3:1", []string{"198.51.100.1, unknown"}, "10.1.2.3"},
		"garbage left of it":         {"10.1.2.3:1", []string{"<script>, 198.51.100.1"}, "198.51.100.1"},
		"empty":                      {"10.1.2.3:1", []string{""}, "10.1.2.3"},
		"an address can't be chosen": {"10.1.2.3:1", []string{"9.9.9.9", "198.51.100.1"}, "198.51.100.1"},
		"a chain without end is cut": {"10.1.2.3:1", []string{"198.51.100.1, " + long + "10.0.0.2"}, "10.0.0.1"},
		"no peer":                    {"@", []string{"198.51.100.1"}, "unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), "GET", "http://open.example/", nil)
			r.RemoteAddr = tc.peer
			r.Header["X-Forwarded-For"] = tc.xff
			_, caller, err := d.Identify(r)
			if err != nil || caller.Address != tc.want {
				t.Errorf("address %q, %v; want %q", caller.Address, err, tc.want)
			}
		})
	}
}
