package fakecloudflare

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"
)

// maxCacheTTL is a month, in seconds.
const maxCacheTTL = 2_592_000

const (
	aiBase      = "/accounts/{account_id}/ai"
	gatewayPath = "/v1/{account_id}/{gateway_id}/workers-ai"
)

var aiOperations = func() []operation {
	all := []operation{
		{method: "POST", path: aiBase + "/v1/chat/completions", id: "x.v1_chat_completions", do: openAI(chatCompletion)},
		{method: "POST", path: aiBase + "/v1/embeddings", id: "x.v1_embeddings", do: openAI(openAIEmbeddings)},
		{method: "POST", path: aiBase + "/run", id: "workers-ai-post-run-generic", do: runNamed},
		{method: "POST", path: aiBase + "/run/{model}", id: "workers-ai-post-run-model", undocumented: true, do: runAt(1)},
		{method: "POST", path: aiBase + "/run/{model_scope}/{model_vendor}/{model}", id: "workers-ai-post-run-model-slashed", do: runAt(1)},
		{method: "POST", path: gatewayPath + "/v1/chat/completions", id: "gateway-chat-completions", gateway: true, do: openAI(chatCompletion)},
		{method: "POST", path: gatewayPath + "/v1/embeddings", id: "gateway-embeddings", gateway: true, do: openAI(openAIEmbeddings)},
		{method: "POST", path: gatewayPath + "/{model_scope}/{model_vendor}/{model}", id: "gateway-run", gateway: true, do: runAt(2)},
		{method: "GET", path: aiBase + "/models/search", id: "workers-ai-search-model", kind: "ai", groups: read("Workers AI"), do: searchModels},
	}
	for n := range all {
		o := &all[n]
		if o.method != http.MethodPost {
			continue
		}
		o.kind, o.groups, o.takesJSON, o.inference = "ai", read("Workers AI"), true, true
		o.malformed = refuses(5004)
		do := o.do
		if o.gateway {
			o.undocumented = true
			o.deny = gatewayDeny
		}
		o.do = func(c *call) answer { return throughGateway(c, do) }
	}
	return all
}()

// gatewayDeny: the gateway's host says no in a shape of its own.
func gatewayDeny(a answer) answer {
	return gatewayFail(http.StatusUnauthorized, 2009, "Unauthorized")
}

func gatewayFail(status, code int, message string) answer {
	return jsonAnswer(status, map[string]any{"success": false, "result": []any{}, "messages": []any{}, "error": []any{map[string]any{"code": code, "message": message}}})
}

