package mcpapi_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"go.uber.org/goleak"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/limits"
	"github.com/crispy-enigma/crispy-enigma/runtime/mcpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/memory"
	"github.com/crispy-enigma/crispy-enigma/runtime/telemetry"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
	"github.com/crispy-enigma/crispy-enigma/runtime/turn"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	keyMain  = "ce_c4nary_main_0123456789abcdef"
	keyOther = "ce_c4nary_other_0123456789abcde"
)

// box is a toolbox in which each key of the tenant has a tool of its own.
type box struct {
	hang  chan struct{}
	began chan struct{}
	ended chan struct{}
}

func (b *box) Tools(_ context.Context, c httpapi.Call) []turn.Tool {
	tool := func(name string, writes bool) turn.Tool {
		return turn.Tool{Tool: ai.Tool{Name: name, Description: "d", Parameters: json.RawMessage(`{"type":"object","properties":{"a":{"type":"integer"}}}`)}, Writes: writes}
	}
	return []turn.Tool{tool("of_"+c.Caller.Key, false), tool("write", true)}
}

func (b *box) Run(ctx context.Context, c httpapi.Call, name string, params json.RawMessage) turn.Result {
	switch name {
	case "of_" + c.Caller.Key:
		return turn.Result{Data: map[string]any{"params": params, "key": c.Caller.Key}, Content: "ran " + c.Caller.Key}
	case "text":
		return turn.Result{Data: "plain", Content: "plain"}
	case "list":
		return turn.Result{Data: []any{1}, Content: "[1]"}
	case "fails":
		return turn.Result{Code: "EXECUTION_ERROR", Message: "the service answered with status 500"}
	case "panics":
		panic("c4nary in a panic")
	case "hangs":
		close(b.began)
		select {
		case <-ctx.Done():
		case <-b.hang:
		}
		close(b.ended)
		return turn.Result{Content: "done", Data: "done"}
	}
	return turn.Result{Code: "TOOL_NOT_FOUND", Message: "there is no tool of this name"}
}

type bed struct {
	t      *testing.T
	url    string
	store  *memory.Store
	tenant *tenancy.Tenant
	logs   *lockedBuffer
	box    *box
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

func newBed(t *testing.T, bend func(*tenantconfig.Config)) *bed {
	t.Helper()
	key := func(name, value string) tenantconfig.Key {
		sum := sha256.Sum256([]byte(value))
		return tenantconfig.Key{Name: name, Digests: []tenantconfig.Digest{{SHA256: hex.EncodeToString(sum[:])}}}
	}
	c := &tenantconfig.Config{
		Version: 1, Tenant: tenantconfig.Tenant{ID: "acme", Identity: "c/t/production/acme", Environment: "production"},
		Server: tenantconfig.Server{APIPort: 8080, MetricsPort: 9090}, State: tenantconfig.State{Driver: tenantconfig.StateMemory},
		Auth:     tenantconfig.Auth{Mode: tenantconfig.AuthAPIKey, Keys: []tenantconfig.Key{key("main", keyMain), key("other", keyOther)}},
		Upstream: tenantconfig.Upstream{Type: tenantconfig.UpstreamEmbedded}, Models: tenantconfig.Models{Chat: "builtin/extractive"},
		Limits:   tenantconfig.Limits{BodyBytes: 1 << 20, MessageChars: 10_000},
		Sessions: tenantconfig.Sessions{RetentionDays: 30, MaxMessages: 100}, Documents: tenantconfig.Documents{Store: tenantconfig.DocumentsState},
		Tools: tenantconfig.Tools{Enabled: true}, CORS: tenantconfig.CORS{Origins: []string{"https://app.example"}}, Hosts: []string{"acme.example"},
	}
	if bend != nil {
		bend(c)
	}
	tenant, err := tenancy.NewTenant(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &bed{t: t, store: memory.New(memory.Options{}), tenant: tenant, logs: &lockedBuffer{}, box: &box{hang: make(chan struct{}), began: make(chan struct{}), ended: make(chan struct{})}}
	dir, err := tenancy.NewDirectory(tenant)
	if err != nil {
		t.Fatal(err)
	}
	logger := telemetry.NewLogger(b.logs, slog.LevelDebug)
	door := httpapi.NewDoor(dir, httpapi.Options{Logger: logger})
	mcpapi.New(mcpapi.Needs{
		Tools: b.box, Gate: limits.New(b.store.Windows(), b.store.Budgets(), limits.Options{}), Documents: b.store.Documents(),
		Logger: logger, Build: "test", Progress: time.Millisecond,
	}).Mount(door)
	srv := httptest.NewServer(door)
	t.Cleanup(srv.Close)
	b.url = srv.URL + "/mcp"
	return b
}

// withHeader sends headers with every request.
type withHeader http.Header

func (h withHeader) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	for name, values := range h {
		r.Header[name] = values
	}
	return http.DefaultTransport.RoundTrip(r)
}

// client is the official one, in a version of the protocol; "" is the newest.
func (b *bed) client(key, version string, o *mcp.ClientOptions) *mcp.ClientSession {
	b.t.Helper()
	transport := &mcp.StreamableClientTransport{Endpoint: b.url, HTTPClient: &http.Client{Transport: withHeader{"Authorization": {"Bearer " + key}}}}
	s, err := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, o).Connect(b.t.Context(), transport, &mcp.ClientSessionOptions{ProtocolVersion: version})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = s.Close() })
	return s
}

