package fakecloudflare_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/hack/fakecloudflare"
)

const (
	gateways = "~/ai-gateway/gateways"
	llama    = "@cf/meta/llama-3.1-8b-instruct-fast"
	viaChat  = "/workers-ai/v1/chat/completions"
)

func settings(more ...any) map[string]any {
	m := map[string]any{"cache_invalidate_on_update": false, "cache_ttl": 0, "collect_logs": true, "rate_limiting_interval": 0, "rate_limiting_limit": 0}
	for i := 0; i+1 < len(more); i += 2 {
		m[more[i].(string)] = more[i+1]
	}
	return m
}

func gateway(f fake, id string, more ...any) string {
	f.t.Helper()
	f.want(200, 0, "POST", gateways, settings(append(more, "id", id)...))
	return "/v1/" + account + "/" + id
}

func chat(text string, more ...any) map[string]any {
	m := map[string]any{"model": llama, "messages": []any{map[string]string{"role": "user", "content": text}}, "max_tokens": 100}
	for i := 0; i+1 < len(more); i += 2 {
		m[more[i].(string)] = more[i+1]
	}
	return m
}

func TestGatewaysAreReplacedWhole(t *testing.T) {
	t.Parallel()
	f := start(t, fakecloudflare.Options{Accounts: []fakecloudflare.Account{{ID: account, Free: true, Quotas: fakecloudflare.Quotas{Gateways: 2}}}})
	gateway(f, "shared", "retry_max_attempts", 3, "spend_limits", map[string]any{"enabled": true})
	one := gateways + "/shared"
	show := func() (m map[string]any) {
		f.want(200, 0, "GET", one, nil).into(t, &m)
		return m
	}
	if m := show(); m["spend_limits"] != nil || m["retry_max_attempts"] != 3.0 {
		t.Errorf("create keeps what only an update may say: %v", m)
	}
	r := f.want(400, 7001, "POST", gateways, settings("id", "shared"))
	if !slices.Equal(r.Errors[0].Path, []string{"body", "id"}) {
		t.Errorf("the path is %v", r.Errors[0].Path)
	}
	rule := map[string]any{"limit": 5, "limitType": "cost", "window": 3600, "metadata": map[string]any{"tenant": map[string]string{"mode": "partition"}}}
	f.want(200, 0, "PUT", one, settings("spend_limits", map[string]any{"enabled": true, "rules": []any{rule}}))
	if m := show(); m["spend_limits"] == nil || m["retry_max_attempts"] != nil {
		t.Errorf("the update was merged: %v", m)
	}
	for _, missing := range []string{"cache_ttl", "collect_logs", "rate_limiting_limit"} {
		body := settings()
		delete(body, missing)
		if r := f.want(400, 7001, "PUT", one, body); len(r.Errors[0].Path) == 0 {
			t.Errorf("without %s: no path", missing)
		}
	}
	rules := slices.Repeat([]any{rule}, 21)
	f.want(400, 7001, "PUT", one, settings("spend_limits", map[string]any{"enabled": true, "rules": rules}))
	for _, id := range []string{"", "Upper", "a--b", "-a", strings.Repeat("a", 65)} {
		f.want(400, 7001, "POST", gateways, settings("id", id))
	}
	f.want(400, 7001, "POST", gateways, settings("id", "x", "cache_ttl", 5))
	f.want(400, 7001, "POST", gateways, settings("id", "x", "retry_max_attempts", 9))
	gateway(f, "second")
	f.want(403, 7003, "POST", gateways, settings("id", "third"))
	f.want(200, 0, "DELETE", one, nil)
	f.want(404, 7002, "GET", one, nil)
	f.want(404, 7002, "DELETE", one, nil)
}

func TestGatewayConflictsMayBe409(t *testing.T) {
	t.Parallel()
	f := start(t, fakecloudflare.Options{Unsure: fakecloudflare.Unsure{GatewayConflict409: true, GatewayIDsHidden: true}})
	gateway(f, "g")
	f.want(409, 7001, "POST", gateways, settings("id", "g"))
	if r := f.want(200, 0, "GET", gateways+"/g", nil); strings.Contains(r.raw, "account_id") {
		t.Errorf("the account's id isn't hidden: %s", r.raw)
	}
}

