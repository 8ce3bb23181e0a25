package aifake_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	good    = `{"model":"m","messages":[{"role":"user","content":"hi there"}],"max_tokens":5,"stream":true,"stream_options":{"include_usage":true}}`
	account = "0123456789abcdef0123456789abcdef"
	gateway = "/v1/" + account + "/gw/workers-ai/v1/chat/completions"
)

// call sends body to path, with header names and values by turns.
func call(t *testing.T, up *aifake.Server, path, body string, header ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, up.Origin+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Logf("reading the body: %v", err)
	}
	return resp.StatusCode, string(b)
}

func TestStreamIsOpenAIs(t *testing.T) {
	up := aifake.New(t, aifake.Says("Hi", "!"))
	status, body := call(t, up, "/v1/chat/completions", good)
	want := `data: {"choices":[{"delta":{"content":"Hi"},"finish_reason":null,"index":0}],"created":1,"id":"chatcmpl-1","model":"m","object":"chat.completion.chunk"}

data: {"choices":[{"delta":{"content":"!"},"finish_reason":null,"index":0}],"created":1,"id":"chatcmpl-1","model":"m","object":"chat.completion.chunk"}

data: {"choices":[{"delta":{},"finish_reason":"stop","index":0}],"created":1,"id":"chatcmpl-1","model":"m","object":"chat.completion.chunk"}

data: {"choices":[],"id":"chatcmpl-1","model":"m","object":"chat.completion.chunk","usage":{"completion_tokens":2,"prompt_tokens":6,"total_tokens":8}}

data: [DONE]

`
	if diff := cmp.Diff(want, body); status != http.StatusOK || diff != "" {
		t.Errorf("%d %s", status, diff)
	}
	if diff := cmp.Diff([]aifake.Entry{{Model: "m", In: 6, Out: 2, Told: true}}, up.Ledger()); diff != "" {
		t.Error(diff)
	}
}

func TestBadCallsAreRefused(t *testing.T) {
	up := aifake.New(t, aifake.Says("x"))
	bearer := []string{"Authorization", "Bearer k"}
	metadata := append([]string{"cf-aig-skip-cache", "true"}, bearer...)
	for name, c := range map[string]struct {
		path, body string
		header     []string
		status     int
	}{
		"good":                     {"/v1/chat/completions", good, nil, 200},
		"good, account":            {"/client/v4/accounts/" + account + "/ai/v1/chat/completions", good, bearer, 200},
		"good, gateway":            {gateway, good, append([]string{"cf-aig-metadata", `{"tenant":"a"}`}, metadata...), 200},
		"unknown path":             {"/v2/chat/completions", good, nil, 404},
		"unknown field":            {"/v1/chat/completions", strings.Replace(good, "max_tokens", "maxTokens", 1), nil, 400},
		"no max_tokens":            {"/v1/chat/completions", strings.Replace(good, `"max_tokens":5,`, "", 1), nil, 400},
		"no messages":              {"/v1/chat/completions", `{"model":"m","messages":[],"max_tokens":5}`, nil, 400},
		"no model":                 {"/v1/chat/completions", strings.Replace(good, `"m"`, `""`, 1), nil, 400},
		"no role":                  {"/v1/chat/completions", strings.Replace(good, "user", "human", 1), nil, 400},
		"no content":               {"/v1/chat/completions", strings.Replace(good, `,"content":"hi there"`, "", 1), nil, 400},
		"options without a stream": {"/v1/chat/completions", strings.Replace(good, `"stream":true`, `"stream":false`, 1), nil, 400},
		"temperature":              {"/v1/chat/completions", strings.Replace(good, `"max_tokens":5`, `"max_tokens":5,"temperature":2.1`, 1), nil, 400},
		"trailing garbage":         {"/v1/chat/completions", good + "{}", nil, 400},
		"no JSON":                  {"/v1/chat/completions", "{", nil, 400},
		"wrong type of body":       {"/v1/chat/completions", good, []string{"Content-Type", "text/plain"}, 415},
		"no token for Cloudflare":  {gateway, good, []string{"cf-aig-skip-cache", "true"}, 401},
		"shared cache":             {gateway, good, bearer, 400},
		"unknown gateway header":   {gateway, good, append([]string{"cf-aig-tenant", "a"}, metadata...), 400},
		"gateway header elsewhere": {"/v1/chat/completions", good, metadata, 400},
		"six entries":              {gateway, good, append([]string{"cf-aig-metadata", `{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1}`}, metadata...), 400},
		"metadata isn't flat":      {gateway, good, append([]string{"cf-aig-metadata", `{"a":{}}`}, metadata...), 400},
		"short TTL":                {gateway, good, append([]string{"cf-aig-cache-ttl", "59"}, metadata...), 400},
	} {
		status, body := call(t, up, c.path, c.body, c.header...)
		if status != c.status {
			t.Errorf("%s: %d %s", name, status, body)
		}
		r := up.Requests()
		if refused := r[len(r)-1].Refused != ""; refused != (c.status != 200) {
			t.Errorf("%s: refused is %v", name, refused)
		}
	}
	if n := len(up.Ledger()); n != 3 {
		t.Errorf("%d calls are in the book, 3 were answered", n)
	}
}

