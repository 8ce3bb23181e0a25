package httpapi_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
)

func handlerBench(t *testing.T, opts httpapi.Options, serve func(c httpapi.Call, w http.ResponseWriter, r *http.Request)) *bench {
	b := newBench(t, opts)
	httpapi.HandleHTTP(b.door, "/mcp", httpapi.Route{NeedsScope: "metrics:read", MaxBody: func(*tenantconfig.Config) int64 { return 1000 }}, func(c httpapi.Call) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serve(c, w, r) })
	})
	return b
}

const bearerMetrics = "Authorization: Bearer " + metricsKey

func TestAnotherHandlerServesBehindTheDoor(t *testing.T) {
	b := handlerBench(t, httpapi.Options{}, func(c httpapi.Call, w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var large *http.MaxBytesError
		switch {
		case errors.As(err, &large):
			http.Error(w, "large", http.StatusRequestEntityTooLarge)
		case string(body) == "panic":
			panic("c4nary")
		case string(body) == "panic late":
			_, _ = io.WriteString(w, "some")
			panic("c4nary")
		case string(body) != "silent":
			w.WriteHeader(http.StatusAccepted)
			_, _ = fmt.Fprintf(w, "%s %s %s %s", r.Method, c.Tenant.ID, c.Caller.ID(), body)
		}
	})
	for name, tc := range map[string]struct {
		method, body, key string
		status            int
		want              string
	}{
		"get":         {"GET", "", bearerMetrics, 202, "GET acme key:metrics "},
		"post":        {"POST", "x", bearerMetrics, 202, "POST acme key:metrics x"},
		"delete":      {"DELETE", "", bearerMetrics, 202, "DELETE acme key:metrics "},
		"other":       {"PUT", "", bearerMetrics, 405, ""},
		"no scope":    {"POST", "x", bearerAcme, 403, ""},
		"no key":      {"POST", "x", "X-Tenant-Id: acme", 401, ""},
		"silent":      {"POST", "silent", bearerMetrics, 200, ""},
		"large":       {"POST", strings.Repeat("x", 1001), bearerMetrics, 413, ""},
		"panic":       {"POST", "panic", bearerMetrics, 500, ""},
		"with a body": {"GET", "y", bearerMetrics, 202, "GET acme key:metrics y"},
	} {
		t.Run(name, func(t *testing.T) {
			a := b.do(tc.method, "/mcp", tc.body, tc.key)
			if a.Status != tc.status || tc.want != "" && a.Body != tc.want || a.Header.Get("X-Trace-Id") == "" || a.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%d %q %v", a.Status, a.Body, a.Header)
			}
			if o := <-b.seen; o.Status != tc.status || tc.want != "" && (o.Route != tc.method+" /mcp" || o.Bytes != int64(len(tc.want))) {
				t.Errorf("observed %+v", o)
			}
		})
	}
	r, err := http.NewRequestWithContext(t.Context(), "POST", b.url+"/mcp", io.LimitReader(blanks{}, 1001))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Api-Key", metricsKey)
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	if a := b.read(res); a.Status != 413 {
		t.Errorf("chunked over the limit: %d", a.Status)
	}
	<-b.seen
	conn := b.dial()
	_, _ = io.WriteString(conn, "POST /mcp HTTP/1.1\r\nHost: x\r\n"+bearerMetrics+"\r\nContent-Length: 10\r\n\r\npanic late")
	if half, err := http.ReadResponse(bufio.NewReader(conn), nil); err == nil {
		defer func() { _ = half.Body.Close() }()
		if body, err := io.ReadAll(half.Body); err == nil {
			t.Errorf("half an answer looks whole: %q", body)
		}
	}
	if logs := b.logs.String(); strings.Contains(logs, "c4nary") || !strings.Contains(logs, "panicked") {
		t.Errorf("logs:\n%s", logs)
	}
}

