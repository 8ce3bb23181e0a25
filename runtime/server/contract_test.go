package server_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
	"github.com/crispy-enigma/crispy-enigma/runtime/server"
)

func TestAWholeAnswer(t *testing.T) {
	t.Parallel()
	up := aifake.New(t, aifake.Says("Hello", ", ", "c4nary").Uses(20, 3))
	up.RequireKey(upToken)
	b := newBed(t, up, setup{})
	a := b.do(chat("a c4nary question", "stream", false, "temperature", 0.5, "maxTokens", 7))
	if a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	var got struct {
		OK      bool
		Data    map[string]any
		TraceID string
	}
	if err := json.Unmarshal(a.body, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"status": "accepted", "sessionId": sessionA, "stream": false, "message": "Hello, c4nary"}
	if d := cmp.Diff(want, got.Data); d != "" || !got.OK || got.TraceID != a.header.Get("x-trace-id") {
		t.Errorf("%s\n%s", a.body, d)
	}
	for name, want := range map[string]string{"x-model-id": "big", "x-tokens-in": "20", "x-tokens-out": "3", "x-tokens-total": "23"} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if a.header.Get("x-ai-latency-ms") == "" {
		t.Error("no x-ai-latency-ms")
	}
	asked := up.Requests()[0].Chat
	if asked.Model != "big" || *asked.MaxTokens != 7 || *asked.Temperature != 0.5 || asked.Stream ||
		*asked.Messages[0].Content != "You help Acme." || *asked.Messages[1].Content != "a c4nary question" {
		t.Errorf("asked upstream: %s", up.Requests()[0].Body)
	}
	wantSaid := []said{{Role: "assistant", Content: "Hello, c4nary", TokenCount: 3}, {Role: "user", Content: "a c4nary question"}}
	if d := cmp.Diff(wantSaid, b.history(keyMain, sessionA)); d != "" {
		t.Error(d)
	}
	st := b.status()
	if st.Usage != (tenantconfig.UsageStatus{TokensToday: 23, TokensThisMonth: 23, MicroUSDMonth: 26, RequestsToday: 1}) || st.Model.State != "ok" || st.ActiveStreams != 0 {
		t.Errorf("status: %+v", st)
	}
}

