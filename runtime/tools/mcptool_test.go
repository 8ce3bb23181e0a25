package tools_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// shop is a server of tools, the official one, on an address that stays while it comes
// and goes.
type shop struct {
	t       *testing.T
	address string
	server  *mcp.Server
	http    *httptest.Server
	token   string
	calls   atomic.Int64
}

func newShop(t *testing.T) *shop {
	s := &shop{t: t, server: mcp.NewServer(&mcp.Implementation{Name: "shop", Version: "1"}, nil)}
	s.add("orders", `{"type":"object","properties":{"id":{"type":"integer"}},"required":["id"]}`, func(args map[string]any) *mcp.CallToolResult {
		return &mcp.CallToolResult{StructuredContent: map[string]any{"order": args["id"]}, Content: text("an order")}
	})
	s.add("note", `{"type":"object"}`, func(map[string]any) *mcp.CallToolResult {
		return &mcp.CallToolResult{Content: append(text("noted"), &mcp.ImageContent{MIMEType: "image/png", Data: []byte("x")})}
	})
	s.start()
	t.Cleanup(func() { s.stop() })
	return s
}

func text(s string) []mcp.Content { return []mcp.Content{&mcp.TextContent{Text: s}} }

func (s *shop) add(name, schema string, f func(args map[string]any) *mcp.CallToolResult) {
	s.server.AddTool(&mcp.Tool{Name: name, Description: "d", InputSchema: json.RawMessage(schema)},
		func(_ context.Context, r *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			s.calls.Add(1)
			var args map[string]any
			_ = json.Unmarshal(r.Params.Arguments, &args)
			return f(args), nil
		})
}

func (s *shop) start() {
	handler := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s.server }, nil)
	s.http = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.token != "" && r.Header.Get("Authorization") != "Bearer "+s.token {
			http.Error(w, "c4nary: who are you", http.StatusUnauthorized)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	if s.address != "" {
		l, err := (&net.ListenConfig{}).Listen(s.t.Context(), "tcp", s.address)
		if err != nil {
			s.t.Fatal(err)
		}
		_ = s.http.Listener.Close()
		s.http.Listener = l
	}
	s.http.Start()
	s.address = s.http.Listener.Addr().String()
}

// stop is a crash: sessions are forgotten.
func (s *shop) stop() {
	if s.http != nil {
		s.http.CloseClientConnections()
		s.http.Close()
		for session := range s.server.Sessions() {
			_ = session.Close()
		}
		s.http = nil
	}
}

func (s *shop) tenant(bend func(*tenantconfig.MCPServer)) option {
	return withTools(func(c *tenantconfig.Tools) {
		m := tenantconfig.MCPServer{Name: "shop", URL: "http://" + s.address, ReadOnly: []string{"orders"}}
		if bend != nil {
			bend(&m)
		}
		c.MCP = append(c.MCP, m)
		c.Allow = []string{"shop.*"}
	})
}

func (b *bed) awaitTools(want ...string) {
	b.tb.Helper()
	var got []string
	within(b.tb, "tools "+strings.Join(want, ", "), func() bool {
		got = b.names(keyMain)
		return cmp.Equal(want, got)
	})
}

func (b *bed) awaitReason(reason string) string {
	b.tb.Helper()
	var message string
	within(b.tb, "reason "+reason, func() bool {
		s := b.feature.Status(b.tenant)
		if len(s) != 1 || s[0].Reason != reason {
			return false
		}
		message = s[0].Message
		return true
	})
	return message
}

