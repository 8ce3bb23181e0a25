package server_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
	"github.com/crispy-enigma/crispy-enigma/runtime/server"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/telemetry"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// The shared PostgreSQL server ends with the process, and so do the ends of connections
// that a proxy swallowed.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/crispy-enigma/crispy-enigma/hack/servers.(*PostgresServer).run.func1"),
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*NoopToxic).Pipe"))
}

// Keys of the test tenant. All hold "canary", as do the messages: no log and no
// metric may.
const (
	keyMain     = "ce_c4nary-main-0123456789abcdef"
	keyOther    = "ce_c4nary-other-0123456789abcdef"
	keyAll      = "ce_c4nary-all-0123456789abcdef"
	keyUsers    = "ce_c4nary-users-0123456789abcdef"
	statusToken = "c4nary-status-token-0123456789"
	upToken     = "c4nary-upstream-token-0123456789"

	sessionA = "3f0e8a52-1c6b-4f7e-9d0a-5b1f2c3d4e5f"
	sessionB = "aaaaaaaa-1c6b-4f7e-9d0a-5b1f2c3d4e5f"
)

// bed is a whole server on loopback, in front of a fake upstream.
type bed struct {
	t        *testing.T
	up       *aifake.Server
	dir      string
	cfg      *tenantconfig.Config
	url, ops string
	logs     *lockedBuffer
	client   *http.Client
	// cancel is SIGTERM; ended gives what Run returned.
	cancel context.CancelFunc
	ended  chan error
	// metrics as they were when the server was stopped.
	metrics string
}

type setup struct {
	cfg     func(*tenantconfig.Config)
	store   storage.Store
	options func(*server.Options)
	files   map[string]string // beside the document
}