func TestAStream(t *testing.T) {
	t.Parallel()
	tokens := []string{"Hé", "l\"lo\n", "\u2028 </script>", " 世界", " c4nary"}
	b := newBed(t, aifake.New(t, aifake.Says(tokens...).Uses(20, 5)), setup{})
	resp := b.open(chat("c4nary?"))
	events, err := readEvents(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"content-type": "text/event-stream", "cache-control": "no-cache, no-transform", "x-accel-buffering": "no", "x-model-id": "big",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	s := sum(t, events)
	if s.text != strings.Join(tokens, "") || s.tokens != len(tokens) || s.failed != "" {
		t.Errorf("got %+v", s)
	}
	u := s.done.Usage
	if u.ModelID != "big" || u.TokensIn != 20 || u.TokensOut != 5 || u.TotalTokens != 25 || s.done.Sources == nil || len(s.done.Sources) != 0 {
		t.Errorf("done: %+v", s.done)
	}
	// The next question brings the conversation with it.
	b.stream(chat("and c4nary?"))
	var contents []string
	for _, m := range b.up.Requests()[1].Chat.Messages {
		contents = append(contents, m.Role+": "+*m.Content)
	}
	want := []string{"system: You help Acme.", "user: c4nary?", "assistant: " + s.text, "user: and c4nary?"}
	if d := cmp.Diff(want, contents); d != "" {
		t.Error(d)
	}
}

func TestTokensAreNotHeldBack(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	b := newBed(t, aifake.New(t, aifake.Says("first", " second").PauseAt(1, gate)), setup{})
	resp := b.open(chat("c4nary"))
	defer func() { _ = resp.Body.Close() }()
	first := make([]byte, 5)
	if _, err := resp.Body.Read(first); err != nil || string(first) != "data:" {
		t.Fatalf("before the second token was made: %q, %v", first, err)
	}
	if st := b.status(); st.ActiveStreams != 1 {
		t.Errorf("%d active streams, want 1", st.ActiveStreams)
	}
	close(gate)
	if _, err := readEvents(resp.Body); err != nil {
		t.Error(err)
	}
}

func TestWhatIsWrongIsNamed(t *testing.T) {
	t.Parallel()
	b := newBed(t, aifake.New(t, aifake.Says("ok")), setup{cfg: func(c *tenantconfig.Config) {
		c.Limits.MessageChars = 10
		c.Models.Allowed = []string{"big", "small"}
	}})
	for name, tc := range map[string]struct {
		body   any
		status int
		code   string
		path   string // of the first detail
	}{
		"no JSON":             {"{", 400, "invalid_json", ""},
		"null":                {"null", 400, "", ""},
		"nothing":             {map[string]any{}, 400, "invalid_request", "sessionId"},
		"no UUID":             {chat("x", "sessionId", "c4nary").body, 400, "invalid_request", "sessionId"},
		"empty message":       {chat("").body, 400, "invalid_request", "message"},
		"null message":        {chat("x", "message", nil).body, 400, "invalid_request", "message"},
		"a number as message": {chat("x", "message", 7).body, 400, "invalid_request", "message"},
		"message too long":    {chat("12345678901").body, 400, "invalid_request", "message"},
		"ten code points":     {chat("世界世界世界世界世界", "stream", false).body, 200, "", ""},
		"hot":                 {chat("x", "temperature", 2.1).body, 400, "invalid_request", "temperature"},
		"no tokens":           {chat("x", "maxTokens", 0).body, 400, "invalid_request", "maxTokens"},
		"too many tokens":     {chat("x", "maxTokens", 501).body, 400, "invalid_request", "maxTokens"},
		"another model":       {chat("x", "modelId", "c4nary").body, 403, "model_not_allowed", "modelId"},
		"an allowed model":    {chat("x", "modelId", "small", "stream", false).body, 200, "", ""},
		"a long user":         {chat("x", "userId", strings.Repeat("u", 129)).body, 400, "invalid_request", "userId"},
		"a user":              {chat("x", "userId", strings.Repeat("u", 128), "stream", false).body, 200, "", ""},
		"documents":           {chat("x", "useRag", true).body, 403, "documents_not_enabled", ""},
		"no documents":        {chat("x", "useRag", false, "filter", nil, "stream", false).body, 200, "", ""},
		"a filter":            {chat("x", "filter", map[string]any{"a": 1}).body, 403, "documents_not_enabled", ""},
		"a tool":              {chat("x", "tool_name", "summarize").body, 403, "tools_not_enabled", ""},
		"unknown fields":      {chat("x", "c4nary", 1, "stream", false).body, 200, "", ""},
	} {
		a := b.do(call{path: "/chat", key: keyMain, body: tc.body})
		var e struct {
			Error struct {
				Details []struct{ Path string }
			}
		}
		_ = json.Unmarshal(a.body, &e)
		if a.status != tc.status || tc.code != "" && a.code() != tc.code {
			t.Errorf("%s: %d %s, want %d %s", name, a.status, a.body, tc.status, tc.code)
		}
		if tc.path != "" && (len(e.Error.Details) == 0 || e.Error.Details[0].Path != tc.path) {
			t.Errorf("%s: details %s, want %s first", name, a.body, tc.path)
		}
	}
	if n := len(b.up.Requests()); n != 5 {
		t.Errorf("%d calls upstream, want 5: a refused request makes none", n)
	}
}

func TestEveryRouteAsksForAKey(t *testing.T) {
	t.Parallel()
	b := newBed(t, aifake.New(t, aifake.Says("ok")), setup{})
	routes := []struct {
		method, path string
		body         any
	}{
		{http.MethodPost, "/chat", chat("c4nary", "stream", false).body},
		{http.MethodGet, "/chat/" + sessionA + "/history", nil},
		{http.MethodDelete, "/chat/" + sessionA, nil},
		{http.MethodGet, "/sessions", nil},
		{http.MethodGet, "/health", nil},
	}
	for _, r := range routes {
		for name, tc := range map[string]struct {
			key    string
			header map[string]string
			status int
			code   string
		}{
			"a key":                {keyMain, nil, 200, ""},
			"a key and the tenant": {keyMain, map[string]string{"x-tenant-id": "acme"}, 200, ""},
			"x-api-key":            {"", map[string]string{"x-api-key": keyMain}, 200, ""},
			"nothing":              {"", nil, 400, "tenant_required"},
			"the tenant alone":     {"", map[string]string{"x-tenant-id": "acme"}, 401, "unauthorized"},
			"a wrong key":          {"ce_c4nary-wrong", map[string]string{"x-tenant-id": "acme"}, 401, "unauthorized"},
			"another tenant":       {keyMain, map[string]string{"x-tenant-id": "c4nary"}, 404, "tenant_unknown"},
		} {
			a := b.do(call{method: r.method, path: r.path, body: r.body, key: tc.key, header: tc.header})
			if a.status != tc.status || a.code() != tc.code {
				t.Errorf("%s %s with %s: %d %s, want %d %s", r.method, r.path, name, a.status, a.body, tc.status, tc.code)
			}
		}
	}
}

func TestASessionBelongsToItsCaller(t *testing.T) {
	t.Parallel()
	b := newBed(t, aifake.New(t, aifake.Says("c4nary")), setup{})
	b.stream(chat("c4nary 1"))
	if got := b.history(keyOther, sessionA); len(got) != 0 {
		t.Errorf("another key sees %v", got)
	}
	remove := func(key string) {
		t.Helper()
		if a := b.do(call{method: http.MethodDelete, path: "/chat/" + strings.ToUpper(sessionA), key: key}); a.status != 200 || string(a.body) != `{"ok":true}` {
			t.Errorf("delete: %d %s", a.status, a.body)
		}
	}
	remove(keyOther)
	if got := b.history(keyMain, sessionA); len(got) != 2 {
		t.Errorf("after another key's delete: %v", got)
	}
	if got := b.history(keyAll, sessionA); len(got) != 2 {
		t.Errorf("with sessions:all: %v", got)
	}
	// Users of a key that vouches for them are callers of their own.
	for _, user := range []string{"ann", "bob"} {
		c := chat("c4nary of "+user, "stream", false, "userId", user)
		c.key = keyUsers
		if a := b.do(c); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	a := b.do(call{method: http.MethodGet, path: "/chat/" + sessionA + "/history", key: keyUsers, header: map[string]string{"x-user-id": "ann"}})
	if !strings.Contains(string(a.body), "c4nary of ann") || strings.Contains(string(a.body), "c4nary of bob") {
		t.Errorf("ann sees %s", a.body)
	}
	// A header that is wrong is named as a header.
	a = b.do(call{method: http.MethodGet, path: "/sessions", key: keyUsers, header: map[string]string{"x-user-id": ""}})
	if a.status != 400 || !strings.Contains(string(a.body), `"path":"x-user-id"`) {
		t.Errorf("an empty x-user-id: %d %s", a.status, a.body)
	}
	remove(keyMain)
	remove(keyMain)
	if got := b.history(keyMain, sessionA); len(got) != 0 {
		t.Errorf("after the delete: %v", got)
	}
}

func TestSessionsAreListed(t *testing.T) {
	t.Parallel()
	b := newBed(t, aifake.New(t, aifake.Says("c4nary")), setup{})
	b.stream(chat("c4nary"))
	b.stream(chat("c4nary", "sessionId", sessionB))
	type page struct {
		Data struct {
			Sessions []struct {
				SessionID            string
				Messages             int
				CreatedAt, UpdatedAt int64
			}
			NextCursor string
		}
	}
	list := func(query string) (p page) {
		t.Helper()
		a := b.do(call{method: http.MethodGet, path: "/sessions" + query, key: keyMain})
		if err := json.Unmarshal(a.body, &p); err != nil || a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		return p
	}
	first := list("?limit=1")
	if len(first.Data.Sessions) != 1 || first.Data.Sessions[0].SessionID != sessionB || first.Data.Sessions[0].Messages != 2 || first.Data.NextCursor == "" {
		t.Fatalf("%+v", first)
	}
	second := list("?cursor=" + first.Data.NextCursor)
	if len(second.Data.Sessions) != 1 || second.Data.Sessions[0].SessionID != sessionA || second.Data.NextCursor != "" {
		t.Errorf("%+v", second)
	}
	for _, path := range []string{"/sessions?limit=%zz", "/sessions?limit=1;cursor=", "/sessions?limit=0", "/sessions?limit=x", "/sessions?cursor=c4nary", "/chat/c4nary/history", "/chat/" + sessionA + "/history?before=x", "/chat/" + sessionA + "/history?limit=999"} {
		if a := b.do(call{method: http.MethodGet, path: path, key: keyMain}); a.status != 400 || a.code() != "invalid_request" {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
}

func TestPagesOfAHistoryMeet(t *testing.T) {
	t.Parallel()
	b := newBed(t, aifake.New(t, aifake.Says("c4nary")), setup{})
	for range 3 {
		b.stream(chat("c4nary"))
	}
	var before string
	var roles []string
	for range 7 {
		a := b.do(call{method: http.MethodGet, path: "/chat/" + sessionA + "/history?limit=1" + before, key: keyMain})
		var page []struct {
			Role      string
			Timestamp json.Number
		}
		if err := json.Unmarshal(a.body, &page); err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		roles = append(roles, page[0].Role)
		before = "&before=" + page[0].Timestamp.String()
	}
	want := []string{"assistant", "user", "assistant", "user", "assistant", "user"}
	if d := cmp.Diff(want, roles); d != "" {
		t.Error(d)
	}
}

// Requests that end in one millisecond leave no message that no page shows.
func TestPagesShowWhatWasAskedAtOnce(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	up := aifake.New(t, aifake.Says("c4nary").After(gate))
	b := newBed(t, up, setup{})
	const atOnce = 20
	var asking sync.WaitGroup
	for range atOnce {
		asking.Go(func() { b.do(chat("c4nary", "stream", false)) })
	}
	up.Await(atOnce)
	close(gate)
	asking.Wait()
	shown, before := 0, ""
	for range 3 * atOnce {
		a := b.do(call{method: http.MethodGet, path: "/chat/" + sessionA + "/history?limit=1" + before, key: keyMain})
		var page []struct{ Timestamp json.Number }
		if err := json.Unmarshal(a.body, &page); err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		shown++
		before = "&before=" + page[0].Timestamp.String()
	}
	if shown != 2*atOnce {
		t.Errorf("the pages show %d messages, want %d", shown, 2*atOnce)
	}
}

// What a 404 sends its reader to must be there.
func TestNotFoundNamesNoOtherMissingPath(t *testing.T) {
	t.Parallel()
	b := newBed(t, aifake.New(t), setup{})
	a := b.do(call{method: http.MethodGet, path: "/nowhere", key: keyMain})
	if a.status != 404 || a.code() != "not_found" {
		t.Errorf("%d %s", a.status, a.body)
	}
	for _, path := range regexp.MustCompile(`/[a-z.]+`).FindAllString(string(a.body), -1) {
		if named := b.do(call{method: http.MethodGet, path: path, key: keyMain}); named.status != 200 {
			t.Errorf("%s names %s, which answers %d", a.body, path, named.status)
		}
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	b := newBed(t, aifake.New(t), setup{})
	a := b.do(call{method: http.MethodGet, path: "/health", key: keyMain})
	if !strings.Contains(string(a.body), `"data":{"status":"ok","tenantId":"acme","environment":"development","modelId":"big","fallbackModelId":"small"}`) {
		t.Errorf("%s", a.body)
	}
	if a := b.do(call{method: http.MethodGet, url: b.ops + "/readyz"}); a.status != 200 {
		t.Errorf("readyz: %d", a.status)
	}
	if a := b.do(call{method: http.MethodGet, url: b.ops + "/status", header: map[string]string{"Authorization": "Bearer wrong"}}); a.status != 401 {
		t.Errorf("status with a wrong token: %d", a.status)
	}
}

func TestSilenceIsFilledFromTheStart(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	b := newBed(t, aifake.New(t, aifake.Says("c4nary").PauseAt(0, gate)), setup{options: func(o *server.Options) { o.Door.Ping = 20 * time.Millisecond }})
	resp := b.open(chat("c4nary"))
	defer func() { _ = resp.Body.Close() }()
	ping := make([]byte, 8)
	if _, err := resp.Body.Read(ping); err != nil || !strings.HasPrefix(string(ping), ": ping\n") {
		t.Fatalf("before the first token: %q, %v", ping, err)
	}
	close(gate)
	events, err := readEvents(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if s := sum(t, events); s.text != "c4nary" {
		t.Errorf("%+v", s)
	}
}