func TestMCPTools(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.token = "c4nary-mcp-token"
	b := newBed(t, nil, newTenant(t, map[string]string{"tool-shop": s.token}, s.tenant(func(m *tenantconfig.MCPServer) { m.TokenFile = "tool-shop" }),
		withTools(func(c *tenantconfig.Tools) { c.AfterUntrusted = []string{"shop.orders"} })))
	b.awaitTools("shop.note", "shop.orders")
	if got := b.feature.Status(b.tenant); got != nil {
		t.Errorf("status %+v", got)
	}
	var order struct{ Order int }
	b.ran("shop.orders", `{"id":7}`, &order)
	if order.Order != 7 {
		t.Errorf("got %+v", order)
	}
	b.ran("shop__orders", `{"id":8}`, &order)
	if order.Order != 8 {
		t.Errorf("by the function's name: %+v", order)
	}
	var note string
	b.ran("shop.note", `{}`, &note)
	if note != "noted\n(left out: 1 of kind image)" {
		t.Errorf("got %q", note)
	}
	before := s.calls.Load()
	b.fails(keyMain, "shop.orders", `{"id":"x"}`, 400, "VALIDATION_FAILED")
	if s.calls.Load() != before {
		t.Error("parameters that don't fit were sent")
	}
	if got := b.execute(keyFew, "shop.orders", `{"id":1}`); got.status != 200 {
		t.Errorf("a key of shop.*: %d", got.status)
	}
	for _, o := range b.feature.Tools(t.Context(), b.call(keyMain)) {
		reads := o.Name == "shop__orders"
		if o.Writes == reads || !o.Leaves || o.Pure || o.AfterUntrusted != reads {
			t.Errorf("offered %+v", o)
		}
	}
	if strings.Contains(b.logs.String(), "c4nary") {
		t.Error("the token is in the log")
	}
}

// TestMCPServerComesAndGoes: its tools stay offered while it is away, calls fail at once
// and clearly, and work again when it is back, also when it has forgotten the session.
func TestMCPServerComesAndGoes(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	b := newBed(t, nil, newTenant(t, nil, s.tenant(nil)))
	b.awaitTools("shop.note", "shop.orders")
	s.stop()
	s.start()
	var order struct{ Order int }
	within(t, "a call after the restart", func() bool { return b.execute(keyMain, "shop.orders", `{"id":7}`).status == 200 })
	b.ran("shop.orders", `{"id":7}`, &order)
	s.stop()
	b.fails(keyMain, "shop.orders", `{"id":7}`, 502, "EXECUTION_ERROR")
	b.awaitReason("Unreachable")
	b.awaitTools("shop.note", "shop.orders")
	s.start()
	within(t, "a call after the outage", func() bool { return b.execute(keyMain, "shop.orders", `{"id":7}`).status == 200 })
	if got := b.feature.Status(b.tenant); got != nil {
		t.Errorf("status %+v", got)
	}
}

func TestMCPServerTellsOfNewTools(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	b := newBed(t, nil, newTenant(t, nil, s.tenant(func(m *tenantconfig.MCPServer) { m.Allow = []string{"orders", "more"} })))
	b.awaitTools("shop.orders")
	s.add("more", `{"type":"object"}`, func(map[string]any) *mcp.CallToolResult { return &mcp.CallToolResult{Content: text("x")} })
	b.awaitTools("shop.more", "shop.orders")
	s.server.RemoveTools("orders")
	b.awaitTools("shop.more")
}

