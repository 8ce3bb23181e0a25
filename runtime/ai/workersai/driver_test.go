package workersai_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aitest"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/workersai"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	account = "0123456789abcdef0123456789abcdef"
	model   = "@cf/meta/llama-3.1-8b-instruct-fast"
)

func options(up *aifake.Server, bend func(*workersai.Options)) workersai.Options {
	o := workersai.Options{AccountID: account, Environment: "production", BaseURL: up.Origin, Credential: func() string { return aitest.Canary }}
	if bend != nil {
		bend(&o)
	}
	return o
}

func newDriver(t testing.TB, up *aifake.Server, bend func(*workersai.Options)) workersai.Driver {
	t.Helper()
	d, err := workersai.New(options(up, bend))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

var ways = map[string]func(*workersai.Options){
	"direct":  nil,
	"gateway": func(o *workersai.Options) { o.GatewayID = "shared-gw" },
	"cached":  func(o *workersai.Options) { o.GatewayID, o.CacheTTLSeconds, o.CollectLogs = "shared-gw", 60, true },
}

func TestConformance(t *testing.T) {
	t.Parallel()
	for name, bend := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			aitest.Run(t, aitest.Harness{Model: model, New: func(t *testing.T, answers ...aifake.Answer) (ai.Chatter, *aifake.Server) {
				up := aifake.New(t, answers...)
				return newDriver(t, up, bend), up
			}})
		})
	}
}

func tenant(t testing.TB, id, identity string) tenancy.ID {
	t.Helper()
	tid, err := tenancy.NewID(id, identity)
	if err != nil {
		t.Fatal(err)
	}
	return tid
}

func ask(text string) ai.ChatRequest {
	return ai.ChatRequest{Model: model, MaxTokens: 10, TraceID: "trace-1", Messages: []ai.Message{{Role: ai.RoleUser, Content: text}}}
}

func TestPathsAndHeaders(t *testing.T) {
	t.Parallel()
	type headers = map[string]string
	for name, c := range map[string]struct {
		path string
		want headers
	}{
		"direct": {"/client/v4/accounts/" + account + "/ai/v1/chat/completions", headers{"cf-aig-metadata": "", "cf-aig-skip-cache": "", "cf-aig-cache-key": ""}},
		"gateway": {"/v1/" + account + "/shared-gw/workers-ai/v1/chat/completions", headers{
			"cf-aig-metadata": `{"tenant":"acme","environment":"production","trace":"trace-1"}`, "cf-aig-skip-cache": "true", "cf-aig-cache-ttl": "", "cf-aig-collect-log": "false",
		}},
		"cached": {"/v1/" + account + "/shared-gw/workers-ai/v1/chat/completions", headers{
			"cf-aig-metadata": `{"tenant":"acme","environment":"production","trace":"trace-1"}`, "cf-aig-skip-cache": "", "cf-aig-cache-ttl": "60", "cf-aig-collect-log": "true",
		}},
	} {
		up := aifake.New(t, aifake.Says("x"))
		if _, err := newDriver(t, up, ways[name]).Complete(t.Context(), aitest.Tenant(t), ask("hi")); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		r := up.Requests()[0]
		if r.Path != c.path {
			t.Errorf("%s: the path is %s", name, r.Path)
		}
		asked := r.Header.Get("Cf-Aig-Authorization")
		if want := r.Header.Get("Authorization"); name != "direct" && (want == "" || asked != want) || name == "direct" && asked != "" {
			t.Errorf("%s: the gateway isn't asked with the token that the model is asked with", name)
		}
		for header, want := range c.want {
			if got := r.Header.Get(header); got != want {
				t.Errorf("%s: %s is %q, want %q", name, header, got, want)
			}
		}
	}
}