// newBed serves until the test ends, and then looks for canaries.
func newBed(t *testing.T, up *aifake.Server, s setup) *bed {
	t.Helper()
	b := &bed{t: t, up: up, dir: t.TempDir(), logs: &lockedBuffer{}, ended: make(chan error, 1), client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	b.cfg = document(up.URL)
	if s.cfg != nil {
		s.cfg(b.cfg)
	}
	b.write("upstream-token", upToken)
	b.write("status-token", statusToken)
	for name, text := range s.files {
		b.write(name, text)
	}
	b.writeDocument()
	tenant, err := tenancy.Load(b.dir)
	if err != nil {
		t.Fatal(err)
	}
	o := server.Options{
		Tenant: tenant, Dir: b.dir, APIAddress: "127.0.0.1:0", MetricsAddress: "127.0.0.1:0", LameDuck: -1,
		Build: "test", Logger: telemetry.NewLogger(b.logs, slog.LevelDebug), Store: s.store,
	}
	if s.options != nil {
		s.options(&o)
	}
	srv, err := server.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	b.url, b.ops = "http://"+srv.APIAddr().String(), "http://"+srv.MetricsAddr().String()
	b.client.Transport = described(t, srv.APIAddr().String(), b.client.Transport)
	ctx, stop := context.WithCancel(context.Background())
	b.cancel = stop
	go func() { b.ended <- srv.Run(ctx) }()
	t.Cleanup(b.close)
	return b
}

// stop is SIGTERM.
func (b *bed) stop() {
	b.metrics = b.scrape()
	b.cancel()
}

func (b *bed) close() {
	if b.metrics == "" {
		b.stop()
	}
	b.client.CloseIdleConnections()
	select {
	case err := <-b.ended:
		if err != nil {
			b.t.Errorf("the server ended with %v", err)
		}
	case <-time.After(20 * time.Second):
		b.t.Error("the server didn't end")
	}
	for what, text := range map[string]string{"logs": b.logs.String(), "metrics": b.metrics} {
		if i := strings.Index(text, "c4nary"); i >= 0 {
			b.t.Errorf("a c4nary in the %s: …%s…", what, text[max(0, i-200):min(len(text), i+50)])
		}
	}
}

func document(upstream string) *tenantconfig.Config {
	key := func(name, value string, scopes ...string) tenantconfig.Key {
		sum := sha256.Sum256([]byte(value))
		return tenantconfig.Key{Name: name, Digests: []tenantconfig.Digest{{SHA256: hex.EncodeToString(sum[:])}}, Scopes: scopes}
	}
	users := key("users", keyUsers)
	users.TrustUserHeader = true
	return &tenantconfig.Config{
		Version:  1,
		Tenant:   tenantconfig.Tenant{ID: "acme", Identity: "o/n/development/acme", Environment: "development"},
		Server:   tenantconfig.Server{APIPort: 8080, MetricsPort: 9090, DrainSeconds: 5},
		State:    tenantconfig.State{Driver: tenantconfig.StateMemory},
		Auth:     tenantconfig.Auth{Mode: tenantconfig.AuthAPIKey, Keys: []tenantconfig.Key{key("main", keyMain), key("other", keyOther), key("all", keyAll, "sessions:all"), users}},
		Upstream: tenantconfig.Upstream{Type: tenantconfig.UpstreamOpenAI, BaseURL: upstream, CredentialsFile: "upstream-token"},
		Models:   tenantconfig.Models{Chat: "big", Fallbacks: []string{"small"}, Prices: []tenantconfig.Price{{Model: "big", InputPerMillion: 1_000_000, OutputPerMillion: 2_000_000}}},
		Prompt:   tenantconfig.Prompt{System: "You help {{company}}.", Variables: map[string]string{"company": "Acme"}, MaxTokens: 500},
		Limits:   tenantconfig.Limits{BodyBytes: 1 << 20, MessageChars: 10_000},
		Sessions: tenantconfig.Sessions{RetentionDays: 30, MaxMessages: 1000},
	}
}

func (b *bed) write(name, text string) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// writeDocument puts the document in place as a whole.
func (b *bed) writeDocument() {
	b.t.Helper()
	text, err := tenantconfig.Marshal(b.cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	b.write(".next", string(text))
	if err := os.Rename(filepath.Join(b.dir, ".next"), filepath.Join(b.dir, tenantconfig.DocumentFile)); err != nil {
		b.t.Fatal(err)
	}
}

// reload changes the document and waits until it is in force.
func (b *bed) reload(change func(*tenantconfig.Config)) {
	b.t.Helper()
	change(b.cfg)
	want := tenantconfig.DigestOf(b.cfg)
	b.writeDocument()
	b.eventually("the new document to be in force", func() bool { return b.status().ConfigDigest == want })
}

// eventually asks until it is so: for what another goroutine does in its own time.
func (b *bed) eventually(what string, so func() bool) {
	b.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !so() {
		if time.Now().After(deadline) {
			b.t.Fatalf("waited 10 s for %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (b *bed) status() (st tenantconfig.Status) {
	b.t.Helper()
	a := b.do(call{method: http.MethodGet, url: b.ops + "/status", header: map[string]string{"Authorization": "Bearer " + statusToken}})
	if err := json.Unmarshal(a.body, &st); err != nil {
		b.t.Fatalf("status %d %s: %v", a.status, a.body, err)
	}
	return st
}

func (b *bed) scrape() string {
	return string(b.do(call{method: http.MethodGet, url: b.ops + "/metrics"}).body)
}

type call struct {
	method, path string
	url          string // instead of the API's
	key          string
	header       map[string]string
	body         any // a string as it is, else as JSON
	ctx          context.Context
}

type answer struct {
	status int
	header http.Header
	body   []byte
}

// open sends a call and gives the response while its body is still coming.
func (b *bed) open(c call) *http.Response {
	b.t.Helper()
	resp, err := b.try(c)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp
}

func (b *bed) try(c call) (*http.Response, error) {
	if c.url == "" {
		c.url = b.url + c.path
	}
	if c.method == "" {
		c.method = http.MethodPost
	}
	if c.ctx == nil {
		c.ctx = context.Background()
	}
	var body io.Reader
	switch v := c.body.(type) {
	case nil:
	case string:
		body = strings.NewReader(v)
	default:
		text, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(c.ctx, c.method, c.url, body)
	if err != nil {
		return nil, err
	}
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	for name, value := range c.header {
		req.Header.Set(name, value)
	}
	return b.client.Do(req)
}

func (b *bed) do(c call) answer {
	b.t.Helper()
	resp := b.open(c)
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Errorf("%s %s: reading the answer: %v", c.method, c.path, err)
	}
	return answer{resp.StatusCode, resp.Header, text}
}

// chat is a question of keyMain in sessionA.
func chat(message string, more ...any) call {
	body := map[string]any{"sessionId": sessionA, "message": message}
	for i := 0; i+1 < len(more); i += 2 {
		body[more[i].(string)] = more[i+1]
	}
	return call{path: "/chat", key: keyMain, body: body}
}

// code of the envelope's error.
func (a answer) code() string {
	var e struct {
		Error struct{ Code string }
	}
	_ = json.Unmarshal(a.body, &e)
	return e.Error.Code
}

// event is one server-sent event.
type event struct{ name, data string }

// readEvents reads until the stream ends; comments are left out.
func readEvents(r io.Reader) (events []event, err error) {
	var e event
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		switch {
		case line == "" && e != event{}:
			events = append(events, e)
			e = event{}
		case strings.HasPrefix(line, "event: "):
			e.name = line[7:]
		case strings.HasPrefix(line, "data: "):
			e.data += line[6:]
		}
	}
	return events, lines.Err()
}

// streamed is what a client makes of a stream.
type streamed struct {
	text, failed string // the tokens joined; the error's code
	done         struct {
		Done  bool
		Error string
		Usage struct {
			ModelID                                     string
			TokensIn, TokensOut, TotalTokens, LatencyMs int
			Estimated                                   bool
		}
		Sources []any
	}
	errorEvent struct {
		Code, Message, TraceID string
		RetryAfterMs           int
	}
	tokens int
}

// sum checks the events' order and form: tokens, then perhaps one error, then done.
func sum(t *testing.T, events []event) (s streamed) {
	t.Helper()
	for i, e := range events {
		switch e.name {
		case "":
			var token struct{ SessionID, Role, Content, TenantID, TraceID string }
			if err := json.Unmarshal([]byte(e.data), &token); err != nil || token.Role != "assistant" || token.TenantID != "acme" || token.TraceID == "" || s.failed != "" {
				t.Errorf("event %d: %q (%v)", i, e.data, err)
			}
			s.text += token.Content
			s.tokens++
		case "error":
			if err := json.Unmarshal([]byte(e.data), &s.errorEvent); err != nil || i != len(events)-2 || s.errorEvent.TraceID == "" || s.errorEvent.Message == "" {
				t.Errorf("event %d: %q (%v)", i, e.data, err)
			}
			s.failed = s.errorEvent.Code
		case "done":
			if err := json.Unmarshal([]byte(e.data), &s.done); err != nil || i != len(events)-1 || !s.done.Done || s.done.Error != s.failed {
				t.Errorf("event %d: %q (%v)", i, e.data, err)
			}
		default:
			t.Errorf("event %d has the name %q", i, e.name)
		}
	}
	if !s.done.Done {
		t.Errorf("no done event in %d events", len(events))
	}
	return s
}

// stream asks and reads the whole stream.
func (b *bed) stream(c call) streamed {
	b.t.Helper()
	resp := b.open(c)
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		text, _ := io.ReadAll(resp.Body)
		b.t.Fatalf("status %d, %s: %s", resp.StatusCode, resp.Header.Get("Content-Type"), text)
	}
	events, err := readEvents(resp.Body)
	if err != nil {
		b.t.Errorf("reading a stream: %v", err)
	}
	return sum(b.t, events)
}

type said struct {
	Role, Content string
	TokenCount    int
	Partial       bool
}

// history of a session, newest first.
func (b *bed) history(key, session string) (out []said) {
	b.t.Helper()
	a := b.do(call{method: http.MethodGet, path: "/chat/" + session + "/history", key: key})
	if err := json.Unmarshal(a.body, &out); err != nil {
		b.t.Fatalf("history %d %s: %v", a.status, a.body, err)
	}
	return out
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
