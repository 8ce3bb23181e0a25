package httpapi_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// A path is answered as the one that was looked at, or not at all: never redirected,
// never read in another way than a gateway might.
func TestSpoofedPathsAndHosts(t *testing.T) {
	b := newBench(t, httpapi.Options{})
	const key = "X-Api-Key: " + acmeKey + "\r\n"
	post := "Content-Length: 15\r\n\r\n" + `{"message":"x"}`
	for name, tc := range map[string]struct {
		request string
		status  int
		code    string
	}{
		"dot segment":              {"GET /openapi.json/../metrics/cost HTTP/1.1\r\nHost: acme.example\r\n\r\n", 404, "not_found"},
		"encoded dot segment":      {"GET /openapi.json/%2e%2e/metrics/cost HTTP/1.1\r\nHost: acme.example\r\n\r\n", 404, "not_found"},
		"encoded slash and dots":   {"GET /openapi.json/..%2fmetrics%2fcost HTTP/1.1\r\nHost: acme.example\r\n\r\n", 404, "not_found"},
		"encoded slash and dot":    {"GET /chat/a%2f.%2fb/history HTTP/1.1\r\nHost: acme.example\r\n" + key + "\r\n", 404, "not_found"},
		"dots and backslash":       {"GET /chat/x%5c..%5cb/history HTTP/1.1\r\nHost: acme.example\r\n" + key + "\r\n", 404, "not_found"},
		"single dot":               {"POST /./chat HTTP/1.1\r\nHost: acme.example\r\n" + key + post, 404, "not_found"},
		"double slash":             {"POST //chat HTTP/1.1\r\nHost: acme.example\r\n" + key + post, 404, "not_found"},
		"double slash at the end":  {"POST /chat// HTTP/1.1\r\nHost: acme.example\r\n" + key + post, 404, "not_found"},
		"slash as a host":          {"GET //globex.example/openapi.json HTTP/1.1\r\nHost: acme.example\r\n\r\n", 404, "not_found"},
		"encoded slash at the end": {"POST /chat%2f HTTP/1.1\r\nHost: acme.example\r\n" + key + post, 404, "not_found"},
		"encoded letter":           {"POST /ch%61t HTTP/1.1\r\nHost: acme.example\r\n" + key + post, 200, ""},
		"case":                     {"POST /CHAT HTTP/1.1\r\nHost: acme.example\r\n" + key + post, 404, "not_found"},
		"backslash":                {"GET /openapi.json\\..\\x HTTP/1.1\r\nHost: acme.example\r\n\r\n", 404, "not_found"},
		"semicolon":                {"POST /chat;x=1 HTTP/1.1\r\nHost: acme.example\r\n" + key + post, 404, "not_found"},
		"asterisk":                 {"OPTIONS * HTTP/1.1\r\nHost: acme.example\r\n\r\n", 404, "not_found"},
		"connect":                  {"CONNECT acme.example:443 HTTP/1.1\r\nHost: acme.example\r\n\r\n", 404, "not_found"},
		"absolute form":            {"POST http://acme.example/chat HTTP/1.1\r\nHost: acme.example\r\n" + key + post, 200, ""},
		// RFC 9112: the authority of the target counts and Host is ignored, so the key of
		// the one that Host names opens nothing.
		"absolute form, other host": {"POST http://globex.example/chat HTTP/1.1\r\nHost: acme.example\r\n" + key + post, 401, "unauthorized"},
		"absolute form, user":       {"POST http://acme.example@globex.example/chat HTTP/1.1\r\nHost: acme.example\r\n" + key + post, 401, "unauthorized"},
		"absolute form, dots":       {"POST http://acme.example/x/../chat HTTP/1.1\r\nHost: acme.example\r\n" + key + post, 404, "not_found"},
		"forwarded headers":         {"POST /chat HTTP/1.1\r\nHost: globex.example\r\nX-Forwarded-Host: acme.example\r\nForwarded: host=acme.example\r\nX-Original-URL: /x\r\nX-Host: acme.example\r\n" + key + post, 401, "unauthorized"},
		"override headers":          {"GET /nowhere HTTP/1.1\r\nHost: acme.example\r\nX-Rewrite-URL: /chat\r\nX-HTTP-Method-Override: POST\r\n" + key + "\r\n", 404, "not_found"},
		"tenant twice":              {"POST /chat HTTP/1.1\r\nHost: x\r\nX-Tenant-Id: acme\r\nx-tenant-id: acme\r\n" + key + post, 400, "tenant_mismatch"},
		"tenant with underscore":    {"POST /chat HTTP/1.1\r\nHost: x\r\nX_Tenant_Id: globex\r\n" + key + post, 200, ""},
		"two hosts":                 {"POST /chat HTTP/1.1\r\nHost: acme.example\r\nHost: globex.example\r\n" + key + post, 400, ""},
		"no host":                   {"POST /chat HTTP/1.1\r\n" + key + post, 400, ""},
		"two lengths":               {"POST /chat HTTP/1.1\r\nHost: acme.example\r\n" + key + "Content-Length: 2\r\n" + post, 400, ""},
		"length and chunks":         {"POST /chat HTTP/1.1\r\nHost: acme.example\r\nX-Api-Key: nope\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 401, "unauthorized"},
	} {
		t.Run(name, func(t *testing.T) {
			a := b.raw(tc.request)
			if a.Status != tc.status || a.Error.Code != tc.code || a.Header.Get("Location") != "" {
				t.Errorf("%d %s", a.Status, a.Body)
			}
		})
	}
}

// FuzzRouting: whatever the target, host and tenant header, an answer of a handler is
// of the route that the path names by itself, for the tenant that header, host and key
// agree on.
func FuzzRouting(f *testing.F) {
	for _, s := range [][3]string{
		{"/chat/s1/history", "acme.example", ""}, {"/chat/../metrics", "globex.example", "acme"}, {"/chat/%2e%2e/x", "ACME.example.:80", "acme"},
		{"//acme.example/chat/x/history", "x", "open"}, {"/chat/a%2Fb/history/", "[::1]", "globex"}, {"http://globex.example/chat/x/history", "acme.example", ""},
	} {
		f.Add(s[0], s[1], s[2])
	}
	dir, err := tenancy.NewDirectory(acmeAndGlobex(f)...)
	if err != nil {
		f.Fatal(err)
	}
	door := httpapi.NewDoor(dir, httpapi.Options{})
	type seen struct{ tenant, route, id string }
	var got *seen
	note := func(route string) httpapi.Handler[struct{}] {
		return func(_ context.Context, c httpapi.Call, _ struct{}) (httpapi.Answer, error) {
			got = &seen{c.Tenant.ID.String(), route, c.Path("id")}
			return httpapi.Answer{}, nil
		}
	}
	httpapi.Handle(door, "GET", "/chat/{id}/history", httpapi.Route{}, note("history"))
	httpapi.Handle(door, "GET", "/chat/{id}", httpapi.Route{}, note("chat"))
	httpapi.Handle(door, "GET", "/metrics", httpapi.Route{NeedsScope: "metrics:read"}, note("metrics"))
	f.Fuzz(func(t *testing.T, target, host, id string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		r := &http.Request{Method: "GET", URL: u, RequestURI: target, Host: host, Header: http.Header{}, Body: http.NoBody}
		if u.Host != "" {
			r.Host = u.Host
		}
		r.Header.Set("X-Api-Key", acmeKey)
		if id != "" {
			r.Header["X-Tenant-Id"] = []string{id}
		}
		got = nil
		rec := httptest.NewRecorder()
		door.ServeHTTP(rec, r)
		if rec.Code >= 300 && rec.Code < 400 {
			t.Fatalf("%q is redirected to %q", target, rec.Header().Get("Location"))
		}
		if got == nil {
			return
		}
		if got.tenant == "globex" || got.route == "metrics" {
			t.Fatalf("%q %q %q reached %+v with acme's key", target, host, id, got)
		}
		if id != "" && got.tenant != id {
			t.Fatalf("header %q reached %+v", id, got)
		}
		want := "/chat/" + got.id
		if got.route == "history" {
			want += "/history"
		}
		if plain := strings.TrimSuffix(u.Path, "/"); plain != strings.TrimSuffix(want, "/") || strings.Contains(plain+"/", "/../") {
			t.Fatalf("path %q was taken for %+v", u.Path, got)
		}
	})
}

func TestHalfAHeaderIsCutOff(t *testing.T) {
	b := newBench(t, httpapi.Options{})
	b.server = httptest.NewUnstartedServer(nil)
	b.server.Config = httpapi.Server(b.door, slog.New(slog.DiscardHandler))
	if got := b.server.Config.ReadHeaderTimeout; got != 5*time.Second {
		t.Errorf("a header may take %v", got)
	}
	b.server.Config.ReadHeaderTimeout = 100 * time.Millisecond
	b.server.Start()
	t.Cleanup(b.server.Close)
	conns := make([]io.ReadWriter, 50)
	for i := range conns {
		conns[i] = b.dial()
		_, _ = io.WriteString(conns[i], "POST /chat HTTP/1.1\r\nHost: x\r\nX-Slow: ")
	}
	b.url = b.server.URL
	if a := b.do("POST", "/chat", `{"message":"x"}`, bearerAcme); a.Status != 200 {
		t.Errorf("a good request meanwhile: %d", a.Status)
	}
	for _, c := range conns {
		if _, err := io.ReadAll(c); err != nil {
			t.Fatalf("not cut off: %v", err)
		}
	}
}

func TestASlowBodyIsCutOff(t *testing.T) {
	b := newBench(t, httpapi.Options{BodyTimeout: 100 * time.Millisecond})
	for name, tc := range map[string]struct {
		request string
		status  int
	}{
		"read by a handler":    {"POST /chat HTTP/1.1\r\nHost: x\r\n" + bearerAcme + "\r\nContent-Length: 100\r\n\r\n{", 408},
		"chunked":              {"POST /chat HTTP/1.1\r\nHost: x\r\n" + bearerAcme + "\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{", 408},
		"read by nobody":       {"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{", 404},
		"of a route without":   {"DELETE /chat/s1 HTTP/1.1\r\nHost: x\r\n" + bearerAcme + "\r\nContent-Length: 100\r\n\r\n{", 202},
		"of an unknown caller": {"POST /chat HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{", 400},
	} {
		t.Run(name, func(t *testing.T) {
			conn := b.dial()
			_, _ = io.WriteString(conn, tc.request)
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			if a := b.read(res); a.Status != tc.status {
				t.Errorf("%d %s", a.Status, a.Body)
			}
			if _, err := io.ReadAll(conn); err != nil {
				t.Errorf("the connection isn't closed: %v", err)
			}
		})
	}
}

// A client that leaves is nobody's fault: it is counted as 499 and not logged as ours.
func TestAClientThatLeavesIsNoFault(t *testing.T) {
	b := newBench(t, httpapi.Options{})
	began := make(chan struct{})
	httpapi.Handle(b.door, "POST", "/slow", httpapi.Route{}, func(ctx context.Context, _ httpapi.Call, _ chatRequest) (httpapi.Answer, error) {
		close(began)
		<-ctx.Done()
		return httpapi.Answer{}, fmt.Errorf("asking the model: %w", ctx.Err())
	})
	conn := b.dial()
	_, _ = io.WriteString(conn, "POST /slow HTTP/1.1\r\nHost: open.example\r\nContent-Length: 15\r\n\r\n{\"message\":\"x\"}")
	<-began
	_ = conn.Close()
	if o := <-b.seen; o.Status != 499 || o.Code != "client_gone" {
		t.Errorf("observed %+v", o)
	}
	if logs := b.logs.String(); strings.Contains(logs, "ERROR") {
		t.Errorf("logged: %s", logs)
	}
}

func TestAKeptConnectionServesAfterItsDeadlines(t *testing.T) {
	b := newBench(t, httpapi.Options{BodyTimeout: 50 * time.Millisecond, WriteTimeout: 50 * time.Millisecond})
	conn := b.dial()
	lines := bufio.NewReader(conn)
	for range 3 {
		_, _ = io.WriteString(conn, "POST /chat HTTP/1.1\r\nHost: x\r\n"+bearerAcme+"\r\nContent-Length: 15\r\nExpect: 100-continue\r\n\r\n")
		if line, err := lines.ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") {
			t.Fatalf("%q, %v", line, err)
		}
		_, _ = lines.ReadString('\n')
		_, _ = io.WriteString(conn, `{"message":"x"}`)
		res, err := http.ReadResponse(lines, nil)
		if err != nil {
			t.Fatal(err)
		}
		if a := b.read(res); a.Status != 200 {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
		<-time.After(80 * time.Millisecond) // both deadlines of this request pass
	}
}

func TestAClientThatNeverReadsIsCutOff(t *testing.T) {
	ended := make(chan error, 1)
	b := streamServer(t, httpapi.Options{WriteTimeout: 200 * time.Millisecond, Ping: time.Hour}, func(_ context.Context, w *httpapi.EventWriter) {
		big := bytes.Repeat([]byte("x"), 64<<10)
		for w.Err() == nil {
			w.Data(big)
		}
		ended <- w.Err()
	})
	conn := b.dial()
	_, _ = io.WriteString(conn, streamRequest)
	select {
	case err := <-ended:
		if !errors.Is(err, httpapi.ErrClientStuck) {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("still writing")
	}
}

// zeros is an endless chunked body.
type zeros struct{ sent atomic.Int64 }

func (z *zeros) Read(p []byte) (int, error) {
	if z.sent.Load() > 1<<30 {
		return 0, io.EOF
	}
	for i := range p {
		p[i] = ' '
	}
	z.sent.Add(int64(len(p)))
	return len(p), nil
}

func TestAGigabyteIsRefusedWithoutReadingIt(t *testing.T) {
	b := newBench(t, httpapi.Options{})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for name, length := range map[string]int64{"chunked": -1, "by its length": 1 << 30} {
		body := &zeros{}
		r, err := http.NewRequestWithContext(t.Context(), "POST", b.url+"/upload", body)
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = length
		r.Header.Set("X-Api-Key", acmeKey)
		res, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if a := b.read(res); a.Status != 413 {
			t.Errorf("%s: %d", name, a.Status)
		}
		if body.sent.Load() > 64<<20 {
			t.Errorf("%s: %d bytes were taken", name, body.sent.Load())
		}
	}
	runtime.ReadMemStats(&after)
	if grown := int64(after.TotalAlloc - before.TotalAlloc); grown > 16<<20 {
		t.Errorf("%d bytes were allocated for a limit of 1 MiB", grown)
	}
}

func TestTooManyHeaders(t *testing.T) {
	b := newBench(t, httpapi.Options{})
	var request strings.Builder
	request.WriteString("POST /chat HTTP/1.1\r\nHost: x\r\n")
	for i := range 10_000 {
		fmt.Fprintf(&request, "X-%d: y\r\n", i)
	}
	if a := b.raw(request.String() + "\r\n"); a.Status != 431 {
		t.Errorf("status %d", a.Status)
	}
}

func TestNoCanaryInLogsWhateverIsSent(t *testing.T) {
	b := newBench(t, httpapi.Options{})
	for _, body := range []string{`{"message":"c4nary","fault":"panic"}`, `{"message":"c4nary"`, `{"c4nary":1,"c4nary":2}`, `{"message":["c4nary"]}`, `c4nary`} {
		for _, line := range []string{bearerAcme, "Authorization: Bearer c4nary-wrong", "X-Tenant-Id: c4nary\t"} {
			a := b.do("POST", "/chat?q=c4nary", body, line, "X-User-Id: c4nary@example.com", "Cookie: c4nary")
			if a.Status >= 400 && strings.Contains(a.Body, "c4nary") {
				t.Errorf("the error repeats what was sent: %s", a.Body)
			}
		}
	}
	if logs := b.logs.String(); strings.Contains(logs, "c4nary") || !strings.Contains(logs, "panicked") {
		t.Errorf("logs:\n%s", logs)
	}
}
