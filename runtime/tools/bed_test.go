package tools_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/chatwire"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/openai"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/limits"
	"github.com/crispy-enigma/crispy-enigma/runtime/outbound"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/memory"
	"github.com/crispy-enigma/crispy-enigma/runtime/telemetry"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
	"github.com/crispy-enigma/crispy-enigma/runtime/tools"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Keys of the test tenant.
const (
	keyMain    = "ce_c4nary_main_0123456789abcdef"
	keyFew     = "ce_c4nary_few_0123456789abcdef"
	keyNone    = "ce_c4nary_none_0123456789abcdef"
	keyReader  = "ce_c4nary_reader_0123456789abcd"
	keyMetrics = "ce_c4nary_metrics_456789abcdef"
	keyVouches = "ce_c4nary_vouch_0123456789abcdef"
)

type config = tenantconfig.Config

type option func(*tenantconfig.Config)

func withTools(bend func(*tenantconfig.Tools)) option {
	return func(c *tenantconfig.Config) { bend(&c.Tools) }
}

func newTenant(t testing.TB, files map[string]string, options ...option) *tenancy.Tenant {
	t.Helper()
	key := func(name, value string, scopes ...string) tenantconfig.Key {
		sum := sha256.Sum256([]byte(value))
		return tenantconfig.Key{Name: name, Scopes: scopes, Digests: []tenantconfig.Digest{{SHA256: hex.EncodeToString(sum[:])}}}
	}
	vouches := key("vouches", keyVouches)
	vouches.TrustUserHeader = true
	c := &tenantconfig.Config{
		Version: 1,
		Tenant:  tenantconfig.Tenant{ID: "acme", Identity: "cluster/team/production/acme", Environment: "production"},
		Server:  tenantconfig.Server{APIPort: 8080, MetricsPort: 9090},
		State:   tenantconfig.State{Driver: tenantconfig.StateMemory},
		Auth: tenantconfig.Auth{Mode: tenantconfig.AuthAPIKey, Keys: []tenantconfig.Key{
			key("main", keyMain), key("few", keyFew, "tools:tag_chunk_docs", "tools:shop.*"), key("none", keyNone, "tools:none"),
			key("reader", keyReader, "documents:read"), key("metrics", keyMetrics, "metrics:read"), vouches,
		}},
		Upstream:  tenantconfig.Upstream{Type: tenantconfig.UpstreamEmbedded},
		Models:    tenantconfig.Models{Chat: "builtin/extractive"},
		Limits:    tenantconfig.Limits{BodyBytes: 1 << 20, MessageChars: 10_000},
		Sessions:  tenantconfig.Sessions{RetentionDays: 30, MaxMessages: 1000},
		Documents: tenantconfig.Documents{Store: tenantconfig.DocumentsState},
		Tools:     tenantconfig.Tools{Enabled: true},
	}
	for _, o := range options {
		o(c)
	}
	tenant, err := tenancy.NewTenant(c, files)
	if err != nil {
		t.Fatal(err)
	}
	return tenant
}