// A stream of another handler lives longer than the deadlines of single writes, and ends
// when its client leaves, while it is silent.
func TestAnotherHandlerStreams(t *testing.T) {
	ended := make(chan error, 1)
	b := handlerBench(t, httpapi.Options{BodyTimeout: 50 * time.Millisecond, WriteTimeout: 50 * time.Millisecond}, func(_ httpapi.Call, w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			<-time.After(60 * time.Millisecond) // both deadlines pass
			_, _ = fmt.Fprintf(w, "data: %d\n\n", i)
			if err := http.NewResponseController(w).Flush(); err != nil {
				ended <- err
				return
			}
		}
		<-r.Context().Done()
		ended <- context.Cause(r.Context())
	})
	conn := b.dial()
	_, _ = io.WriteString(conn, "POST /mcp HTTP/1.1\r\nHost: x\r\n"+bearerMetrics+"\r\nContent-Length: 1\r\n\r\nx")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	lines := bufio.NewReader(res.Body)
	for i := range 3 {
		if line, err := lines.ReadString('\n'); err != nil || line != fmt.Sprintf("data: %d\n", i) {
			t.Fatalf("%q, %v", line, err)
		}
		_, _ = lines.ReadString('\n')
	}
	_ = conn.Close()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	if o := <-b.seen; !o.Stream || o.Status != 499 {
		t.Errorf("observed %+v", o)
	}
}

func TestAClientOfAnotherHandlerThatReadsNothing(t *testing.T) {
	ended := make(chan struct{})
	b := handlerBench(t, httpapi.Options{WriteTimeout: 200 * time.Millisecond}, func(_ httpapi.Call, w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			_, _ = w.Write(make([]byte, 64<<10))
		}
		close(ended)
	})
	conn := b.dial()
	_, _ = io.WriteString(conn, "GET /mcp HTTP/1.1\r\nHost: x\r\n"+bearerMetrics+"\r\n\r\n")
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("still writing")
	}
}

func TestRoutesAreListed(t *testing.T) {
	b := handlerBench(t, httpapi.Options{}, func(httpapi.Call, http.ResponseWriter, *http.Request) {})
	var got []string
	for _, r := range b.door.Routes() {
		line := r.Method + " " + r.Pattern
		if r.Route.Open {
			line += " open"
		}
		got = append(got, line+" "+r.Route.NeedsScope)
	}
	want := []string{
		"POST /chat ", "DELETE /chat/{sessionId} ", "GET /chat/{sessionId}/history ",
		"DELETE /mcp metrics:read", "GET /mcp metrics:read", "POST /mcp metrics:read",
		"GET /metrics/cost metrics:read", "GET /openapi.json open ", "POST /upload ",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
}

// An id with slashes reaches its handler as it is, as long as no other server could read
// the path as another one.
func TestSlashesInAnIDReachTheHandler(t *testing.T) {
	b := newBench(t, httpapi.Options{})
	httpapi.Handle(b.door, "GET", "/documents/{docId}", httpapi.Route{}, func(_ context.Context, c httpapi.Call, _ struct{}) (httpapi.Answer, error) {
		return httpapi.Answer{Raw: c.Path("docId")}, nil
	})
	for path, want := range map[string]string{
		"a%2Fb": `"a/b"`, "%2Fa": `"/a"`, "a%2F": `"a/"`, "a%2F%2Fb": `"a//b"`, "a%2fb%22%20%C3%BC": `"a/b\" ü"`, "a%5Cb": `"a\\b"`,
		"a..b": `"a..b"`, "%2E%2E%2Ea": `"...a"`, "a%252Fb": `"a%2Fb"`, "a%2Fb/": `"a/b"`,
		"a%2F..%2Fb": "", "..": "", "%2e": "", "a/b": "", "..%5Cb": "",
	} {
		a := b.do("GET", "/documents/"+path, "", bearerAcme)
		if want == "" && a.Status != 404 || want != "" && a.Body != want {
			t.Errorf("%s: %d %s", path, a.Status, a.Body)
		}
	}
}
