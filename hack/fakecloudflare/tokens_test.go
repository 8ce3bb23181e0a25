package fakecloudflare_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/hack/fakecloudflare"
)

const second = "00000000000000000000000000000002"

func TestWhoMayNotEnter(t *testing.T) {
	t.Parallel()
	f := start(t, fakecloudflare.Options{Accounts: []fakecloudflare.Account{{ID: account}, {ID: second}}})
	f.as("").want(400, 6003, "GET", kv, nil)
	f.as("").want(400, 6003, "GET", kv, nil, "Authorization", "Basic x")
	f.as("c4narynobodys").want(401, 10000, "GET", kv, nil)
	f.as("c4narynobodys").want(401, 1000, "GET", "/client/v4/user/tokens/verify", nil)
	f.on(second).want(403, 10000, "GET", kv, nil)
	f.on(strings.Repeat("f", 32)).want(403, 10000, "GET", kv, nil)
	f.on("nonsense").want(404, 7003, "GET", kv, nil)
	f.want(404, 7003, "GET", "~/no/such/thing", nil)
	f.want(405, 7001, "PATCH", kv, nil)
	f.want(200, 0, "GET", "/client/v4/user/tokens/verify", nil)
	if got := f.want(200, 0, "GET", "~", nil).field(t, "id"); got != account {
		t.Errorf("the account is %q", got)
	}
	f.as(f.s.RootToken(second)).on(second).want(200, 0, "GET", kv, nil)
	for _, e := range f.s.Log() {
		if strings.Contains(fmt.Sprint(e), "c4nary") {
			t.Error("a token's value is in the log")
		}
	}
}

// Every operation of the document lets in who has one of its groups, and nobody else.
func TestPermissionsAreTheDocuments(t *testing.T) {
	t.Parallel()
	f := start(t, fakecloudflare.Options{Rate: fakecloudflare.Rate{Limit: -1}})
	checked := 0
	values := map[string]string{}
	mint := func(group string) string {
		if values[group] == "" {
			_, values[group] = f.mint(group, nil, group)
		}
		return values[group]
	}
	for _, op := range documented(t) {
		if len(op.groups) == 0 {
			continue
		}
		path := strings.NewReplacer("{account_id}", account, "{namespace_id}", "x", "{key_name}", "k", "{index_name}", "x", "{database_id}", "x",
			"{bucket_name}", "x", "{id}", "x", "{token_id}", "x", "{model_scope}", "@cf", "{model_vendor}", "x", "{model}", "x").Replace(op.path)
		if r := f.as(mint("DNS Read")).call(op.method, "/client/v4"+path, map[string]any{}); r.status != 403 {
			t.Errorf("%s %s let in a token without permission: %d", op.method, op.path, r.status)
		}
		for _, g := range op.groups {
			if !slices.ContainsFunc([]string{"KV", "D1", "R2", "Vectorize", "AI", "Tokens"}, func(p string) bool { return strings.Contains(g, p) }) {
				continue
			}
			if r := f.as(mint(g)).call(op.method, "/client/v4"+path, map[string]any{}); r.status == 403 && r.code() == 10000 || r.status == 405 || r.code() == 7003 {
				t.Errorf("%s %s refused a token with %s: %d %s", op.method, op.path, g, r.status, r.raw)
			}
			checked++
		}
	}
	if checked < 60 {
		t.Errorf("only %d permissions were checked", checked)
	}
}