// bed is the feature behind a door, with real stores and limits.
type bed struct {
	tb      testing.TB
	feature *tools.Feature
	tenant  *tenancy.Tenant
	store   *memory.Store
	metrics *telemetry.Metrics
	docs    *shelf
	logs    *lockedBuffer
	url     string
	up      *aifake.Server
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

// models is one upstream for every tenant.
type models struct{ chatter ai.Chatter }

func (m models) Chatter(*tenancy.Tenant) ai.Chatter { return m.chatter }

// newBed serves a tenant until the test ends. up may be nil: then no model can be asked.
func newBed(t testing.TB, up *aifake.Server, tenant *tenancy.Tenant) *bed {
	t.Helper()
	b := &bed{tb: t, tenant: tenant, store: memory.New(memory.Options{}), metrics: telemetry.NewMetrics("test"), docs: &shelf{}, logs: &lockedBuffer{}, up: up}
	logger := telemetry.NewLogger(b.logs, slog.LevelDebug)
	m := models{}
	if up != nil {
		transport := chatwire.NewTransport(chatwire.TransportOptions{})
		t.Cleanup(transport.CloseIdleConnections)
		driver, err := openai.New(openai.Options{BaseURL: up.URL, Transport: transport})
		if err != nil {
			t.Fatal(err)
		}
		m.chatter = driver
	}
	b.feature = tools.New(tools.Needs{
		Gate: limits.New(b.store.Windows(), b.store.Budgets(), limits.Options{}), Models: m,
		Recorder: telemetry.NewRecorder(b.store.Usage(), b.metrics, logger, nil), Meter: b.metrics, Estimator: &ai.Estimator{},
		Audit: b.store.Audit(), Usage: b.store.Usage(), Chunker: paragraphs, Logger: logger, Documents: b.docs,
		Outbound: outbound.Options{AllowLoopback: true},
	})
	t.Cleanup(b.feature.Close)
	dir, err := tenancy.NewDirectory(tenant)
	if err != nil {
		t.Fatal(err)
	}
	door := httpapi.NewDoor(dir, httpapi.Options{Logger: logger})
	b.feature.Mount(door)
	b.feature.Apply(tenant)
	srv := httptest.NewServer(door)
	t.Cleanup(srv.Close)
	b.url = srv.URL
	return b
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	OK     bool            `json:"ok"`
	Data   json.RawMessage `json:"data"`
	Error  struct {
		Code    string           `json:"code"`
		Message string           `json:"message"`
		Details []httpapi.Detail `json:"details"`
	} `json:"error"`
}

func (b *bed) do(method, path, key, body string) answer {
	b.tb.Helper()
	req, err := http.NewRequestWithContext(b.tb.Context(), method, b.url+path, strings.NewReader(body))
	if err != nil {
		b.tb.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.tb.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		b.tb.Fatal(err)
	}
	a := answer{status: resp.StatusCode, header: resp.Header}
	if err := json.Unmarshal(raw, &a); err != nil {
		b.tb.Fatalf("%s %s: status %d, body %q: %v", method, path, resp.StatusCode, raw, err)
	}
	return a
}

// execute runs a tool over HTTP.
func (b *bed) execute(key, tool, params string) answer {
	b.tb.Helper()
	body := `{"tool_name":` + quote(tool)
	if params != "" {
		body += `,"params":` + params
	}
	return b.do("POST", "/tools/execute", key, body+"}")
}

// ran is execute's data, when it must have gone well.
func (b *bed) ran(tool, params string, into any) {
	b.tb.Helper()
	a := b.execute(keyMain, tool, params)
	var e struct {
		Success bool            `json:"success"`
		Data    json.RawMessage `json:"data"`
	}
	if a.status != http.StatusOK || json.Unmarshal(a.Data, &e) != nil || !e.Success {
		b.tb.Fatalf("%s: %d %+v", tool, a.status, a.Error)
	}
	if err := json.Unmarshal(e.Data, into); err != nil {
		b.tb.Fatalf("%s: data %s: %v", tool, e.Data, err)
	}
}

// fails expects a code and its status.
func (b *bed) fails(key, tool, params string, status int, code string) answer {
	b.tb.Helper()
	a := b.execute(key, tool, params)
	if a.status != status || a.Error.Code != code || a.OK {
		b.tb.Errorf("%s(%.60s): %d %s %q, want %d %s", tool, params, a.status, a.Error.Code, a.Error.Message, status, code)
	}
	return a
}

func (b *bed) call(key string) httpapi.Call {
	for _, k := range b.tenant.Config.Auth.Keys {
		sum := sha256.Sum256([]byte(key))
		if k.Digests[0].SHA256 == hex.EncodeToString(sum[:]) {
			return httpapi.Call{Tenant: b.tenant, Caller: tenancy.Caller{Key: k.Name, Scopes: k.Scopes}, TraceID: "trace", Out: http.Header{}}
		}
	}
	b.tb.Fatal("no such key")
	return httpapi.Call{}
}

func quote(s string) string {
	out, _ := json.Marshal(s)
	return string(out)
}

// paragraphs is a chunker that cuts at blank lines, and long ones anywhere.
func paragraphs(text string, most int) ([]tools.Piece, error) {
	var pieces []tools.Piece
	at := 0
	for p := range strings.SplitSeq(text, "\n\n") {
		for r := []rune(p); len(r) > 0; {
			n := min(len(r), most)
			pieces = append(pieces, tools.Piece{Text: string(r[:n]), Start: at, End: at + n})
			at, r = at+n, r[n:]
		}
		at += 2
	}
	return pieces, nil
}

// within waits for something that another goroutine does.
func within(t testing.TB, what string, is func() bool) {
	t.Helper()
	ctx, done := context.WithTimeout(t.Context(), 10*time.Second)
	defer done()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("it didn't come to be: " + what)
		}
	}
}

// promptly does something until it has once taken no longer than bound, at most ten
// times, and gives the shortest time: a machine that is busy delays anything now and
// then, code that is too slow is so every time.
func promptly(bound time.Duration, do func()) time.Duration {
	best := time.Duration(1<<63 - 1)
	for range 10 {
		began := time.Now()
		do()
		if best = min(best, time.Since(began)); best <= bound {
			break
		}
	}
	return best
}