func TestChatThroughTheGateway(t *testing.T) {
	t.Parallel()
	f := start(t, fakecloudflare.Options{})
	g := gateway(f, "shared")
	_, value := f.mint("tenant", nil, "Workers AI Read", "AI Gateway Run")
	f = f.as(value)
	r := f.call("POST", g+viaChat, chat("how are you"), "Cf-Aig-Metadata", `{"tenant":"t"}`)
	if r.status != 200 || !strings.Contains(r.raw, `"content":"You said: how are you"`) || r.header.Get("Cf-Aig-Cache-Status") != "MISS" {
		t.Errorf("answered %d %s", r.status, r.raw)
	}
	r = f.call("POST", g+viaChat, chat("one two three", "max_tokens", 2))
	if !strings.Contains(r.raw, `"finish_reason":"length"`) || !strings.Contains(r.raw, `"completion_tokens":2`) {
		t.Errorf("the maximum isn't kept: %s", r.raw)
	}
	for name, c := range map[string]struct {
		status int
		want   string
		reply  reply
	}{
		"no such gateway": {400, `"error":[{"code":2001`, f.call("POST", "/v1/"+account+"/none"+viaChat, chat("x"))},
		"nobody":          {401, `"error":[{"code":2009`, f.as("c4narynobody").call("POST", g+viaChat, chat("x"))},
		"removed model":   {404, `"code":"3042"`, f.call("POST", g+viaChat, chat("x", "model", "@cf/meta/llama-3.1-8b-instruct"))},
		"no such model":   {400, `"code":"5007"`, f.call("POST", g+viaChat, chat("x", "model", "@cf/no/such"))},
		"no messages":     {400, `"code":"5004"`, f.call("POST", g+viaChat, map[string]any{"model": llama})},
	} {
		if c.reply.status != c.status || !strings.Contains(c.reply.raw, c.want) {
			t.Errorf("%s: answered %d %s", name, c.reply.status, c.reply.raw)
		}
	}
	for _, e := range f.s.Log() {
		if strings.Contains(fmt.Sprint(e), "how are you") {
			t.Error("a message is in the log")
		}
	}
}

func TestHeadersOfTheGateway(t *testing.T) {
	t.Parallel()
	f := start(t, fakecloudflare.Options{})
	g := gateway(f, "shared")
	bad := [][]string{
		{"Cf-Aig-Metadata", "tenant"}, {"Cf-Aig-Metadata", `{"a":{}}`}, {"Cf-Aig-Metadata", `{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1}`}, {"Cf-Aig-Metadata", "null"},
		{"Cf-Aig-Cache-Ttl", "59"}, {"Cf-Aig-Cache-Ttl", "2592001"}, {"Cf-Aig-Skip-Cache", "yes"}, {"Cf-Aig-Max-Attempts", "6"}, {"Cf-Aig-Invented", "x"},
	}
	for n, h := range bad {
		if r := f.call("POST", g+viaChat, chat("x"), h...); r.status != 400 {
			t.Errorf("%v: answered %d", h, r.status)
		}
		if f.clientViolations() != n+1 {
			t.Errorf("%v isn't noted", h)
		}
	}
	if r := f.call("POST", "~/ai/v1/chat/completions", chat("x"), "Cf-Aig-Cache-Key", "k"); r.status != 400 {
		t.Errorf("a gateway's header without a gateway: %d", r.status)
	}
	if r := f.call("POST", "~/ai/v1/chat/completions", chat("x"), "Cf-Aig-Gateway-Id", "shared", "Cf-Aig-Cache-Key", "k"); r.status != 200 || r.header.Get("Cf-Aig-Cache-Status") != "MISS" {
		t.Errorf("the REST API through a gateway: %d %s", r.status, r.raw)
	}
}

