package chat_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/openai"
	"github.com/crispy-enigma/crispy-enigma/runtime/chat"
	"github.com/crispy-enigma/crispy-enigma/runtime/guard"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/limits"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/memory"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
	"github.com/crispy-enigma/crispy-enigma/runtime/turn"
)

// box has three tools.
type box struct {
	mu     sync.Mutex
	called []string
	hang   chan struct{} // closed when the tool "hangs" begins
	ended  chan struct{} // closed when its context has ended
}

func newBox() *box { return &box{hang: make(chan struct{}), ended: make(chan struct{})} }

func (b *box) Tools(context.Context, httpapi.Call) (out []turn.Tool) {
	for _, name := range []string{"hangs", "time", "weather"} {
		out = append(out, turn.Tool{Tool: ai.Tool{Name: name, Parameters: []byte(`{"type":"object"}`)}})
	}
	return out
}

func (b *box) Run(ctx context.Context, _ httpapi.Call, name string, params json.RawMessage) turn.Result {
	b.mu.Lock()
	b.called = append(b.called, name+string(params))
	b.mu.Unlock()
	switch name {
	case "time":
		return turn.Result{Content: "It is noon."}
	case "weather":
		return turn.Result{Code: "VALIDATION_FAILED", Message: "city is missing"}
	case "hangs":
		close(b.hang)
		<-ctx.Done()
		close(b.ended)
		return turn.Result{Code: "EXECUTION_TIMEOUT", Message: "took too long"}
	}
	return turn.Result{Code: "TOOL_NOT_FOUND", Message: "there is no such tool"}
}

// library finds what it was given, and keeps what it was asked.
type library struct {
	sources []guard.Source
	err     error
	asked   []chat.Question
}

func (l *library) Retrieve(_ context.Context, _ httpapi.Call, q chat.Question) (chat.Found, error) {
	l.asked = append(l.asked, q)
	return chat.Found{Sources: l.sources}, l.err
}

type bed struct {
	t       *testing.T
	up      *aifake.Server
	box     *box
	library *library
	store   storage.Store
	tenant  *tenancy.Tenant
	url     string
	logs    *bytes.Buffer
}

func newBed(t *testing.T, bend func(*tenantconfig.Config), answers ...aifake.Answer) *bed {
	t.Helper()
	b := &bed{t: t, up: aifake.New(t, answers...), box: newBox(), library: &library{}, store: memory.New(memory.Options{}), logs: &bytes.Buffer{}}
	b.tenant = newTenant(t, func(c *tenantconfig.Config) {
		c.Tools.Enabled = true
		c.Documents.Store = tenantconfig.DocumentsState
		c.Prompt.System = "You help."
		if bend != nil {
			bend(c)
		}
	})
	driver, err := openai.New(openai.Options{BaseURL: b.up.URL})
	if err != nil {
		t.Fatal(err)
	}
	directory, err := tenancy.NewDirectory(b.tenant)
	if err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.NewTextHandler(b.logs, nil))
	n := needs(driver, b.store, logger, b.box)
	n.Retriever = b.library
	door := httpapi.NewDoor(directory, httpapi.Options{Logger: logger, Translate: chat.Translate})
	chat.New(n).Mount(door)
	srv := httptest.NewServer(door)
	t.Cleanup(srv.Close)
	b.url = srv.URL
	return b
}

func (b *bed) try(ctx context.Context, body map[string]any) (*http.Response, error) {
	b.t.Helper()
	body["sessionId"] = session
	raw, err := json.Marshal(body)
	if err != nil {
		b.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.url+"/chat", bytes.NewReader(raw))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("x-tenant-id", "acme")
	return http.DefaultClient.Do(req)
}

