package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"

	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// Options of New. The zero value is for production.
type Options struct {
	// Resolver looks names up; nil is the system's.
	Resolver Resolver
	// AllowLoopback lets calls reach this machine: for tests and for a developer's own
	// machine, never for a tenant.
	AllowLoopback bool
	// Roots are the authorities that https is checked against; nil is the system's.
	Roots *x509.CertPool

	// connect replaces the network in tests: what it is given would have been called.
	connect func(ctx context.Context, network, address string) (net.Conn, error)
}

// Client calls what one policy allows. Its connections are its own, so none that was made
// under another policy is ever used. It may be used from several goroutines.
type Client struct {
	policy    Policy
	transport *http.Transport
	inner     *http.Client
}

// New makes a client of a policy. Close it when it is done with.
func New(p Policy, o Options) *Client {
	d := &dialer{resolver: o.Resolver, private: p.Private, loopback: o.AllowLoopback, own: net.InterfaceAddrs, connect: o.connect}
	if d.resolver == nil {
		d.resolver = net.DefaultResolver
	}
	if d.connect == nil {
		// Control judges once more what the socket really connects to.
		d.connect = (&net.Dialer{Timeout: dialTimeout / 2, ControlContext: d.control}).DialContext
	}
	c := &Client{policy: p}
	c.transport = &http.Transport{
		// No Proxy: one of the environment would be asked to connect instead of us.
		DialContext:            d.dial,
		TLSClientConfig:        &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    dialTimeout,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    4,
		IdleConnTimeout:        30 * time.Second,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
	c.inner = &http.Client{Transport: hop{c}, CheckRedirect: c.redirect}
	return c
}

// Close ends the connections that aren't in use.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// HTTP gives the client in net/http's form, for libraries that want one. Its errors tell
// the address: pass them through Cause.
func (c *Client) HTTP() *http.Client { return &http.Client{Transport: whole{c}} }

type whole struct{ c *Client }

func (w whole) RoundTrip(r *http.Request) (*http.Response, error) { return w.c.Do(r) }

// Do sends a request, follows redirects and gives the answer, whatever its status. Its
// body must be closed; reading it may give ErrTooLarge and ErrTimeout. The errors are
// those of this package, the caller's context's, or of the network, and name no more of
// the address than the host.
func (c *Client) Do(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	var total *time.Timer
	if limit := c.policy.timeout(); limit > 0 {
		total = time.AfterFunc(limit, func() {
			cancel(fmt.Errorf("%w: more than %v in all", ErrTimeout, limit))
		})
	}
	w := &watch{cancel: cancel, idle: c.policy.idle(), total: total}
	out := r.Clone(ctx)
	// The host that was judged is the one that is asked for.
	out.Host = ""
	// Go then asks for gzip, and counts what it unpacks.
	out.Header.Del("Accept-Encoding")
	w.begin()
	resp, err := c.inner.Do(out) //nolint:gosec // G704: each hop and each socket is judged by the policy
	w.pause()
	if err != nil {
		w.end()
		return nil, failed(ctx, r.URL.Hostname(), err)
	}
	host := resp.Request.URL.Hostname()
	if err := c.fits(resp, host); err != nil {
		_ = resp.Body.Close()
		w.end()
		return nil, err
	}
	resp.Body = &body{
		ReadCloser: resp.Body, host: host, watch: w, max: c.policy.maxBytes(),
		fail: func(err error) error { return failed(ctx, host, err) },
	}
	return resp, nil
}

func (c *Client) fits(resp *http.Response, host string) error {
	if e := resp.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return fmt.Errorf("calling %q: %w", host, ErrEncoding)
	}
	if limit := c.policy.maxBytes(); limit > 0 && resp.ContentLength > limit && resp.Request.Method != http.MethodHead {
		return tooLarge(host, limit)
	}
	return nil
}

// hop sends one request of a chain of redirects.
type hop struct{ c *Client }

func (h hop) RoundTrip(r *http.Request) (*http.Response, error) {
	host, err := h.c.policy.target(r.URL)
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, err
	}
	out := r.Clone(r.Context())
	out.URL.Host = authority(host, r.URL.Port())
	resp, err := h.c.transport.RoundTrip(out)
	if err != nil {
		return nil, err
	}
	// net/http would quote a Location that it can't read.
	if _, err := url.Parse(resp.Header.Get("Location")); err != nil {
		_ = resp.Body.Close()
		return nil, fmt.Errorf("%w: its Location can't be read", ErrRedirects)
	}
	return resp, nil
}

func authority(host, port string) string {
	if port != "" {
		return net.JoinHostPort(host, port)
	}
	if a, err := netip.ParseAddr(host); err == nil && a.Is6() {
		return "[" + host + "]"
	}
	return host
}

// carried are the headers that go along to another host.
var carried = []string{"Accept", "Accept-Language", "User-Agent"}

// redirect judges a step of a chain; via holds those before it, oldest first.
func (c *Client) redirect(next *http.Request, via []*http.Request) error {
	if len(via) > MaxRedirects {
		return fmt.Errorf("%w: more than %d in a row", ErrRedirects, MaxRedirects)
	}
	if err := c.policy.Check(next.URL); err != nil {
		return fmt.Errorf("after a redirect: %w", err)
	}
	if via[len(via)-1].URL.Scheme == "https" && next.URL.Scheme != "https" {
		return fmt.Errorf("%w: from https down to http", ErrRedirects)
	}
	// It would tell the query of the page before.
	next.Header.Del("Referer")
	foreign := false
	for _, r := range append(via[1:len(via):len(via)], next) {
		foreign = foreign || origin(r.URL) != origin(via[0].URL)
	}
	if !foreign {
		return nil
	}
	if next.Body != nil && next.Body != http.NoBody {
		return fmt.Errorf("%w: what was sent isn't sent on to another host", ErrRedirects)
	}
	// Once another host had its say, a way back to the first takes no secret along
	// either: the other chose what is asked there.
	for name := range next.Header {
		if !slices.Contains(carried, name) {
			next.Header.Del(name)
		}
	}
	return nil
}

func origin(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme + "://" + tenancy.CanonicalHost(u.Host) + ":" + port
}