func TestMCPServerThatIsBroken(t *testing.T) {
	t.Parallel()
	t.Run("not there", func(t *testing.T) {
		t.Parallel()
		s := newShop(t)
		s.stop()
		b := newBed(t, nil, newTenant(t, nil, s.tenant(nil)))
		b.awaitReason("Unreachable")
		b.fails(keyMain, "shop.orders", "{}", 404, "TOOL_NOT_FOUND")
		s.start()
		b.awaitTools("shop.note", "shop.orders")
	})
	t.Run("another token", func(t *testing.T) {
		t.Parallel()
		s := newShop(t)
		s.token = "right"
		b := newBed(t, nil, newTenant(t, map[string]string{"tool-shop": "c4nary-wrong"}, s.tenant(func(m *tenantconfig.MCPServer) { m.TokenFile = "tool-shop" })))
		if message := b.awaitReason("Unauthorized"); strings.Contains(message, "c4nary") || strings.Contains(b.logs.String(), "c4nary") {
			t.Errorf("told %q", message)
		}
		// A new token is a new document: it is used at once.
		tenant := newTenant(t, map[string]string{"tool-shop": "right"}, s.tenant(func(m *tenantconfig.MCPServer) { m.TokenFile = "tool-shop" }))
		b.feature.Apply(tenant)
		b.tenant = tenant
		b.awaitTools("shop.note", "shop.orders")
	})
	t.Run("no token", func(t *testing.T) {
		t.Parallel()
		s := newShop(t)
		b := newBed(t, nil, newTenant(t, nil, s.tenant(func(m *tenantconfig.MCPServer) { m.TokenFile = "tool-shop" })))
		b.awaitReason("NoSecret")
	})
	for name, body := range map[string]string{"a page": "<html>c4nary</html>", "nonsense": "{", "binary": "\x00\x01"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, body)
			}))
			defer srv.Close()
			b := newBed(t, nil, newTenant(t, nil, withTools(func(c *tenantconfig.Tools) { c.MCP = []tenantconfig.MCPServer{{Name: "shop", URL: srv.URL}} })))
			within(t, "a reason", func() bool {
				s := b.feature.Status(b.tenant)
				return len(s) == 1 && s[0].Reason != "Connecting" && !strings.Contains(s[0].Message, "c4nary")
			})
			if strings.Contains(b.logs.String(), "c4nary") {
				t.Error("what the server said is in the log")
			}
			var got json.RawMessage
			b.ran("tag_chunk_docs", `{"content":"x"}`, &got)
		})
	}
	t.Run("a schema", func(t *testing.T) {
		t.Parallel()
		s := newShop(t)
		s.add("odd", `{"type":"object","properties":{"a":{"pattern":"(?=x)"}}}`, func(map[string]any) *mcp.CallToolResult { return nil })
		b := newBed(t, nil, newTenant(t, nil, s.tenant(nil)))
		b.awaitTools("shop.note", "shop.orders")
		b.awaitReason("BadSchema")
	})
	t.Run("hundreds of schemas", func(t *testing.T) {
		t.Parallel()
		s := newShop(t)
		for i := range 200 {
			s.add(fmt.Sprintf("odd%d", i), `{"type":"object","properties":{"a":{"pattern":"(?=`+strings.Repeat("é", 4000)+`)"}}}`, func(map[string]any) *mcp.CallToolResult { return nil })
		}
		b := newBed(t, nil, newTenant(t, nil, s.tenant(nil)))
		b.awaitTools("shop.note", "shop.orders")
		status := b.feature.Status(b.tenant)
		text, err := json.Marshal(status)
		if err != nil || len(status) != 32 || len(text) > 32<<10 || !utf8.Valid(text) {
			t.Errorf("%d tools in %d bytes, %v", len(status), len(text), err)
		}
	})
}

// TestMCPResultsThatAreTooMuch: huge and never-ending ones and those that report errors
// are bounded, and the server serves on.
func TestMCPResultsThatAreTooMuch(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	never := make(chan struct{})
	t.Cleanup(func() { close(never) })
	s.add("huge", `{"type":"object"}`, func(map[string]any) *mcp.CallToolResult {
		return &mcp.CallToolResult{Content: text(strings.Repeat("x", 6<<20))}
	})
	s.add("hangs", `{"type":"object"}`, func(map[string]any) *mcp.CallToolResult {
		<-never
		return nil
	})
	s.add("errs", `{"type":"object"}`, func(map[string]any) *mcp.CallToolResult {
		return &mcp.CallToolResult{IsError: true, Content: text("c4nary of the server")}
	})
	s.add("empty", `{"type":"object"}`, func(map[string]any) *mcp.CallToolResult { return &mcp.CallToolResult{} })
	b := newBed(t, nil, newTenant(t, nil, s.tenant(func(m *tenantconfig.MCPServer) { m.TimeoutSeconds = 1 })))
	b.awaitTools("shop.empty", "shop.errs", "shop.hangs", "shop.huge", "shop.note", "shop.orders")
	took := promptly(1050*time.Millisecond, func() { b.fails(keyMain, "shop.hangs", "{}", 504, "EXECUTION_TIMEOUT") })
	if took > 1050*time.Millisecond {
		t.Errorf("hung for %v", took)
	}
	a := b.fails(keyMain, "shop.errs", "{}", 502, "EXECUTION_ERROR")
	if strings.Contains(a.Error.Message, "c4nary") || strings.Contains(b.logs.String(), "c4nary") {
		t.Errorf("told %q", a.Error.Message)
	}
	if r := b.feature.Run(t.Context(), b.call(keyMain), "shop.errs", nil); r.Content != "c4nary of the server" || strings.Contains(r.Message, "c4nary") {
		t.Errorf("result %+v", r)
	}
	a = b.execute(keyMain, "shop.huge", "{}")
	if a.status != 502 && a.status != 504 {
		t.Errorf("huge: %d", a.status)
	}
	within(t, "a call after it", func() bool { return b.execute(keyMain, "shop.orders", `{"id":7}`).status == 200 })
	var empty string
	b.ran("shop.empty", "{}", &empty)
}

