package outbound

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// dialTimeout bounds looking a name up and connecting, for all its addresses together.
const dialTimeout = 10 * time.Second

// Resolver looks names up; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// dialer connects to what the policy allows and nothing else.
type dialer struct {
	resolver          Resolver
	private, loopback bool
	own               func() ([]net.Addr, error)
	connect           func(ctx context.Context, network, address string) (net.Conn, error)
}

// dial looks the host up once and connects to an address of that very answer.
func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	found, err := d.lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	var errs error
	for _, a := range found {
		if !d.allowed(a) {
			continue
		}
		conn, err := d.connect(ctx, network, net.JoinHostPort(a.String(), port))
		if err == nil {
			return conn, nil
		}
		errs = errors.Join(errs, err)
	}
	if errs == nil {
		return nil, fmt.Errorf("%w: %q", ErrAddressBlocked, host)
	}
	return nil, errs
}

func (d *dialer) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	return d.resolver.LookupNetIP(ctx, "ip", host)
}

func (d *dialer) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil || !d.allowed(to.Addr()) {
		return ErrAddressBlocked
	}
	return nil
}

// allowed refuses the pod's own addresses too: behind them are listeners that trust
// whoever reaches them.
func (d *dialer) allowed(a netip.Addr) bool {
	if !reachable(a, d.private, d.loopback) {
		return false
	}
	if d.loopback {
		return true
	}
	addrs, err := d.own()
	if err != nil {
		return false
	}
	for _, o := range addrs {
		if p, err := netip.ParsePrefix(o.String()); err == nil && p.Addr().Unmap() == a.Unmap() {
			return false
		}
	}
	return true
}
