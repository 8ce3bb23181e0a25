package server_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
	"github.com/crispy-enigma/crispy-enigma/runtime/server"
)

// TestToolsOfAServer: a document is ingested by a tool, found by another over MCP, and a
// service of the tenant is called, with its secret, which nobody sees; what is broken
// shows in /status.
func TestToolsOfAServer(t *testing.T) {
	t.Parallel()
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"known": r.Header.Get("X-Key") == "c4nary-service-key"})
	}))
	t.Cleanup(service.Close)
	b := newBed(t, aifake.New(t, aifake.Says("x")), setup{
		files: map[string]string{"tool-service": "c4nary-service-key"},
		cfg: func(c *tenantconfig.Config) {
			c.Documents = tenantconfig.Documents{Store: tenantconfig.DocumentsState}
			c.Tools = tenantconfig.Tools{Enabled: true, HTTP: []tenantconfig.HTTPTool{
				{Name: "service", Description: "d", Method: "GET", URL: service.URL, Effect: "read", SecretHeaders: []tenantconfig.SecretHeader{{Name: "x-key", ValueFile: "tool-service"}}},
				{Name: "broken", Description: "d", Method: "GET", URL: service.URL, Effect: "read", SecretHeaders: []tenantconfig.SecretHeader{{Name: "x-key", ValueFile: "tool-none"}}},
			}}
		},
		options: func(o *server.Options) { o.AllowLoopback = true },
	})
	run := func(body string) string {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+"/tools/execute", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+keyMain)
		resp, err := b.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		var got struct {
			Data struct{ Data json.RawMessage }
		}
		if err := json.NewDecoder(resp.Body).Decode(&got); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%d, %v", resp.StatusCode, err)
		}
		return string(got.Data.Data)
	}
	if got := run(`{"tool_name":"ingest_docs","params":{"doc_id":"harbour","content":"The harbour of Trieste ships coffee to the whole of Europe."}}`); !strings.Contains(got, `"status":"ingested"`) {
		t.Fatalf("ingested: %s", got)
	}
	if got := run(`{"tool_name":"service"}`); got != `{"known":true}` {
		t.Errorf("the service: %s", got)
	}
	if got := run(`{"tool_name":"tag_chunk_docs","params":{"content":"# One\n\nTwo apples. Three pears."}}`); !strings.Contains(got, `"start":0`) {
		t.Errorf("chunks: %s", got)
	}

	transport := &mcp.StreamableClientTransport{Endpoint: b.url + "/mcp", HTTPClient: &http.Client{Transport: keyed{b.client.Transport}}}
	s, err := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil).Connect(context.Background(), transport, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	r, err := s.CallTool(t.Context(), &mcp.CallToolParams{Name: "search_docs", Arguments: map[string]any{"query": "What does Trieste ship?"}})
	if err != nil || r.IsError || !strings.Contains(r.Content[0].(*mcp.TextContent).Text, "harbour") {
		t.Errorf("found %+v, %v", r, err)
	}
	doc, err := s.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: "document:///harbour"})
	if err != nil || !strings.Contains(doc.Contents[0].Text, "Trieste") {
		t.Errorf("read %+v, %v", doc, err)
	}
	if got := b.status().Tools; len(got) != 1 || got[0].Name != "broken" || got[0].Reason != "NoSecret" {
		t.Errorf("status %+v", got)
	}
}

type keyed struct{ next http.RoundTripper }

func (k keyed) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+keyMain)
	return k.next.RoundTrip(r)
}
