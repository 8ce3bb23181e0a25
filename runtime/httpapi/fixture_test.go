package httpapi_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

const (
	acmeKey    = "ce_c4nary_acme_0123456789abcdef"
	metricsKey = "ce_c4nary_metrics_456789abcdef"
	globexKey  = "ce_c4nary_globex_23456789abcdef"
)

type option func(*tenantconfig.Config)

func withKey(name, value string, scopes ...string) option {
	return func(c *tenantconfig.Config) {
		sum := sha256.Sum256([]byte(value))
		c.Auth.Mode = tenantconfig.AuthAPIKey
		c.Auth.Keys = append(c.Auth.Keys, tenantconfig.Key{
			Name: name, Scopes: scopes, Digests: []tenantconfig.Digest{{SHA256: hex.EncodeToString(sum[:])}},
		})
	}
}

func withOrigins(origins ...string) option {
	return func(c *tenantconfig.Config) { c.CORS.Origins = origins }
}

func withHosts(hosts ...string) option {
	return func(c *tenantconfig.Config) { c.Hosts = hosts }
}

func newTenant(t testing.TB, id string, options ...option) *tenancy.Tenant {
	t.Helper()
	c := &tenantconfig.Config{
		Version:  1,
		Tenant:   tenantconfig.Tenant{ID: id, Identity: "cluster/team/production/" + id, Environment: "production"},
		Server:   tenantconfig.Server{APIPort: 8080, MetricsPort: 9090},
		State:    tenantconfig.State{Driver: tenantconfig.StateMemory},
		Auth:     tenantconfig.Auth{Mode: tenantconfig.AuthNone},
		Upstream: tenantconfig.Upstream{Type: tenantconfig.UpstreamEmbedded},
		Limits:   tenantconfig.Limits{BodyBytes: 4096, MessageChars: 10_000},
		Sessions: tenantconfig.Sessions{RetentionDays: 30, MaxMessages: 1000},
	}
	for _, o := range options {
		o(c)
	}
	tenant, err := tenancy.NewTenant(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	return tenant
}

type chatRequest struct {
	Message string `json:"message"`
	Fault   string `json:"fault"`
}

func (r *chatRequest) Validate() []httpapi.Detail {
	if r.Message == "" {
		return []httpapi.Detail{{Path: "message", Message: "must not be empty"}}
	}
	return nil
}

// bench is a door with a few routes behind a real server on loopback.
type bench struct {
	t      testing.TB
	url    string
	door   *httpapi.Door
	server *httptest.Server
	logs   *lockedBuffer
	seen   chan httpapi.Observation
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func acmeAndGlobex(t testing.TB) []*tenancy.Tenant {
	return []*tenancy.Tenant{
		newTenant(t, "acme", withHosts("acme.example"), withOrigins("https://app.example", "https://*.preview.example:8443"),
			withKey("default", acmeKey), withKey("metrics", metricsKey, "metrics:read")),
		newTenant(t, "globex", withHosts("globex.example"), withKey("default", globexKey)),
		newTenant(t, "open", withHosts("open.example"), withOrigins("https://app.example")),
	}
}

func newBench(t testing.TB, opts httpapi.Options, tenants ...*tenancy.Tenant) *bench {
	t.Helper()
	if len(tenants) == 0 {
		tenants = acmeAndGlobex(t)
	}
	dir, err := tenancy.NewDirectory(tenants...)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, logs: &lockedBuffer{}, seen: make(chan httpapi.Observation, 1024)}
	opts.Logger = slog.New(slog.NewJSONHandler(b.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	opts.Observe = func(o httpapi.Observation) { b.seen <- o }
	b.door = httpapi.NewDoor(dir, opts)
	httpapi.Handle(b.door, "POST", "/chat", httpapi.Route{}, chat)
	httpapi.Handle(b.door, "GET", "/chat/{sessionId}/history", httpapi.Route{}, func(_ context.Context, c httpapi.Call, _ struct{}) (httpapi.Answer, error) {
		return httpapi.Answer{Raw: []string{c.Path("sessionId"), c.Query.Get("limit")}}, nil
	})
	httpapi.Handle(b.door, "DELETE", "/chat/{sessionId}", httpapi.Route{}, func(context.Context, httpapi.Call, struct{}) (httpapi.Answer, error) {
		return httpapi.Answer{Status: http.StatusAccepted, Data: "gone"}, nil
	})
	httpapi.Handle(b.door, "GET", "/metrics/cost", httpapi.Route{NeedsScope: "metrics:read"}, func(context.Context, httpapi.Call, struct{}) (httpapi.Answer, error) {
		return httpapi.Answer{Data: 1}, nil
	})
	httpapi.Handle(b.door, "GET", "/openapi.json", httpapi.Route{Open: true}, func(_ context.Context, c httpapi.Call, _ struct{}) (httpapi.Answer, error) {
		return httpapi.Answer{Raw: map[string]string{"tenant": c.Tenant.ID.String()}}, nil
	})
	httpapi.Handle(b.door, "POST", "/upload", httpapi.Route{MaxBody: func(*tenantconfig.Config) int64 { return 1 << 20 }}, func(_ context.Context, _ httpapi.Call, r map[string]string) (httpapi.Answer, error) {
		return httpapi.Answer{Data: len(r["data"])}, nil
	})
	b.server = httptest.NewUnstartedServer(nil)
	b.server.Config = httpapi.Server(b.door, opts.Logger)
	b.server.Start()
	b.url = b.server.URL
	t.Cleanup(b.server.Close)
	return b
}

// chat answers who was heard, or fails as the request wants.
func chat(_ context.Context, c httpapi.Call, r chatRequest) (httpapi.Answer, error) {
	c.Out.Set("X-Model-Id", "small")
	switch r.Fault {
	case "panic":
		panic("c4nary: " + r.Message)
	case "nil":
		var t *tenancy.Tenant
		_ = t.Config.Models
	case "abort":
		panic(http.ErrAbortHandler)
	case "internal":
		return httpapi.Answer{}, errors.New("dialing 10.0.0.1: refused")
	case "store":
		return httpapi.Answer{}, fmt.Errorf("reading the session: %w", storage.ErrUnavailable)
	case "deadline":
		return httpapi.Answer{}, fmt.Errorf("asking: %w", context.DeadlineExceeded)
	case "unwritable":
		return httpapi.Answer{Data: func() {}}, nil
	case "limited":
		return httpapi.Answer{}, fmt.Errorf("admitting: %w", &httpapi.Error{Status: 429, Code: "rate_limited", Message: "wait", RetryAfter: 1500 * time.Millisecond})
	}
	return httpapi.Answer{Data: map[string]string{"tenant": c.Tenant.ID.String(), "caller": c.Caller.ID(), "message": r.Message}}, nil
}

// answer is what came back, in the envelope or not.
type answer struct {
	Status  int
	Header  http.Header
	Body    string
	OK      bool            `json:"ok"`
	Data    json.RawMessage `json:"data"`
	TraceID string          `json:"traceId"`
	Error   struct {
		Code    string           `json:"code"`
		Message string           `json:"message"`
		Details []httpapi.Detail `json:"details"`
	} `json:"error"`
}

// do sends one request; lines are headers as "Name: value".
func (b *bench) do(method, path, body string, lines ...string) answer {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		if name == "Host" {
			r.Host = value
			continue
		}
		r.Header.Add(name, value)
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.read(res)
}

func (b *bench) read(res *http.Response) answer {
	b.t.Helper()
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	a := answer{Status: res.StatusCode, Header: res.Header, Body: string(raw)}
	if strings.HasPrefix(a.Body, "{") {
		if err := json.Unmarshal(raw, &a); err != nil {
			b.t.Fatalf("%v: %s", err, raw)
		}
	}
	return a
}

// raw sends bytes as they are and reads one response.
func (b *bench) raw(request string) answer {
	b.t.Helper()
	conn, err := (&net.Dialer{}).DialContext(b.t.Context(), "tcp", b.server.Listener.Addr().String())
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, request); err != nil {
		b.t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		b.t.Fatalf("%q: %v", request, err)
	}
	return b.read(res)
}

const bearerAcme = "Authorization: Bearer " + acmeKey
