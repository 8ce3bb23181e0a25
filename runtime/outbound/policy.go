package outbound

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// What a Policy says by zero values.
const (
	DefaultMaxBytes = 25 << 20
	DefaultTimeout  = 30 * time.Second
	DefaultIdle     = 30 * time.Second
	// MaxRedirects is how many are followed.
	MaxRedirects = 5
)

// Policy says where a call may go and what it may cost.
type Policy struct {
	// Hosts that may be called: a name, "*." and a domain for all below it but not the
	// domain itself, or an address. Empty allows none.
	Hosts []string
	// Ports that may be called beside 80 with http and 443 with https: those that the
	// tenant itself wrote, for example in a tool's URL.
	Ports []int
	// Private allows addresses of private networks too (RFC 1918, unique local, shared
	// 100.64.0.0/10), where services of the cluster are.
	Private bool
	// MaxBytes of an answer's body, decompressed. 0 is DefaultMaxBytes, below is no limit.
	MaxBytes int64
	// Timeout of the whole call, with redirects and the body. 0 is DefaultTimeout, below
	// is none: for streams, which Idle bounds.
	Timeout time.Duration
	// Idle is how long nothing may come, before the header or while the body is read.
	// 0 is DefaultIdle, below is no limit.
	Idle time.Duration
}

// Check tells whether an address may be called as far as that is known without looking
// its name up: ErrBadURL or ErrHostNotAllowed if it may not.
func (p Policy) Check(u *url.URL) error {
	_, err := p.target(u)
	return err
}

// target gives the host and port to dial.
func (p Policy) target(u *url.URL) (host string, err error) {
	standard := 443
	switch u.Scheme {
	case "https":
	case "http":
		standard = 80
	default:
		return "", fmt.Errorf("%w: it must begin with http:// or https://", ErrBadURL)
	}
	if u.Opaque != "" || u.User != nil {
		return "", fmt.Errorf("%w: it may hold no login; use a header from a secret", ErrBadURL)
	}
	host = tenancy.CanonicalHost(u.Host)
	if host == "" || numeric(host) && !isAddress(host) {
		return "", fmt.Errorf("%w: it has no host, or one that is no name and no address", ErrBadURL)
	}
	if !p.allowsHost(host) {
		return "", fmt.Errorf("%w: %q; add it to the allowed hosts if it is to be called", ErrHostNotAllowed, host)
	}
	port := standard
	if text := u.Port(); text != "" {
		if port, err = strconv.Atoi(text); err != nil || port < 1 || port > 65535 {
			return "", fmt.Errorf("%w: its port isn't one of 1 to 65535", ErrBadURL)
		}
	}
	if port != standard && !slices.Contains(p.Ports, port) {
		return "", fmt.Errorf("%w: port %d of %q", ErrHostNotAllowed, port, host)
	}
	return host, nil
}

func (p Policy) allowsHost(host string) bool {
	return slices.ContainsFunc(p.Hosts, func(allowed string) bool {
		if domain, ok := strings.CutPrefix(allowed, "*."); ok {
			domain = tenancy.CanonicalHost(domain)
			return domain != "" && !isAddress(host) && strings.HasSuffix(host, "."+domain)
		}
		return host == canonical(allowed)
	})
}

// canonical takes the IPv6 addresses of a list without brackets too.
func canonical(host string) string {
	if strings.Count(host, ":") > 1 && !strings.HasPrefix(host, "[") {
		host = "[" + host + "]"
	}
	return tenancy.CanonicalHost(host)
}

// numeric tells a name whose last label is a number, in decimal or hexadecimal: some
// resolvers take such names for IPv4 addresses in disguise.
func numeric(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	_, err := strconv.ParseUint(last, 0, 64)
	return err == nil || strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x")
}

func (p Policy) maxBytes() int64        { return cmp.Or(p.MaxBytes, DefaultMaxBytes) }
func (p Policy) timeout() time.Duration { return cmp.Or(p.Timeout, DefaultTimeout) }
func (p Policy) idle() time.Duration    { return cmp.Or(p.Idle, DefaultIdle) }
