package outbound_test

import (
	"compress/gzip"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/crispy-enigma/crispy-enigma/runtime/outbound"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// names is a resolver that answers from memory: each look-up takes the next answer of the
// name, and the last one stays.
type names map[string][]string

func (n names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	answers := n[host]
	if len(answers) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	if len(answers) > 1 {
		n[host] = answers[1:]
	}
	var all []netip.Addr
	for a := range strings.FieldsSeq(answers[0]) {
		all = append(all, netip.MustParseAddr(a))
	}
	return all, nil
}

func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv
}

func portOf(t *testing.T, srv *httptest.Server) int {
	t.Helper()
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func client(t *testing.T, p outbound.Policy, o outbound.Options) *outbound.Client {
	t.Helper()
	c := outbound.New(p, o)
	t.Cleanup(c.Close)
	return c
}

func get(t *testing.T, c *outbound.Client, url string, header ...string) (string, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		return "", fmt.Errorf("%w: %w", outbound.ErrBadURL, err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := c.Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v; want %v", err, want)
	}
}

// The spellings with which clients are talked into calling loopback and metadata services.
func TestNoSpellingReachesThisMachine(t *testing.T) {
	t.Parallel()
	var reached atomic.Int64
	srv := serve(t, func(http.ResponseWriter, *http.Request) { reached.Add(1) })
	port := portOf(t, srv)
	hosts := []string{
		"127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.0x0.0x0.0x1", "0177.0.0.1", "017700000001",
		"0", "0.0.0.0", "127.0.0.2", "localhost", "LOCALHOST.", "[::1]", "[::]", "[0:0:0:0:0:0:0:1]",
		"[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]",
		"[fe80::1%25lo]", "①②⑦.⓪.⓪.①", "127。0。0。1", "localtest.example", "alias.example", "169.254.169.254",
		"[fd00:ec2::254]", "metadata.example", "127.0.0.1.", "%31%32%37.0.0.1",
	}
	resolver := names{
		"localhost": {"127.0.0.1 ::1"}, "localtest.example": {"127.0.0.1"}, "alias.example": {"::ffff:127.0.0.1"},
		"metadata.example": {"169.254.169.254"}, "127.1": {"127.0.0.1"}, "0x7f000001": {"127.0.0.1"}, "2130706433": {"127.0.0.1"},
	}
	for _, private := range []bool{false, true} {
		c := client(t, outbound.Policy{Hosts: append(hosts, "fe80::1", "::ffff:127.0.0.1"), Ports: []int{port}, Private: private}, outbound.Options{Resolver: resolver})
		for _, h := range hosts {
			_, err := get(t, c, fmt.Sprintf("http://%s:%d/", h, port))
			if !errors.Is(err, outbound.ErrAddressBlocked) && !errors.Is(err, outbound.ErrBadURL) {
				t.Errorf("%s, private %v: %v; want it blocked", h, private, err)
			}
		}
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("this machine was reached %d times", n)
	}
}

func TestThePodsOwnAddressesAreBlocked(t *testing.T) {
	t.Parallel()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		if err != nil || !p.Addr().Is4() || !outbound.Reachable(p.Addr(), true, false) {
			continue
		}
		tried++
		c := client(t, outbound.Policy{Hosts: []string{p.Addr().String()}, Private: true}, outbound.Options{})
		_, err = get(t, c, "http://"+p.Addr().String()+"/")
		wantErr(t, err, outbound.ErrAddressBlocked)
	}
	if tried == 0 {
		t.Skip("this machine has no address but loopback")
	}
}

// The address that was judged is the one that is dialled, whatever the name says next.
func TestRebinding(t *testing.T) {
	t.Parallel()
	var dialled []string
	o := outbound.WithConnect(outbound.Options{Resolver: names{"flip.example": {"8.8.8.8", "127.0.0.1", "8.8.4.4"}}},
		func(_ context.Context, _, address string) (net.Conn, error) {
			dialled = append(dialled, address)
			return nil, errors.New("no network here")
		})
	c := client(t, outbound.Policy{Hosts: []string{"*.example"}}, o)
	_, err := get(t, c, "http://flip.example/?q=c4nary")
	if err == nil || errors.Is(err, outbound.ErrAddressBlocked) || strings.Contains(err.Error(), "c4nary") {
		t.Errorf("first: %v; want the network's error without the query", err)
	}
	_, err = get(t, c, "http://flip.example/")
	wantErr(t, err, outbound.ErrAddressBlocked)
	_, _ = get(t, c, "http://flip.example/")
	if got := strings.Join(dialled, " "); got != "8.8.8.8:80 8.8.4.4:80" {
		t.Errorf("dialled %s", got)
	}
}