// With one credential and no key of their own, two tenants that ask the same share the
// answer; a key keeps them apart.
func TestTheGatewaysCacheCanLeak(t *testing.T) {
	t.Parallel()
	f := start(t, fakecloudflare.Options{})
	g := gateway(f, "cached", "cache_ttl", 60)
	f.s.AnswerChats(func(c fakecloudflare.ChatCall) fakecloudflare.Reply {
		return fakecloudflare.Reply{Tokens: []string{"for " + c.Metadata}}
	})
	ask := func(tenant string, header ...string) (string, string) {
		r := f.call("POST", g+viaChat, chat("same"), append(header, "Cf-Aig-Metadata", `{"tenant":"`+tenant+`"}`)...)
		var doc struct {
			Choices []struct{ Message struct{ Content string } }
		}
		if err := json.Unmarshal([]byte(r.raw), &doc); err != nil || len(doc.Choices) == 0 {
			t.Fatalf("answered %d %s", r.status, r.raw)
		}
		return doc.Choices[0].Message.Content, r.header.Get("Cf-Aig-Cache-Status")
	}
	expect := func(what, text, status string, header ...string) {
		t.Helper()
		tenant, _, _ := strings.Cut(what, ":")
		if gotText, gotStatus := ask(tenant, header...); gotText != `for {"tenant":"`+text+`"}` || gotStatus != status {
			t.Errorf("%s: %q %s", what, gotText, gotStatus)
		}
	}
	expect("a: first", "a", "MISS")
	expect("b: leaks", "a", "HIT")
	expect("b: keyed", "b", "MISS", "Cf-Aig-Cache-Key", "b-1")
	expect("a: keyed", "a", "MISS", "Cf-Aig-Cache-Key", "a-1")
	expect("b: its own again", "b", "HIT", "Cf-Aig-Cache-Key", "b-1")
	expect("b: skips", "b", "MISS", "Cf-Aig-Skip-Cache", "true")
	f.clock.pass(time.Minute)
	expect("b: too old", "b", "MISS", "Cf-Aig-Cache-Key", "b-1")

	g = gateway(f, "uncached")
	expect("a: off", "a", "MISS")
	expect("b: off", "b", "MISS")
	expect("a: a key alone turns it on", "a", "MISS", "Cf-Aig-Cache-Key", "k")
	f.clock.pass(299 * time.Second)
	expect("b: for five minutes", "a", "HIT", "Cf-Aig-Cache-Key", "k")
	f.clock.pass(time.Second)
	expect("b: and no longer", "b", "MISS", "Cf-Aig-Cache-Key", "k")
}

func TestTheDefaultGatewayMakesItself(t *testing.T) {
	t.Parallel()
	f := start(t, fakecloudflare.Options{})
	path := "/v1/" + account + "/default" + viaChat
	f.as("c4narynobody").call("POST", path, chat("x"))
	f.want(404, 7002, "GET", gateways+"/default", nil)
	for range 2 {
		if r := f.call("POST", path, chat("x")); r.status != 200 {
			t.Fatalf("answered %d %s", r.status, r.raw)
		}
		f.want(200, 0, "DELETE", gateways+"/default", nil)
	}
}

func TestGatewaysWithAuthenticationAndLimits(t *testing.T) {
	t.Parallel()
	f := start(t, fakecloudflare.Options{})
	g := gateway(f, "locked", "authentication", true)
	_, plain := f.mint("plain", nil, "Workers AI Read")
	_, run := f.mint("run", nil, "AI Gateway Run")
	if r := f.as(plain).call("POST", g+viaChat, chat("x")); r.status != 401 || !strings.Contains(r.raw, "2009") {
		t.Errorf("without a gateway's token: %d %s", r.status, r.raw)
	}
	if r := f.as(plain).call("POST", g+viaChat, chat("x"), "Cf-Aig-Authorization", "Bearer "+run); r.status != 200 {
		t.Errorf("with one: %d %s", r.status, r.raw)
	}
	g = gateway(f, "limited", "rate_limiting_limit", 2, "rate_limiting_interval", 60)
	for n, want := range []int{200, 200, 429} {
		if r := f.call("POST", g+viaChat, chat("x")); r.status != want {
			t.Errorf("call %d: %d", n, r.status)
		}
	}
	f.clock.pass(time.Minute)
	if r := f.call("POST", g+viaChat, chat("x")); r.status != 200 {
		t.Errorf("a minute later: %d", r.status)
	}
}
