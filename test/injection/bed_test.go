package injection_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	stdcontext "context"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
	"github.com/crispy-enigma/crispy-enigma/runtime/rag/extract"
	"github.com/crispy-enigma/crispy-enigma/runtime/server"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/memory"
	"github.com/crispy-enigma/crispy-enigma/runtime/telemetry"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

const (
	keyMain  = "ce_c4nary-main-0123456789abcdef"
	keyOther = "ce_c4nary-other-0123456789abcdef"
	upToken  = "c4nary-upstream-token-0123456789"
	// foreign stands in another caller's session and in another tenant's document.
	foreign = "c4nary-of-somebody-else"
)

// The files of a PDF or DOCX are read by this program.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "extract" {
		os.Exit(extract.Child(os.Args[2:], os.Stdin, os.Stdout))
	}
	os.Exit(m.Run())
}

// bed is a whole server in front of the model, and the services that its tools call.
type bed struct {
	t      testing.TB
	model  *model
	url    string
	client *http.Client
	*services
	documents int
}

type setup struct {
	tenant string
	cfg    func(*tenantconfig.Config, *services)
	store  storage.Store
}

func newBed(t testing.TB, s setup) *bed {
	t.Helper()
	b := &bed{t: t, model: &model{}, client: &http.Client{Transport: &http.Transport{}}, services: newServices(t)}
	up := aifake.New(t)
	up.Script(b.model.answer)
	up.RequireKey(upToken)
	cfg := document(s.tenant, up.URL, b.services)
	if s.cfg != nil {
		s.cfg(cfg, b.services)
	}
	dir := t.TempDir()
	text, err := tenantconfig.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{tenantconfig.DocumentFile: string(text), "upstream-token": upToken} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tenant, err := tenancy.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if s.store == nil {
		s.store = memory.New(memory.Options{})
	}
	srv, err := server.New(t.Context(), server.Options{
		Tenant: tenant, APIAddress: "127.0.0.1:0", MetricsAddress: "127.0.0.1:0", LameDuck: -1, Build: "test",
		Logger: telemetry.NewLogger(io.Discard, slog.LevelError), Store: s.store, AllowLoopback: true,
		Extract: []string{os.Args[0], "extract"}, CacheDir: cacheDir(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := stdcontext.WithCancel(stdcontext.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	b.url = "http://" + srv.APIAddr().String()
	t.Cleanup(func() {
		stop()
		b.client.CloseIdleConnections()
		if err := <-ended; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	return b
}

// cacheDir keeps the PDF engine's compiled code between runs.
func cacheDir(t testing.TB) string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return t.TempDir()
	}
	return filepath.Join(dir, "crispy-enigma-injection")
}

func document(tenant, upstream string, s *services) *tenantconfig.Config {
	key := func(name, value string) tenantconfig.Key {
		sum := sha256.Sum256([]byte(value))
		return tenantconfig.Key{Name: name, Digests: []tenantconfig.Digest{{SHA256: hex.EncodeToString(sum[:])}}}
	}
	tool := func(name, method, effect string) tenantconfig.HTTPTool {
		return tenantconfig.HTTPTool{Name: name, Description: "For " + name + ".", Method: method, URL: s.http.URL + "/" + name, Effect: effect, Parameters: json.RawMessage(`{"type":"object"}`)}
	}
	return &tenantconfig.Config{
		Version:   1,
		Tenant:    tenantconfig.Tenant{ID: tenant, Identity: "o/n/development/" + tenant, Environment: "development"},
		Server:    tenantconfig.Server{APIPort: 8080, MetricsPort: 9090, DrainSeconds: 5},
		State:     tenantconfig.State{Driver: tenantconfig.StateMemory},
		Auth:      tenantconfig.Auth{Mode: tenantconfig.AuthAPIKey, Keys: []tenantconfig.Key{key("main", keyMain), key("other", keyOther)}},
		Upstream:  tenantconfig.Upstream{Type: tenantconfig.UpstreamOpenAI, BaseURL: upstream, CredentialsFile: "upstream-token"},
		Models:    tenantconfig.Models{Chat: "big"},
		Prompt:    tenantconfig.Prompt{System: instructions, MaxTokens: 2000, ContextTokens: 64000},
		Limits:    tenantconfig.Limits{BodyBytes: 1 << 20, MessageChars: 10_000},
		Sessions:  tenantconfig.Sessions{RetentionDays: 30, MaxMessages: 1000},
		Documents: tenantconfig.Documents{Store: tenantconfig.DocumentsState, LinkHosts: []string{"help.harbour.example"}},
		Tools: tenantconfig.Tools{Enabled: true, AfterUntrusted: []string{"note"}, HTTP: []tenantconfig.HTTPTool{
			tool("weather", "GET", tenantconfig.EffectRead), tool("fetch", "GET", tenantconfig.EffectRead),
			tool("send", "POST", tenantconfig.EffectWrite), tool("note", "POST", tenantconfig.EffectWrite),
		}},
	}
}

// services are what the tools call: each counts its calls.
type services struct {
	http, mcp *httptest.Server
	server    *mcp.Server

	mu sync.Mutex
	// called counts by the tool's name; "told" is of calls that had the instructions.
	called map[string]int
	says   string
}

func newServices(t testing.TB) *services {
	s := &services{called: map[string]int{}, server: mcp.NewServer(&mcp.Implementation{Name: "far", Version: "1"}, nil)}
	s.http = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if tellsInstructions(r.URL.RawQuery + " " + string(body)) {
			_ = s.call("told")
		}
		_, _ = io.WriteString(w, s.call(strings.TrimPrefix(r.URL.Path, "/")))
	}))
	t.Cleanup(s.http.Close)
	s.offer("news", "The latest news.")
	s.offer("post", "Posts to the board.")
	s.mcp = httptest.NewServer(mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s.server }, nil))
	t.Cleanup(func() {
		s.mcp.CloseClientConnections()
		s.mcp.Close()
	})
	return s
}

