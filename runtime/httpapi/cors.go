package httpapi

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// What browsers may send and read. Keys travel in headers that a page sets itself, so
// no answer ever allows credentials (cookies), and none says "*".
const (
	corsRequestHeaders = "authorization, content-type, x-api-key, x-tenant-id, x-trace-id, x-user-id, traceparent, last-event-id, mcp-session-id, mcp-protocol-version, " +
		// What OpenAI's SDK for JavaScript sends from a page.
		"openai-organization, openai-project, idempotency-key, x-stainless-arch, x-stainless-helper-method, x-stainless-lang, x-stainless-os, " +
		"x-stainless-package-version, x-stainless-poll-helper, x-stainless-retry-count, x-stainless-runtime, x-stainless-runtime-version, x-stainless-timeout"
	corsAnswerHeaders = "x-trace-id, x-model-id, x-tokens-in, x-tokens-out, x-tokens-total, x-ai-latency-ms, x-cache, retry-after, x-ratelimit-limit, x-ratelimit-remaining, x-ratelimit-reset, ratelimit, ratelimit-policy, mcp-session-id, x-should-retry"
	corsMaxAge        = "600"
)

// allowOrigin lets the page of an allowed origin read the answer.
func allowOrigin(h http.Header, t *tenancy.Tenant, origin string) {
	if t != nil && originAllowed(t.Config.CORS.Origins, origin) {
		h["Access-Control-Allow-Origin"] = []string{origin}
		h["Access-Control-Expose-Headers"] = []string{corsAnswerHeaders}
	}
}

// OriginAllowed tells whether a page of origin may call a tenant that allows these.
func OriginAllowed(allowed []string, origin string) bool { return originAllowed(allowed, origin) }

func originAllowed(allowed []string, origin string) bool {
	for _, a := range allowed {
		scheme, domain, wild := strings.Cut(a, "*.")
		if !wild && a == origin {
			return true
		}
		if !wild || !strings.HasPrefix(origin, scheme) || !strings.HasSuffix(origin, "."+domain) {
			continue
		}
		name := origin[len(scheme):max(len(scheme), len(origin)-len(domain)-1)]
		if isOriginLabel(name) {
			return true
		}
	}
	return false
}

func isOriginLabel(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return s != ""
}

// preflight answers a browser's question about path p; origin was looked at before.
func preflight(h http.Header, p *path) {
	if _, ok := h["Access-Control-Allow-Origin"]; !ok {
		return
	}
	h["Access-Control-Allow-Methods"] = []string{p.allow}
	h["Access-Control-Allow-Headers"] = []string{corsRequestHeaders}
	h["Access-Control-Max-Age"] = []string{corsMaxAge}
}

// crossOrigin tells that a page of a foreign origin sends a request that changes
// something. Without keys the network, or a cookie of the gateway in front, is all
// that proves a caller, and any page can use those; a preflight doesn't protect,
// because a browser sends JSON as text/plain without one.
func crossOrigin(r *http.Request, t *tenancy.Tenant) bool {
	origin := r.Header.Get("Origin")
	if t.Config.Auth.Mode != tenantconfig.AuthNone || origin == "" || r.Method == http.MethodGet || r.Method == http.MethodHead {
		return false
	}
	if originAllowed(t.Config.CORS.Origins, origin) {
		return false
	}
	u, err := url.Parse(origin)
	return err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host)
}