func TestTokensAreMintedRolledAndRevoked(t *testing.T) {
	t.Parallel()
	f := start(t, fakecloudflare.Options{})
	id, value := f.mint("tenant/1", nil, "Workers KV Storage Read")
	if len(value) < 40 {
		t.Errorf("the value has %d characters", len(value))
	}
	mine := f.as(value)
	mine.want(200, 0, "GET", kv, nil)
	mine.want(403, 10000, "POST", kv, map[string]string{"title": "x"})
	if got := mine.want(200, 0, "GET", "~/tokens/verify", nil); got.field(t, "id") != id || got.field(t, "status") != "active" {
		t.Errorf("verify says %s", got.raw)
	}
	// Names aren't unique, and the value is shown once.
	again, _ := f.mint("tenant/1", nil, "Workers KV Storage Read")
	if again == id {
		t.Error("the second token is the first")
	}
	for _, path := range []string{"~/tokens", "~/tokens/" + id} {
		if r := f.want(200, 0, "GET", path, nil); strings.Contains(r.raw, value) || strings.Contains(r.raw, `"value"`) {
			t.Errorf("%s shows the value", path)
		}
	}
	roll := f.want(200, 0, "PUT", "~/tokens/"+id+"/value", map[string]any{})
	var fresh string
	roll.into(t, &fresh)
	mine.want(401, 10000, "GET", kv, nil)
	f.as(fresh).want(200, 0, "GET", kv, nil)
	f.want(200, 0, "DELETE", "~/tokens/"+id, nil)
	f.as(fresh).want(401, 10000, "GET", kv, nil)
	f.want(404, 1003, "DELETE", "~/tokens/"+id, nil)
	if n := f.s.State(account).Count("tokens"); n != 1 {
		t.Errorf("%d tokens are left", n)
	}
}

func TestARolledValueMayOverlap(t *testing.T) {
	t.Parallel()
	f := start(t, fakecloudflare.Options{Unsure: fakecloudflare.Unsure{RollOverlap: time.Minute}})
	id, value := f.mint("x", nil, "Workers KV Storage Read")
	f.want(200, 0, "PUT", "~/tokens/"+id+"/value", map[string]any{})
	f.as(value).want(200, 0, "GET", kv, nil)
	f.clock.pass(time.Minute)
	f.as(value).want(401, 10000, "GET", kv, nil)
}

func TestTokensEnd(t *testing.T) {
	t.Parallel()
	f := start(t, fakecloudflare.Options{})
	id, value := f.mint("short", map[string]any{"expires_on": f.clock.now().Add(time.Hour)}, "Workers KV Storage Read")
	f.as(value).want(200, 0, "GET", kv, nil)
	f.clock.pass(time.Hour)
	f.as(value).want(401, 10000, "GET", kv, nil)
	if got := f.want(200, 0, "GET", "~/tokens/"+id, nil).field(t, "status"); got != "expired" {
		t.Errorf("the status is %q", got)
	}
	if got := ids(t, f.want(200, 0, "GET", "~/tokens", nil), "id"); slices.Contains(got, id) {
		t.Error("an expired token is listed unasked")
	}
	if got := ids(t, f.want(200, 0, "GET", "~/tokens?include_expired=true", nil), "id"); !slices.Contains(got, id) {
		t.Error("an expired token isn't listed when asked for")
	}
	id, value = f.mint("off", nil, "Workers KV Storage Read")
	var spec map[string]any
	f.want(200, 0, "GET", "~/tokens/"+id, nil).into(t, &spec)
	spec["status"] = "disabled"
	f.want(200, 0, "PUT", "~/tokens/"+id, spec)
	f.as(value).want(401, 10000, "GET", kv, nil)
}