// throughGateway plays what the gateway adds: its headers, its rate limit, its cache.
// On the REST API it does so if a gateway is named.
func throughGateway(c *call, do func(*call) answer) answer {
	id := c.r.Header.Get("Cf-Aig-Gateway-Id")
	if c.op.gateway {
		id = c.param(1)
	}
	if problem := headerProblem(c.r.Header, c.op.gateway || id != ""); problem != "" {
		c.s.violate(c, true, problem)
		return gatewayFail(http.StatusBadRequest, 2019, problem)
	}
	if id == "" {
		return do(c)
	}
	i := c.acct.Gateways.get(id)
	if i == nil {
		if id != "default" {
			return gatewayFail(http.StatusBadRequest, 2001, "Please configure AI Gateway in the Cloudflare dashboard")
		}
		// The default one makes itself, at the first call that may.
		i = c.acct.addGateway(id, map[string]any{"cache_invalidate_on_update": false, "cache_ttl": 0.0, "collect_logs": true, "rate_limiting_interval": 0.0, "rate_limiting_limit": 0.0}, c.now)
	}
	g := &i.Value
	if g.Settings["authentication"] == true && !c.mayRun() {
		return gatewayFail(http.StatusUnauthorized, 2009, "Unauthorized")
	}
	if wait := g.throttled(c.now); wait > 0 {
		return gatewayFail(http.StatusTooManyRequests, 2003, "Rate limited").with("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
	}
	key, ttl := g.cacheKey(c)
	if hit, there := g.Cache[key]; there && ttl > 0 && c.now.Before(hit.until) {
		return raw(hit.contentType, hit.body).with("Cf-Aig-Cache-Status", "HIT").with("Cf-Aig-Log-Id", hexID())
	}
	a := do(c).with("Cf-Aig-Cache-Status", "MISS").with("Cf-Aig-Log-Id", hexID())
	if ttl > 0 && a.status == http.StatusOK && a.stream == nil {
		if g.Cache == nil {
			g.Cache = map[string]cachedAnswer{}
		}
		g.Cache[key] = cachedAnswer{until: c.now.Add(ttl), contentType: a.contentType, body: a.body}
	}
	return a
}

// mayRun: a gateway with authentication wants a token of its own.
func (c *call) mayRun() bool {
	value, is := strings.CutPrefix(c.r.Header.Get("Cf-Aig-Authorization"), "Bearer ")
	if !c.op.gateway && !is {
		value = strings.TrimPrefix(c.r.Header.Get("Authorization"), "Bearer ")
	}
	cred, known := c.s.values[value]
	return known && cred.account == c.acct.ID && cred.token.status(c.now) == "active" && cred.token.may(c.acct.ID, []string{"AI Gateway Run", "AI Gateway Write"}, c.now)
}

// throttled is how long to wait, by the gateway's own rate limit.
func (g *gateway) throttled(now time.Time) time.Duration {
	limit, _ := g.Settings["rate_limiting_limit"].(float64)
	seconds, _ := g.Settings["rate_limiting_interval"].(float64)
	if limit <= 0 || seconds <= 0 {
		return 0
	}
	window := time.Duration(seconds) * time.Second
	if g.Settings["rate_limiting_technique"] == "sliding" {
		for len(g.calls) > 0 && !g.calls[0].Add(window).After(now) {
			g.calls = g.calls[1:]
		}
	} else if len(g.calls) > 0 && !g.calls[0].Add(window).After(now) {
		g.calls = nil
	}
	if len(g.calls) >= int(limit) {
		return g.calls[0].Add(window).Sub(now)
	}
	g.calls = append(g.calls, now)
	return 0
}

// cacheKey: the caller's own key, or provider, endpoint, model, credential and body. So
// callers with one credential and no key of their own share what is cached.
func (g *gateway) cacheKey(c *call) (string, time.Duration) {
	h := c.r.Header
	own := h.Get("Cf-Aig-Cache-Key")
	seconds, _ := g.Settings["cache_ttl"].(float64)
	if own != "" && seconds == 0 {
		seconds = 300
	}
	if n, err := strconv.Atoi(h.Get("Cf-Aig-Cache-Ttl")); err == nil {
		seconds = float64(n)
	}
	if h.Get("Cf-Aig-Skip-Cache") == "true" {
		seconds = 0
	}
	if own != "" {
		return "key " + own, time.Duration(seconds) * time.Second
	}
	sum := sha256.New()
	for _, part := range []string{"workers-ai", c.r.URL.EscapedPath(), h.Get("Authorization"), string(c.body)} {
		sum.Write([]byte(strconv.Itoa(len(part)) + ":" + part))
	}
	return hex.EncodeToString(sum.Sum(nil)), time.Duration(seconds) * time.Second
}

// gatewayHeaders are the gateway's headers and the rule of each.
var gatewayHeaders = map[string]func(string) bool{
	"Cf-Aig-Authorization":       func(v string) bool { return bearer.MatchString(v) },
	"Cf-Aig-Gateway-Id":          func(v string) bool { return gatewayID.MatchString(v) && len(v) <= 64 },
	"Cf-Aig-Metadata":            isMetadata,
	"Cf-Aig-Cache-Ttl":           within(60, maxCacheTTL),
	"Cf-Aig-Skip-Cache":          isBool,
	"Cf-Aig-Cache-Key":           func(v string) bool { return v != "" && len(v) <= 256 },
	"Cf-Aig-Collect-Log":         isBool,
	"Cf-Aig-Collect-Log-Payload": isBool,
	"Cf-Aig-Request-Timeout":     within(1, 600_000),
	"Cf-Aig-Max-Attempts":        within(1, 5),
	"Cf-Aig-Retry-Delay":         within(0, 5000),
	"Cf-Aig-Backoff":             func(v string) bool { return v == "constant" || v == "linear" || v == "exponential" },
	"Cf-Aig-Event-Id":            func(v string) bool { return v != "" },
	"Cf-Aig-Custom-Cost":         func(v string) bool { return json.Valid([]byte(v)) },
	"Cf-Aig-Byok-Alias":          func(v string) bool { return v != "" },
	"Cf-Aig-Zdr":                 isBool,
	"Cf-Aig-No-Wholesale":        isBool,
}

// headerProblem: one that the gateway would drop in silence is refused here, since the
// sender meant something by it.
func headerProblem(h http.Header, gateway bool) string {
	for name, values := range h {
		if !strings.HasPrefix(textproto.CanonicalMIMEHeaderKey(name), "Cf-Aig-") {
			continue
		}
		rule, known := gatewayHeaders[name]
		switch {
		case !gateway:
			return name + " was sent to no gateway"
		case !known:
			return name + " is no header of AI Gateway"
		case len(values) != 1 || !rule(values[0]):
			return name + " breaks its rule"
		}
	}
	return ""
}

func isBool(v string) bool { return v == "true" || v == "false" }

func within(least, most int) func(string) bool {
	return func(v string) bool {
		n, err := strconv.Atoi(v)
		return err == nil && n >= least && n <= most
	}
}

// isMetadata: an object of at most five scalars.
func isMetadata(v string) bool {
	var m map[string]any
	if json.Unmarshal([]byte(v), &m) != nil || m == nil || len(m) > 5 {
		return false
	}
	for _, value := range m {
		switch value.(type) {
		case string, float64, bool:
		default:
			return false
		}
	}
	return true
}