func TestHostsAndPorts(t *testing.T) {
	t.Parallel()
	p := outbound.Policy{Hosts: []string{"docs.example", "*.wild.example", "Bücher.example", "10.0.0.7", "2001:4860::8"}, Ports: []int{8443}}
	for address, want := range map[string]error{
		"https://docs.example/a":                nil,
		"https://DOCS.example.:443/a":           nil,
		"https://docs.example:8443/":            nil,
		"https://docs.example:80/":              outbound.ErrHostNotAllowed,
		"http://docs.example:22/":               outbound.ErrHostNotAllowed,
		"https://a.docs.example/":               outbound.ErrHostNotAllowed,
		"https://docs.example.evil.example/":    outbound.ErrHostNotAllowed,
		"https://a.wild.example/":               nil,
		"https://a.b.wild.example/":             nil,
		"https://wild.example/":                 outbound.ErrHostNotAllowed,
		"https://notwild.example/":              outbound.ErrHostNotAllowed,
		"https://xn--bcher-kva.example/":        nil,
		"http://10.0.0.7/":                      nil,
		"http://[2001:4860:0::8]/":              nil,
		"https://user:c4nary@docs.example/":     outbound.ErrBadURL,
		"file:///etc/passwd":                    outbound.ErrBadURL,
		"gopher://docs.example/":                outbound.ErrBadURL,
		"https:docs.example":                    outbound.ErrBadURL,
		"https:///nohost":                       outbound.ErrBadURL,
		"https://docs.example:0/":               outbound.ErrBadURL,
		"https://docs.example:99999/":           outbound.ErrBadURL,
		"https://docs.example\\@evil.example/":  outbound.ErrBadURL,
		"//docs.example/":                       outbound.ErrBadURL,
		"https://docs.example@evil.example/":    outbound.ErrBadURL,
		"https://evil.example#@docs.example/":   outbound.ErrHostNotAllowed,
		"https://evil.example?a=docs.example":   outbound.ErrHostNotAllowed,
		"https://evil.example/docs.example?c=1": outbound.ErrHostNotAllowed,
	} {
		u, err := url.Parse(address)
		if err == nil {
			err = p.Check(u)
		} else {
			err = outbound.ErrBadURL
		}
		if !errors.Is(err, want) || err != nil && strings.Contains(err.Error(), "c4nary") {
			t.Errorf("%s: %v; want %v", address, err, want)
		}
	}
	u, _ := url.Parse("https://docs.example/")
	wantErr(t, outbound.Policy{}.Check(u), outbound.ErrHostNotAllowed)
}

func TestEnvironmentsProxyIsNotAsked(t *testing.T) {
	var asked atomic.Int64
	proxy := serve(t, func(http.ResponseWriter, *http.Request) { asked.Add(1) })
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"} {
		t.Setenv(name, proxy.URL)
	}
	o := outbound.WithConnect(outbound.Options{Resolver: names{"docs.example": {"8.8.8.8"}}},
		func(_ context.Context, _, address string) (net.Conn, error) {
			if address != "8.8.8.8:80" {
				t.Errorf("dialled %s", address)
			}
			return nil, errors.New("no network here")
		})
	if _, err := get(t, client(t, outbound.Policy{Hosts: []string{"docs.example"}}, o), "http://docs.example/"); err == nil {
		t.Error("it answered")
	}
	if asked.Load() != 0 {
		t.Error("the proxy was asked")
	}
}