func TestKeyIsRequired(t *testing.T) {
	up := aifake.New(t, aifake.Says("x"))
	up.RequireKey("k")
	for header, want := range map[string]int{"": 401, "Bearer wrong": 401, "Bearer k": 200} {
		if status, _ := call(t, up, "/v1/chat/completions", good, "Authorization", header); status != want {
			t.Errorf("%q: %d", header, status)
		}
	}
}

func TestAnswersAreGivenInOrderAndTheLastForEver(t *testing.T) {
	up := aifake.New(t, aifake.Refuses(429, "a", "Retry-After", "3"), aifake.Refuses(500, "b"), aifake.Sends("text/plain", "c"))
	for i, want := range []string{"a", "b", "c", "c"} {
		if _, body := call(t, up, "/v1/chat/completions", good); body != want {
			t.Errorf("answer %d is %q", i, body)
		}
	}
	if status, _ := call(t, aifake.New(t), "/v1/chat/completions", good); status != http.StatusInternalServerError {
		t.Errorf("without a script: %d", status)
	}
}

func TestCutsAndPieces(t *testing.T) {
	const all = "0123456789"
	for name, c := range map[string]struct {
		answer aifake.Answer
		want   string
	}{
		"cut":    {aifake.Sends("text/plain", all).CutAfter(4), "0123"},
		"ended":  {aifake.Sends("text/plain", all).EndAfter(4), "0123"},
		"pieces": {aifake.Sends("text/plain", all).InPieces(3), all},
		"both":   {aifake.Sends("text/plain", all).InPieces(3).CutAfter(4), "0123"},
	} {
		if _, body := call(t, aifake.New(t, c.answer), "/v1/chat/completions", good); body != c.want {
			t.Errorf("%s: %q", name, body)
		}
	}
}

func TestCancelledCallsBillWhatWasWritten(t *testing.T) {
	up := aifake.New(t, aifake.Says("a", "b", "c", "d").PauseAt(2, make(chan struct{})))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, up.URL+"/chat/completions", strings.NewReader(good))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	buf := make([]byte, 1<<10)
	for seen := ""; !strings.Contains(seen, `"b"`); {
		n, err := resp.Body.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		seen += string(buf[:n])
	}
	before := time.Now()
	cancel()
	got := up.Await(1)
	<-got.Canceled()
	<-got.Done()
	if got.CanceledAt().Before(before) {
		t.Error("the client was gone before it went")
	}
	if diff := cmp.Diff([]aifake.Entry{{Model: "m", In: 6, Out: 2}}, up.Ledger()); diff != "" {
		t.Error(diff)
	}
}

func TestHeldAnswerComesWhenItsGateOpens(t *testing.T) {
	gate := make(chan struct{})
	up := aifake.New(t, aifake.Says("x").After(gate))
	go func() {
		up.Await(1)
		close(gate)
	}()
	if status, body := call(t, up, "/v1/chat/completions", good); status != 200 || !strings.Contains(body, `"x"`) {
		t.Errorf("%d %q", status, body)
	}
}