func TestCacheKeysKeepTenantsApart(t *testing.T) {
	t.Parallel()
	up := aifake.New(t, aifake.Says("x"))
	d := newDriver(t, up, ways["cached"])
	key := func(id tenancy.ID, req ai.ChatRequest) string {
		if _, err := d.Complete(t.Context(), id, req); err != nil {
			t.Fatal(err)
		}
		requests := up.Requests()
		return requests[len(requests)-1].Header.Get("cf-aig-cache-key")
	}
	acme := tenant(t, "acme", "o/ns/production/acme")
	base := key(acme, ask("hi"))
	if again := key(acme, ask("hi")); again != base || len(base) != 2*sha256.Size {
		t.Errorf("the same question has the keys %q and %q", base, again)
	}
	if _, err := hex.DecodeString(base); err != nil {
		t.Error(err)
	}
	traced := ask("hi")
	traced.TraceID = "trace-2"
	if key(acme, traced) != base {
		t.Error("the trace id is part of the key, so nothing is ever found again")
	}
	seen := map[string]string{base: "base"}
	other := ask("hi")
	other.Model = "@cf/other"
	warm, longer := ask("hi"), ask("hi")
	one := 1.0
	warm.Temperature, longer.MaxTokens = &one, 11
	for name, c := range map[string]struct {
		id  tenancy.ID
		req ai.ChatRequest
	}{
		"same public id elsewhere": {tenant(t, "acme", "o/ns/staging/acme"), ask("hi")},
		"another tenant":           {tenant(t, "beta", "o/ns/production/beta"), ask("hi")},
		"a name that runs over":    {tenant(t, "acme", "o/ns/production/acme@cf"), ask("hi")},
		"another model":            {acme, other},
		"another question":         {acme, ask("hi!")},
		"another temperature":      {acme, warm},
		"another limit":            {acme, longer},
	} {
		k := key(c.id, c.req)
		if was, taken := seen[k]; taken {
			t.Errorf("%s has the key of %s", name, was)
		}
		seen[k] = name
	}
}

func TestCloudflaresCodesHaveTheirKinds(t *testing.T) {
	t.Parallel()
	envelope := func(code string) string {
		return `{"success":false,"errors":[{"code":` + code + `,"message":"c4nary"}]}`
	}
	gateway := func(code string) string {
		return `{"success":false,"result":[],"messages":[],"error":[{"code":` + code + `,"message":"c4nary"}]}`
	}
	for _, c := range []struct {
		status int
		body   string
		want   ai.Kind
	}{
		{429, envelope("3036"), ai.KindQuota},
		{429, `{"internalCode":3036,"message":"c4nary","name":"x","description":"y"}`, ai.KindQuota},
		{429, envelope("3040"), ai.KindUnavailable},
		{429, envelope("971"), ai.KindRateLimited},
		{429, envelope("99999"), ai.KindRateLimited},
		{429, `{"error":{"message":"c4nary","code":"3036"}}`, ai.KindQuota},
		{400, envelope("5007"), ai.KindModelNotFound},
		{404, envelope("3042"), ai.KindModelNotFound},
		{400, envelope("7003"), ai.KindModelNotFound},
		{400, envelope("5004"), ai.KindBadRequest},
		{400, `{"errors":[{"code":5004,"message":"This model's context window of 10 tokens is exceeded"}]}`, ai.KindTooLong},
		{413, envelope("3006"), ai.KindTooLong},
		{408, envelope("3007"), ai.KindTimeout},
		{401, gateway("2009"), ai.KindUnauthorized},
		{400, gateway("2040"), ai.KindUnauthorized},
		{403, envelope("10000"), ai.KindUnauthorized},
		{424, gateway("2016"), ai.KindBlocked},
		{422, gateway("2017"), ai.KindBlocked},
		{402, gateway("2021"), ai.KindQuota},
		{429, gateway("2021"), ai.KindQuota},
		{500, gateway("7013"), ai.KindUnavailable},
		{520, `<html>c4nary</html>`, ai.KindUnavailable},
		{500, ``, ai.KindUnavailable},
	} {
		up := aifake.New(t, aifake.Refuses(c.status, c.body))
		_, err := newDriver(t, up, ways["gateway"]).Complete(t.Context(), aitest.Tenant(t), ask("hi"))
		var e *ai.Error
		if !errors.As(err, &e) || e.Kind != c.want {
			t.Errorf("%d %s: %v, want %q", c.status, c.body, err, c.want)
		}
		if strings.Contains(err.Error(), "c4nary") {
			t.Errorf("the error quotes Cloudflare: %v", err)
		}
	}
}