// TestOldConnectionsEnd when the document names the server no more; one for which
// nothing changed is kept.
func TestOldConnectionsEnd(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	var opened atomic.Int64
	s.server.AddReceivingMiddleware(func(next mcp.MethodHandler) mcp.MethodHandler {
		return func(ctx context.Context, method string, r mcp.Request) (mcp.Result, error) {
			if method == "initialize" {
				opened.Add(1)
			}
			return next(ctx, method, r)
		}
	})
	b := newBed(t, nil, newTenant(t, nil, s.tenant(nil)))
	b.awaitTools("shop.note", "shop.orders")
	kept := newTenant(t, nil, s.tenant(nil), func(c *config) { c.Models.Chat = "builtin/extractive"; c.Limits.MessageChars = 5 })
	b.feature.Apply(kept)
	b.tenant = kept
	b.awaitTools("shop.note", "shop.orders")
	if opened.Load() != 1 {
		t.Errorf("%d sessions were opened, want 1", opened.Load())
	}
	gone := newTenant(t, nil)
	b.feature.Apply(gone)
	b.tenant = gone
	within(t, "the session's end", func() bool {
		n := 0
		for range s.server.Sessions() {
			n++
		}
		return n == 0
	})
}

func TestServersFailWhileOthersAreBeingAdded(t *testing.T) {
	t.Parallel()
	away := func() *tenancy.Tenant {
		return newTenant(t, nil, withTools(func(c *tenantconfig.Tools) {
			for i := range 16 {
				c.MCP = append(c.MCP, tenantconfig.MCPServer{Name: fmt.Sprintf("s%d", i), URL: "http://127.0.0.1:1/" + rand.Text(), Private: true})
			}
		}))
	}
	b := newBed(t, nil, away())
	for range 20 {
		b.tenant = away()
		b.feature.Apply(b.tenant)
		if s := b.feature.Status(b.tenant); len(s) != 16 {
			t.Fatalf("%d servers have a status", len(s))
		}
	}
}

func TestServersTellOfChangesWithoutEnd(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	var lists atomic.Int64
	s.server.AddReceivingMiddleware(func(next mcp.MethodHandler) mcp.MethodHandler {
		return func(ctx context.Context, method string, r mcp.Request) (mcp.Result, error) {
			if method == "tools/list" {
				lists.Add(1)
			}
			return next(ctx, method, r)
		}
	})
	b := newBed(t, nil, newTenant(t, nil, s.tenant(nil)))
	b.awaitTools("shop.note", "shop.orders")
	for began, n := time.Now(), 0; time.Since(began) < 500*time.Millisecond; n++ {
		s.add(fmt.Sprintf("t%d", n%2), `{"type":"object"}`, nil)
		s.server.RemoveTools(fmt.Sprintf("t%d", n%2))
		<-time.After(15 * time.Millisecond) // the library tells of changes every 10 ms
	}
	if n := lists.Load(); n > 3 {
		t.Errorf("the server was asked for its tools %d times", n)
	}
	b.awaitTools("shop.note", "shop.orders")
}