// local allows the servers of this test.
func local(t *testing.T, p outbound.Policy, servers ...*httptest.Server) (outbound.Policy, outbound.Options) {
	t.Helper()
	o := outbound.Options{AllowLoopback: true, Resolver: names{"a.example": {"127.0.0.1"}, "b.example": {"127.0.0.1"}, "inner.example": {"10.255.255.1"}}}
	p.Hosts = append(p.Hosts, "a.example", "b.example", "inner.example", "127.0.0.1", "169.254.169.254")
	for _, s := range servers {
		p.Ports = append(p.Ports, portOf(t, s))
		if s.TLS != nil {
			o.Roots = x509.NewCertPool()
			o.Roots.AddCert(s.Certificate())
		}
	}
	return p, o
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	var srv *httptest.Server
	seen := make(chan http.Header, 16)
	srv = serve(t, func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header.Clone()
		to := r.URL.Query().Get("to")
		switch {
		case r.URL.Path == "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case to != "":
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusTemporaryRedirect)
		default:
			_, _ = io.WriteString(w, "there")
		}
	})
	p, o := local(t, outbound.Policy{}, srv)
	c := client(t, p, o)
	port := portOf(t, srv)
	step := func(host string, to string) string {
		return fmt.Sprintf("http://%s:%d/?to=%s", host, port, url.QueryEscape(to))
	}
	at := func(host string) string { return fmt.Sprintf("http://%s:%d/", host, port) }
	secrets := []string{"Authorization", "Bearer c4nary", "X-Api-Key", "c4nary", "Cookie", "c4nary", "Accept", "text/html"}
	carries := func(h http.Header) bool { return strings.Contains(fmt.Sprint(h), "c4nary") }

	t.Run("to blocked places", func(t *testing.T) {
		for to, want := range map[string]error{
			"http://169.254.169.254/latest":   outbound.ErrAddressBlocked,
			"http://inner.example/":           outbound.ErrAddressBlocked,
			"http://other.example/":           outbound.ErrHostNotAllowed,
			"http://a.example:1/":             outbound.ErrHostNotAllowed,
			"file:///etc/passwd":              outbound.ErrBadURL,
			"http://u:p@a.example/":           outbound.ErrBadURL,
			"http://[::1/?c4nary":             outbound.ErrRedirects,
			"http://a.example:1/%zz?k=c4nary": outbound.ErrRedirects,
		} {
			_, err := get(t, c, step("a.example", to))
			wantErr(t, err, want)
			if err != nil && strings.Contains(err.Error(), "c4nary") {
				t.Errorf("the error for %s tells the query", to)
			}
			<-seen
		}
	})
	t.Run("secrets stay with their host", func(t *testing.T) {
		for _, chain := range []string{step("a.example", at("b.example")), step("a.example", step("b.example", at("a.example")))} {
			text, err := get(t, c, chain, secrets...)
			if err != nil || text != "there" {
				t.Fatal(text, err)
			}
			if !carries(<-seen) {
				t.Error("the first host got no secret")
			}
			for len(seen) > 0 {
				if h := <-seen; carries(h) || h.Get("Accept") != "text/html" || h.Get("Referer") != "" {
					t.Error("after another host: a secret, a referrer, or no Accept")
				}
			}
		}
		if _, err := get(t, c, step("a.example", at("a.example")), secrets...); err != nil {
			t.Fatal(err)
		}
		if <-seen; !carries(<-seen) {
			t.Error("the same host got no secret after a redirect")
		}
	})
	t.Run("a body isn't sent on", func(t *testing.T) {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, step("a.example", at("b.example")), strings.NewReader("c4nary"))
		_, err := c.Do(r)
		wantErr(t, err, outbound.ErrRedirects)
		<-seen
	})
	t.Run("no end", func(t *testing.T) {
		_, err := get(t, c, fmt.Sprintf("http://a.example:%d/loop", port))
		wantErr(t, err, outbound.ErrRedirects)
		if len(seen) != outbound.MaxRedirects+1 {
			t.Errorf("%d requests", len(seen))
		}
	})
}

func TestNoStepDownFromHTTPS(t *testing.T) {
	t.Parallel()
	plain := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("called without TLS") })
	secure := httptest.NewTLSServer(http.RedirectHandler(plain.URL, http.StatusFound))
	t.Cleanup(secure.Close)
	p, o := local(t, outbound.Policy{}, plain, secure)
	_, err := get(t, client(t, p, o), secure.URL)
	wantErr(t, err, outbound.ErrRedirects)
}