func (b *bed) open(ctx context.Context, body map[string]any) *http.Response {
	b.t.Helper()
	resp, err := b.try(ctx, body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp
}

// ask gives the answer's status and body.
func (b *bed) ask(body map[string]any) (int, string) {
	b.t.Helper()
	resp := b.open(b.t.Context(), body)
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// asked gives the messages of the n-th call, from 0.
func (b *bed) asked(n int) []aifake.Message {
	b.t.Helper()
	requests := b.up.Requests()
	if n >= len(requests) || requests[n].Refused != "" {
		b.t.Fatalf("%d calls, or one that was refused", len(requests))
	}
	return requests[n].Chat.Messages
}

func (b *bed) history() (lines []string) {
	b.t.Helper()
	msgs, err := b.store.Sessions().History(b.t.Context(), b.tenant.ID, storage.Owner{All: true}, session, storage.Page{Limit: 100})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, m := range msgs {
		line := m.Role + ": " + m.Content
		if m.Partial {
			line += " (partial)"
		}
		lines = append(lines, line)
	}
	return lines
}

func contains(t *testing.T, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
}

func TestTheModelCallsTools(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil,
		aifake.Calls(aifake.Call{Name: "time", Arguments: `{}`}, aifake.Call{Name: "weather", Arguments: `{"x":1}`}), aifake.Says("It is", " noon."))
	status, text := b.ask(map[string]any{"message": "what time is it?"})
	if status != 200 {
		t.Fatal(status, text)
	}
	contains(t, text, "event: tool\ndata: {\"id\":\"call_1\",\"name\":\"time\",\"status\":\"started\"}", `"id":"call_1","name":"time","status":"ok","durationMs":`,
		`"id":"call_2","name":"weather","status":"failed","code":"VALIDATION_FAILED"`, `"content":"noon."`, "event: done")
	if h := b.history(); len(h) != 2 || h[0] != "assistant: It is noon." || h[1] != "user: what time is it?" {
		t.Errorf("kept %q", h)
	}
	// Whole, and without tools where none are wanted.
	b.up.Answer(aifake.Says("ok"))
	if status, text := b.ask(map[string]any{"message": "x", "stream": false, "useTools": false}); status != 200 || len(b.up.Requests()[2].Chat.Tools) != 0 {
		t.Error(status, text)
	}
}

func TestTheCallerNamesATool(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil, aifake.Says("Noon."))
	for _, stream := range []bool{false, true} {
		status, text := b.ask(map[string]any{"message": "and now?", "stream": stream, "tool_name": "time", "tool_params": map[string]any{"zone": "CET"}})
		if status != 200 || stream && !strings.Contains(text, "event: tool\ndata: {\"id\":\"call_0\",\"name\":\"time\",\"status\":\"started\"}\n\nevent: tool\n") {
			t.Errorf("%d %s", status, text)
		}
	}
	msgs := b.asked(0)
	last := msgs[len(msgs)-1].Text()
	contains(t, last, "<data kind=\"tool\" label=\"time\"", "\nIt is noon.\n")
	contains(t, msgs[0].Text(), "You help.", guard.Rules)
	if !strings.HasSuffix(last, "and now?") || b.box.called[0] != `time{"zone":"CET"}` || b.history()[1] != "user: and now?" {
		t.Errorf("%q, %q, %q", last, b.box.called, b.history())
	}
}

func TestANamedToolsFailureIsTheAnswer(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil)
	for name, want := range map[string]int{"none": http.StatusNotFound, "weather": http.StatusBadRequest} {
		code := map[string]string{"none": "TOOL_NOT_FOUND", "weather": "VALIDATION_FAILED"}[name]
		for _, stream := range []bool{false, true} {
			status, text := b.ask(map[string]any{"message": "x", "stream": stream, "tool_name": name})
			if status != want || !strings.Contains(text, `"code":"`+code+`"`) {
				t.Errorf("%s: %d %s", name, status, text)
			}
		}
	}
	if len(b.up.Requests()) != 0 || len(b.history()) != 0 {
		t.Error("the model was asked, or something was kept")
	}
	b.reservedNothing()
	if status, text := b.ask(map[string]any{"message": "x", "tool_params": map[string]any{}}); status != 400 || !strings.Contains(text, `"path":"tool_params"`) {
		t.Errorf("%d %s", status, text)
	}
}