// Workers AI answers in several shapes, by model; a caller sees one.
func TestEveryShapeOfAnAnswer(t *testing.T) {
	t.Parallel()
	for name, shape := range map[string]func(aifake.Answer) aifake.Answer{
		"its own frames":         aifake.Answer.Native,
		"its own whole document": func(a aifake.Answer) aifake.Answer { return a.Native().Whole() },
		"OpenAI's document":      aifake.Answer.Whole,
		"lines that end in CRLF": aifake.Answer.CRLF,
	} {
		up := aifake.New(t, shape(aifake.Says("Hello", " world")))
		s, err := newDriver(t, up, nil).Stream(t.Context(), aitest.Tenant(t), ask("hi"))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var text string
		var used *ai.Usage
		for {
			chunk, err := s.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: after %q: %v", name, text, err)
			}
			text += chunk.Text
			if chunk.Usage != nil {
				used = chunk.Usage
			}
		}
		_ = s.Close()
		if text != "Hello world" || used == nil || used.Out != up.Ledger()[0].Out {
			t.Errorf("%s: %q, usage %+v, the ledger says %+v", name, text, used, up.Ledger())
		}
	}
}

func TestErrorInsideAStream(t *testing.T) {
	t.Parallel()
	up := aifake.New(t, aifake.Sends("text/event-stream", "data: {\"response\":\"x\"}\n\ndata: {\"success\":false,\"errors\":[{\"code\":3036,\"message\":\"m\"}]}\n\n"))
	s, err := newDriver(t, up, nil).Stream(t.Context(), aitest.Tenant(t), ask("hi"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	text, _, err := aitest.Collect(s)
	var e *ai.Error
	if text != "x" || !errors.As(err, &e) || e.Kind != ai.KindQuota {
		t.Errorf("%q, %v", text, err)
	}
}

func TestMetadataTakesAnyTenant(t *testing.T) {
	t.Parallel()
	up := aifake.New(t, aifake.Says("x"))
	d := newDriver(t, up, ways["gateway"])
	if _, err := d.Complete(t.Context(), tenant(t, `a"},"x":{"`, "i"), ask("hi")); err != nil {
		t.Fatal(err)
	}
	var m map[string]string
	if err := json.Unmarshal([]byte(up.Requests()[0].Header.Get("cf-aig-metadata")), &m); err != nil || m["tenant"] != `a"},"x":{"` {
		t.Errorf("%v, %v", m, err)
	}
}

func TestOptionsThatAreRefused(t *testing.T) {
	t.Parallel()
	up := aifake.New(t)
	for name, bend := range map[string]func(*workersai.Options){
		"no account":        func(o *workersai.Options) { o.AccountID = "" },
		"account is a path": func(o *workersai.Options) { o.AccountID = "../../../client/v4/accounts/x" },
		"gateway is a path": func(o *workersai.Options) { o.GatewayID = "a/../b" },
		"long gateway":      func(o *workersai.Options) { o.GatewayID = strings.Repeat("a", 65) },
		"short TTL":         func(o *workersai.Options) { o.CacheTTLSeconds = 59 },
		"long TTL":          func(o *workersai.Options) { o.CacheTTLSeconds = 2_592_001 },
		"bad address":       func(o *workersai.Options) { o.BaseURL = "cloudflare" },
	} {
		if _, err := workersai.New(options(up, bend)); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}