func TestSizes(t *testing.T) {
	t.Parallel()
	zeros := make([]byte, 1<<20)
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/bomb":
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			for range 256 {
				if _, err := z.Write(zeros); err != nil {
					return
				}
			}
			_ = z.Close()
		case "/br", "/gzip,gzip":
			w.Header().Set("Content-Encoding", r.URL.Path[1:])
		case "/endless":
			for {
				if _, err := w.Write(zeros); err != nil {
					return
				}
			}
		default:
			n, _ := strconv.Atoi(r.URL.Path[1:])
			_, _ = w.Write(zeros[:n])
		}
	})
	p, o := local(t, outbound.Policy{MaxBytes: 1000}, srv)
	c := client(t, p, o)
	for path, want := range map[string]error{
		"/bomb": outbound.ErrTooLarge, "/endless": outbound.ErrTooLarge, "/1001": outbound.ErrTooLarge, "/1000": nil, "/0": nil,
		"/br": outbound.ErrEncoding, "/gzip,gzip": outbound.ErrEncoding,
	} {
		text, err := get(t, c, srv.URL+path)
		if !errors.Is(err, want) || len(text) > 1000 {
			t.Errorf("%s: %d bytes, %v; want %v", path, len(text), err, want)
		}
	}
}

func TestTimes(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{}, 8)
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		flush := http.NewResponseController(w).Flush
		switch r.URL.Path {
		case "/silent":
		case "/stalls":
			_, _ = io.WriteString(w, "a")
			_ = flush()
		case "/drips":
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, "a"); err != nil || flush() != nil {
					break
				}
			}
		}
		<-r.Context().Done()
		gone <- struct{}{}
	})
	for path, limits := range map[string]outbound.Policy{
		"/silent": {Timeout: 50 * time.Millisecond}, "/drips": {Timeout: 50 * time.Millisecond, MaxBytes: -1},
		"/stalls": {Timeout: -1, Idle: 50 * time.Millisecond}, "/silent?idle": {Timeout: -1, Idle: 50 * time.Millisecond},
	} {
		p, o := local(t, limits, srv)
		_, err := get(t, client(t, p, o), srv.URL+path)
		wantErr(t, err, outbound.ErrTimeout)
		// The server notices: nothing goes on behind the caller's back.
		<-gone
	}
	p, o := local(t, outbound.Policy{}, srv)
	ctx, cancel := context.WithCancel(t.Context())
	r, _ := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL+"/stalls", nil)
	resp, err := client(t, p, o).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	_, err = io.ReadAll(resp.Body)
	resp.Body.Close()
	wantErr(t, err, context.Canceled)
	<-gone
}

// The form for libraries keeps every promise, and its errors can be told.
func TestHTTPClientForm(t *testing.T) {
	t.Parallel()
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/away" {
			http.Redirect(w, r, "http://169.254.169.254/", http.StatusFound)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: 1\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	p, o := local(t, outbound.Policy{Timeout: -1, MaxBytes: -1}, srv)
	h := client(t, p, o).HTTP()
	resp, err := h.Get(srv.URL + "/events")
	if err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 9)
	if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != "data: 1\n\n" {
		t.Errorf("read %q, %v", first, err)
	}
	resp.Body.Close()
	_, err = h.Get(srv.URL + "/away?key=c4nary")
	wantErr(t, err, outbound.ErrAddressBlocked)
	if told := outbound.Cause(err).Error(); strings.Contains(told, "c4nary") || !strings.Contains(told, "169.254.169.254") {
		t.Error("the error tells the query, or not the host")
	}
}

func TestPoliciesShareNoConnections(t *testing.T) {
	t.Parallel()
	srv := serve(t, func(http.ResponseWriter, *http.Request) {})
	p, o := local(t, outbound.Policy{}, srv)
	if _, err := get(t, client(t, p, o), srv.URL); err != nil {
		t.Fatal(err)
	}
	o.AllowLoopback = false
	_, err := get(t, client(t, p, o), srv.URL)
	wantErr(t, err, outbound.ErrAddressBlocked)
}