// reservedNothing: all that was set aside is settled, and nothing was spent.
func (b *bed) reservedNothing() {
	b.t.Helper()
	spent, err := limits.New(b.store.Windows(), b.store.Budgets(), limits.Options{}).Spending(b.t.Context(), b.tenant)
	if err != nil || spent.TokensToday != 0 {
		b.t.Errorf("%d tokens stay reserved, %v", spent.TokensToday, err)
	}
}

func TestAClientThatGoesEndsTheTool(t *testing.T) {
	t.Parallel()
	for _, named := range []bool{true, false} {
		b := newBed(t, nil, aifake.Says("Wait. ").AndCalls(aifake.Call{Name: "hangs", Arguments: `{}`}))
		body := map[string]any{"message": "x"}
		if named {
			body["tool_name"] = "hangs"
		}
		ctx, cancel := context.WithCancel(t.Context())
		if named {
			go func() { <-b.box.hang; cancel() }()
			if resp, err := b.try(ctx, body); err == nil {
				_ = resp.Body.Close()
				t.Error("an answer came")
			}
			<-b.box.ended
			if len(b.up.Requests()) != 0 {
				t.Error("the model was asked")
			}
			continue
		}
		resp := b.open(ctx, body)
		lines := bufio.NewScanner(resp.Body)
		for lines.Scan() && !strings.Contains(lines.Text(), `"status":"started"`) {
		}
		<-b.box.hang
		cancel()
		<-b.box.ended
		_ = resp.Body.Close()
		for deadline := time.Now().Add(5 * time.Second); len(b.history()) == 0 && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond) // what another goroutine does in its own time
		}
		if h := b.history(); len(h) != 2 || h[0] != "assistant: Wait.  (partial)" {
			t.Errorf("kept %q", h)
		}
	}
}

func TestTheBudgetRunsOutBetweenSteps(t *testing.T) {
	t.Parallel()
	b := newBed(t, func(c *tenantconfig.Config) { c.Limits.Tokens.Daily, c.Prompt.MaxTokens = 400, 100 },
		aifake.Says("Looking. ").AndCalls(aifake.Call{Name: "time", Arguments: `{}`}).Uses(200, 100), aifake.Says("never"))
	status, text := b.ask(map[string]any{"message": "x"})
	contains(t, text, `"content":"Looking. "`, "event: error\ndata: {\"code\":\"budget_exceeded\"", `"done":true,"error":"budget_exceeded"`, `"totalTokens":300`)
	if h := b.history(); status != 200 || len(h) != 2 || h[0] != "assistant: Looking.  (partial)" || len(b.up.Requests()) != 1 {
		t.Errorf("%d, kept %q", status, h)
	}
}

func TestModelsWithoutTools(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil)
	b.up.Script(func(r *aifake.Request) aifake.Answer {
		if len(r.Chat.Tools) > 0 {
			return aifake.Refuses(400, `{"error":{"message":"does not support tools"}}`)
		}
		return aifake.Says("hi")
	})
	for _, stream := range []bool{false, true} {
		for name, c := range map[string]struct {
			body   map[string]any
			status int
			want   string
		}{
			"a plain chat":   {map[string]any{}, 200, "hi"},
			"tools demanded": {map[string]any{"useTools": true}, 400, `"code":"tools_not_supported"`},
			"a named tool":   {map[string]any{"tool_name": "time"}, 200, "hi"},
		} {
			c.body["message"], c.body["stream"] = "x", stream
			if status, text := b.ask(c.body); status != c.status || !strings.Contains(text, c.want) {
				t.Errorf("%s: %d %s", name, status, text)
			}
		}
	}
}