func textOf(r *mcp.CallToolResult) string {
	var parts []string
	for _, c := range r.Content {
		if t, ok := c.(*mcp.TextContent); ok {
			parts = append(parts, t.Text)
		}
	}
	return strings.Join(parts, "\n")
}

// TestTheOfficialClient works in every version that it speaks.
func TestTheOfficialClient(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"", "2025-11-25", "2025-06-18", "2025-03-26"} {
		t.Run("version "+version, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, nil)
			s := b.client(keyMain, version, nil)
			list, err := s.ListTools(t.Context(), nil)
			if err != nil || len(list.Tools) != 2 {
				t.Fatalf("%d tools, %v", len(list.Tools), err)
			}
			of, write := list.Tools[0], list.Tools[1]
			if of.Name != "of_main" || !of.Annotations.ReadOnlyHint || write.Annotations.ReadOnlyHint || !*write.Annotations.DestructiveHint || *of.Annotations.OpenWorldHint {
				t.Errorf("%+v, %+v", of.Annotations, write.Annotations)
			}
			r, err := s.CallTool(t.Context(), &mcp.CallToolParams{Name: "of_main", Arguments: map[string]any{"a": 1}})
			if err != nil || r.IsError || textOf(r) != "ran main" {
				t.Fatalf("%+v, %v", r, err)
			}
			want := map[string]any{"params": map[string]any{"a": 1.0}, "key": "main"}
			if diff := cmp.Diff(any(want), r.StructuredContent); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			for _, name := range []string{"text", "list"} {
				if r, err := s.CallTool(t.Context(), &mcp.CallToolParams{Name: name}); err != nil || r.StructuredContent != nil || textOf(r) == "" {
					t.Errorf("%s: %+v, %v", name, r, err)
				}
			}
		})
	}
}

func TestFailuresAreResults(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil)
	s := b.client(keyMain, "", nil)
	for name, want := range map[string]string{"fails": "EXECUTION_ERROR: the service", "of_other": "TOOL_NOT_FOUND"} {
		r, err := s.CallTool(t.Context(), &mcp.CallToolParams{Name: name})
		if err != nil || !r.IsError || !strings.HasPrefix(textOf(r), want) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	// A panic ends one call.
	if _, err := s.CallTool(t.Context(), &mcp.CallToolParams{Name: "panics"}); err == nil || strings.Contains(err.Error(), "c4nary") {
		t.Errorf("a panic: %v", err)
	}
	if r, err := s.CallTool(t.Context(), &mcp.CallToolParams{Name: "of_main"}); err != nil || r.IsError {
		t.Errorf("after it: %+v, %v", r, err)
	}
	if strings.Contains(b.logs.String(), "c4nary") {
		t.Error("a panic's text or a key is in the log")
	}
}