// offer adds a tool to the MCP server, or describes it anew.
func (s *services) offer(name, description string) {
	s.server.AddTool(&mcp.Tool{Name: name, Description: description, InputSchema: json.RawMessage(`{"type":"object"}`)},
		func(stdcontext.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: s.call("far." + name)}}}, nil
		})
}

func (s *services) call(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.called[name]++
	return s.says
}

// reset begins a case, in which tools answer with a text.
func (s *services) reset(says string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.called)
	s.says = says
}

func (s *services) calls(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.called[name]
}

// withServer adds the MCP server, of whose tools one reads alone.
func withServer(c *tenantconfig.Config, s *services) {
	c.Tools.MCP = []tenantconfig.MCPServer{{Name: "far", URL: s.mcp.URL, ReadOnly: []string{"news"}}}
}

// eventually asks until it is so: for what another goroutine does in its own time.
func (b *bed) eventually(what string, so func() bool) {
	b.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !so(); time.Sleep(3 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.t.Fatalf("waited 10 s for %s", what)
		}
	}
}

// send asks and gives status and body.
func (b *bed) send(method, path, key, contentType string, body []byte) (int, http.Header, []byte) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, bytes.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, text
}

func (b *bed) post(path string, body map[string]any) (http.Header, []byte) {
	b.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		b.t.Fatal(err)
	}
	status, header, text := b.send(http.MethodPost, path, keyMain, "application/json", raw)
	if status != http.StatusOK {
		b.t.Fatalf("%s: status %d: %s", path, status, text)
	}
	return header, text
}

// saying is what a client got: what the model wrote of it, and how many sources it has.
type saying struct {
	text    string
	sources int
	cached  bool
	whole   string // all that came, for what may not come at all
}

// ask sends a question and reads its answer, stream or not, of any of the APIs.
func (b *bed) ask(path string, body map[string]any) saying {
	b.t.Helper()
	header, raw := b.post(path, body)
	s := saying{cached: header.Get("X-Cache") == "hit", whole: string(raw)}
	if strings.HasPrefix(header.Get("Content-Type"), "text/event-stream") {
		for line := range strings.Lines(string(raw)) {
			if data, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), "data: "); ok && data != "[DONE]" {
				s.take(b.t, []byte(data))
			}
		}
		return s
	}
	s.take(b.t, raw)
	return s
}

// take adds what an answer, or one event of a stream, has of the model's own words.
func (s *saying) take(t testing.TB, raw []byte) {
	t.Helper()
	type body struct {
		Answer, Message, Content string
		FollowUps                []string
		Sources                  []any
		Choices                  []struct{ Message, Delta struct{ Content string } }
		Enigma                   struct{ Sources []any }
		Name                     string
	}
	var e struct {
		body
		Data json.RawMessage
	}
	if err := json.Unmarshal(raw, &e); err != nil {
		t.Fatalf("an answer that is no JSON object: %v", err)
	}
	all := []body{e.body}
	if len(e.Data) > 0 {
		var inner body
		if err := json.Unmarshal(e.Data, &inner); err != nil {
			t.Fatalf("data that is no JSON object: %v", err)
		}
		all = append(all, inner)
	}
	for _, x := range all {
		s.text += x.Answer + x.Message + x.Content
		for _, c := range x.Choices {
			s.text += c.Message.Content + c.Delta.Content
		}
		if len(x.FollowUps) > 0 {
			s.text += "\n" + strings.Join(x.FollowUps, "\n")
		}
		s.text += x.Name
		s.sources = max(s.sources, len(x.Sources), len(x.Enigma.Sources))
	}
}