func TestTokensThatAreRefused(t *testing.T) {
	t.Parallel()
	f := start(t, fakecloudflare.Options{Accounts: []fakecloudflare.Account{{ID: account, Quotas: fakecloudflare.Quotas{Tokens: 2}}}, Unsure: fakecloudflare.Unsure{TokenNamesUnique: true}})
	good := func() map[string]any {
		return map[string]any{"name": "n", "policies": []any{map[string]any{"effect": "allow",
			"permission_groups": []any{map[string]string{"id": f.group("Vectorize Read")}}, "resources": map[string]string{"com.cloudflare.api.account." + account: "*"}}}}
	}
	for name, spoil := range map[string]func(map[string]any){
		"no name":     func(m map[string]any) { delete(m, "name") },
		"long name":   func(m map[string]any) { m["name"] = strings.Repeat("n", 121) },
		"no policies": func(m map[string]any) { m["policies"] = []any{} },
		"past":        func(m map[string]any) { m["expires_on"] = "2020-01-01T00:00:00Z" },
		"bad address": func(m map[string]any) {
			m["condition"] = map[string]any{"request_ip": map[string]any{"in": []string{"home"}}}
		},
		"bad group": func(m map[string]any) {
			m["policies"].([]any)[0].(map[string]any)["permission_groups"] = []any{map[string]string{"id": strings.Repeat("0", 32)}}
		},
		"other's data": func(m map[string]any) {
			m["policies"].([]any)[0].(map[string]any)["resources"] = map[string]string{"com.cloudflare.api.account." + second: "*"}
		},
	} {
		body := good()
		spoil(body)
		if r := f.call("POST", "~/tokens", body); r.status != 400 {
			t.Errorf("%s: answered %d %s", name, r.status, r.raw)
		}
	}
	// Cloudflare's own page writes request.ip, which is dropped in silence.
	body := good()
	body["condition"] = map[string]any{"request.ip": map[string]any{"in": []string{"10.0.0.0/8"}}}
	if r := f.want(200, 0, "POST", "~/tokens", body); strings.Contains(r.raw, "10.0.0.0") {
		t.Error("request.ip was kept")
	}
	f.want(400, 1004, "POST", "~/tokens", body) // the root token is one of the two
	g := start(t, fakecloudflare.Options{Unsure: fakecloudflare.Unsure{TokenNamesUnique: true}})
	g.want(200, 0, "POST", "~/tokens", good())
	g.want(409, 1005, "POST", "~/tokens", good())
}

func TestBudgetOfAToken(t *testing.T) {
	t.Parallel()
	f := start(t, fakecloudflare.Options{Rate: fakecloudflare.Rate{Limit: 5}})
	var last reply
	for range 4 {
		last = f.want(200, 0, "GET", kv, nil)
	}
	if got := last.header.Get("Ratelimit"); got != `"default";r=1;t=300` {
		t.Errorf("Ratelimit: %s", got)
	}
	if got := last.header.Get("Ratelimit-Policy"); got != `"default";q=5;w=300` {
		t.Errorf("Ratelimit-Policy: %s", got)
	}
	f.clock.pass(time.Minute)
	f.want(200, 0, "GET", kv, nil)
	r := f.want(429, 971, "GET", kv, nil)
	if got := r.header.Get("Retry-After"); got != "300" {
		t.Errorf("Retry-After: %s", got)
	}
	// Who exceeds the budget is out for a whole window, not for the rest of it.
	f.clock.pass(4*time.Minute + 59*time.Second)
	f.want(429, 971, "GET", kv, nil)
	f.clock.pass(time.Second)
	f.want(200, 0, "GET", kv, nil)
}

func TestEachTokenHasItsBudget(t *testing.T) {
	t.Parallel()
	f := start(t, fakecloudflare.Options{Rate: fakecloudflare.Rate{Limit: 3}})
	_, value := f.mint("own", nil, "Workers KV Storage Read") // two calls
	f.want(200, 0, "GET", kv, nil)
	f.want(429, 971, "GET", kv, nil)
	f.as(value).want(200, 0, "GET", kv, nil)
	g := start(t, fakecloudflare.Options{Rate: fakecloudflare.Rate{PerSecond: 2}})
	g.want(200, 0, "GET", kv, nil)
	g.want(200, 0, "GET", kv, nil)
	if r := g.call("GET", kv, nil); r.status != http.StatusTooManyRequests || r.header.Get("Retry-After") != "1" {
		t.Errorf("the third call of a second: %d", r.status)
	}
}

type documentedOp struct {
	method, path string
	groups       []string
}

// documented reads the operations out of Cloudflare's document.
func documented(t *testing.T) []documentedOp {
	t.Helper()
	var doc struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal(unpacked(t), &doc); err != nil {
		t.Fatal(err)
	}
	var all []documentedOp
	for path, item := range doc.Paths {
		for method, raw := range item {
			var op struct {
				Groups []string `json:"x-api-token-group"`
			}
			if json.Unmarshal(raw, &op) != nil {
				continue
			}
			all = append(all, documentedOp{method: strings.ToUpper(method), path: path, groups: op.Groups})
		}
	}
	if len(all) < 50 {
		t.Fatalf("the document has only %d operations", len(all))
	}
	return all
}