// TestCallersAreKeptApart: two at once on one server never see each other, whatever
// session id they claim.
func TestCallersAreKeptApart(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil)
	var wg sync.WaitGroup
	for _, who := range [][2]string{{keyMain, "main"}, {keyOther, "other"}} {
		s := b.client(who[0], "2025-11-25", nil)
		if s.ID() != "" {
			t.Errorf("there is a session: %q", s.ID())
		}
		wg.Go(func() {
			for range 50 {
				r, err := s.CallTool(t.Context(), &mcp.CallToolParams{Name: "of_" + who[1]})
				if err != nil || textOf(r) != "ran "+who[1] {
					t.Errorf("%s: %v, %v", who[1], r, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func (b *bed) post(body string, header ...string) (int, string) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.url, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

const listTools = `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`

func TestWhoMayCall(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil)
	auth := "Bearer " + keyMain
	for name, tc := range map[string]struct {
		header []string
		want   int
	}{
		"a key":                    {[]string{"Authorization", auth}, 200},
		"no key":                   {nil, 400},
		"a wrong key":              {[]string{"Authorization", "Bearer ce_c4nary_wrong"}, 401},
		"a forged session":         {[]string{"Authorization", "Bearer ce_c4nary_wrong", "Mcp-Session-Id", "1"}, 401},
		"an allowed page":          {[]string{"Authorization", auth, "Origin", "https://app.example"}, 200},
		"a page of the tenant":     {[]string{"Authorization", auth, "Origin", "https://acme.example"}, 200},
		"a foreign page":           {[]string{"Authorization", auth, "Origin", "https://evil.example"}, 403},
		"a rebound name":           {[]string{"Authorization", auth, "Origin", strings.TrimSuffix(b.url, "/mcp")}, 403},
		"no origin to speak of":    {[]string{"Authorization", auth, "Origin", "null"}, 403},
		"two origins":              {[]string{"Authorization", auth, "Origin", "https://app.example", "Origin", "https://evil.example"}, 403},
		"another tenant's address": {[]string{"Authorization", auth, "X-Tenant-Id", "globex"}, 404},
	} {
		if got, text := b.post(listTools, tc.header...); got != tc.want {
			t.Errorf("%s: %d, want %d: %s", name, got, tc.want, text)
		}
	}
}

func TestBadRequests(t *testing.T) {
	t.Parallel()
	b := newBed(t, func(c *tenantconfig.Config) { c.Limits.BodyBytes = 4096 })
	auth := []string{"Authorization", "Bearer " + keyMain}
	for name, body := range map[string]string{
		"no JSON": "{", "an array of nothing": "[]", "null": "null", "empty": "",
		"too large": `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"x":"` + strings.Repeat("x", 5000) + `"}}`,
		"no params": `{"jsonrpc":"2.0","id":1,"method":"tools/call"}`, "a name of another kind": `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":7}}`,
		"no such method": `{"jsonrpc":"2.0","id":1,"method":"tools/destroy"}`, "a subscription": `{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"document:///x"}}`,
	} {
		status, text := b.post(body, auth...)
		if status < 400 && !strings.Contains(text, `"error"`) || status >= 500 {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	// Each of many messages would be answered with all tools.
	for _, space := range []string{"", " \r\n\t"} {
		if status, text := b.post(space+"["+listTools+","+listTools+"]", auth...); status != 400 || !strings.Contains(text, "one message") {
			t.Errorf("a batch: %d %s", status, text)
		}
	}
	if status, _ := b.post(" \n"+listTools, auth...); status != 200 {
		t.Errorf("after them: %d", status)
	}
}

func TestRateLimit(t *testing.T) {
	t.Parallel()
	b := newBed(t, func(c *tenantconfig.Config) {
		c.Limits.Requests = tenantconfig.RequestLimits{PerMinute: 2, WindowSec: 60, BurstWindowSec: 10}
	})
	s := b.client(keyMain, "", nil)
	for i := range 4 {
		r, err := s.CallTool(t.Context(), &mcp.CallToolParams{Name: "of_main"})
		if err != nil || r.IsError != (i >= 2) {
			t.Fatalf("call %d: %+v, %v", i, r, err)
		}
		if i >= 2 && !strings.Contains(textOf(r), "rate_limited") {
			t.Errorf("told %q", textOf(r))
		}
	}
	if _, err := s.ListTools(t.Context(), nil); err != nil {
		t.Errorf("a list costs nothing: %v", err)
	}
}

func TestProgressAndCancellation(t *testing.T) {
	t.Parallel()
	t.Run("progress", func(t *testing.T) {
		t.Parallel()
		b := newBed(t, nil)
		told := make(chan struct{}, 1000)
		s := b.client(keyMain, "2025-11-25", &mcp.ClientOptions{ProgressNotificationHandler: func(context.Context, *mcp.ProgressNotificationClientRequest) { told <- struct{}{} }})
		go func() {
			<-told
			<-told
			close(b.box.hang)
		}()
		params := &mcp.CallToolParams{Name: "hangs"}
		params.SetProgressToken("p")
		if r, err := s.CallTool(t.Context(), params); err != nil || textOf(r) != "done" {
			t.Errorf("%+v, %v", r, err)
		}
	})
	for _, version := range []string{"", "2025-11-25"} {
		t.Run("the client leaves, version "+version, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, nil)
			s := b.client(keyMain, version, nil)
			ctx, leave := context.WithCancel(t.Context())
			go func() {
				<-b.box.began
				leave()
			}()
			if _, err := s.CallTool(ctx, &mcp.CallToolParams{Name: "hangs"}); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
			<-b.box.ended
		})
	}
}

func (b *bed) publish(id string, texts ...string) {
	b.t.Helper()
	docs, ctx := b.store.Documents(), b.t.Context()
	v, err := docs.NextVersion(ctx, b.tenant.ID)
	if err != nil {
		b.t.Fatal(err)
	}
	var passages []storage.Passage
	size := int64(0)
	for i, text := range texts {
		passages = append(passages, storage.Passage{N: i, Text: text})
		size += int64(len(text))
	}
	if err := docs.Stage(ctx, b.tenant.ID, id, v, passages); err != nil {
		b.t.Fatal(err)
	}
	if _, err := docs.Publish(ctx, b.tenant.ID, storage.Document{ID: id, Version: v, Title: "T\nx", Passages: len(texts), Bytes: size, Updated: time.Now()}); err != nil {
		b.t.Fatal(err)
	}
}

func TestResources(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil)
	odd := `a/b "ü" ?#%2F`
	overlap := "these words end one and begin the next."
	b.publish(odd, "First passage; "+overlap, overlap+" And then it goes on for a while longer.", "Another.")
	for i := range 120 {
		b.publish(fmt.Sprintf("doc-%03d", i), "text")
	}
	for _, version := range []string{"", "2025-11-25"} {
		s := b.client(keyMain, version, nil)
		count, uri := 0, ""
		for r, err := range s.Resources(t.Context(), nil) {
			if err != nil {
				t.Fatal(err)
			}
			if count++; r.Name == odd {
				uri = r.URI
				if r.Title != "T" || r.MIMEType != "text/plain" {
					t.Errorf("%+v", r)
				}
			}
		}
		if count != 121 || uri == "" {
			t.Fatalf("%d resources, %q", count, uri)
		}
		got, err := s.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: uri})
		want := "First passage; " + overlap + " And then it goes on for a while longer.\n\nAnother."
		if err != nil || len(got.Contents) != 1 || got.Contents[0].Text != want {
			t.Errorf("%+v, %v", got, err)
		}
		for _, none := range []string{"document:///none", "document:///", "document:///%zz", "file:///etc/passwd", "document:///" + strings.Repeat("x", 3000)} {
			_, err := s.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: none})
			if e, ok := errors.AsType[*jsonrpc.Error](err); !ok || e.Code == jsonrpc.CodeInternalError {
				t.Errorf("%.40s: %v", none, err)
			}
		}
		if _, err := s.ListResources(t.Context(), &mcp.ListResourcesParams{Cursor: "forged"}); err == nil {
			t.Error("a forged cursor is taken")
		}
	}
	without := newBed(t, func(c *tenantconfig.Config) { c.Documents = tenantconfig.Documents{} })
	s := without.client(keyMain, "2025-11-25", nil)
	if s.InitializeResult().Capabilities.Resources != nil {
		t.Error("resources are offered where there are no documents")
	}
}

func TestLargeDocumentIsCut(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil)
	texts := make([]string, 300)
	for i := range texts {
		texts[i] = fmt.Sprintf("%04d ", i) + strings.Repeat("é", 2000)
	}
	b.publish("big", texts...)
	got, err := b.client(keyMain, "", nil).ReadResource(t.Context(), &mcp.ReadResourceParams{URI: "document:///big"})
	if err != nil {
		t.Fatal(err)
	}
	text := got.Contents[0].Text
	if len(text) > 1<<20+100 || !strings.HasSuffix(text, "(cut here: the document is longer)") || strings.ContainsRune(text, '\uFFFD') {
		t.Errorf("%d bytes, ends %q", len(text), text[len(text)-50:])
	}
}
