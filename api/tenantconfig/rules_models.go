package tenantconfig

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
)

var (
	account  = regexp.MustCompile(`^[0-9a-f]{32}$`)
	gateway  = regexp.MustCompile(`^[a-z0-9_-]{1,64}$`)
	fileName = regexp.MustCompile(`^[a-zA-Z0-9_-][a-zA-Z0-9._-]{0,252}$`)
	variable = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]{0,62}$`)
)

func validateUpstream(r *report, u Upstream) {
	r.oneOf(u.Type, "upstream.type", UpstreamEmbedded, UpstreamOpenAI, UpstreamWorkersAI)
	switch u.Type {
	case UpstreamOpenAI:
		r.require(u.BaseURL != "", "upstream.baseURL", "must name the server, such as http://ollama.models:11434/v1")
	case UpstreamWorkersAI:
		r.require(account.MatchString(u.AccountID), "upstream.accountID", "must be the Cloudflare account's id, 32 lower-case hexadecimal digits")
		r.require(u.CredentialsFile != "", "upstream.credentialsFile", "must name the file with the API token")
	}
	r.require(u.BaseURL == "" || isBaseURL(u.BaseURL), "upstream.baseURL", "must be an http or https URL without user, query and fragment, ending before /chat/completions")
	if u.CredentialsFile != "" {
		r.require(isFileName(u.CredentialsFile), "upstream.credentialsFile", "must be the plain name of a file beside the document")
	}
	if u.Gateway != (Gateway{}) {
		r.require(u.Type == UpstreamWorkersAI, "upstream.gateway", "is for upstream.type workersai alone")
		r.require(gateway.MatchString(u.Gateway.ID), "upstream.gateway.id", "must be the gateway's id: lower-case letters, digits, - and _, at most 64")
		ttl := u.Gateway.CacheTTLSeconds
		r.require(ttl == 0 || ttl >= 60 && ttl <= 2_592_000, "upstream.gateway.cacheTTLSeconds", "must be 60 to 2592000, or 0 for no cache")
	}
}

func isBaseURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" &&
		u.User == nil && u.RawQuery == "" && !u.ForceQuery && u.Fragment == "" &&
		!strings.HasSuffix(strings.TrimSuffix(u.Path, "/"), "/chat/completions")
}

func validateModels(r *report, m Models, upstream string) {
	if m.Chat != "" || upstream != UpstreamEmbedded {
		r.require(isModel(m.Chat), "models.chat", "must be a model id: 1 to 256 visible ASCII characters")
	}
	for i, f := range m.Fallbacks {
		r.require(isModel(f), at("models.fallbacks", i), "must be a model id: 1 to 256 visible ASCII characters")
		r.require(f != m.Chat, at("models.fallbacks", i), "is models.chat itself")
	}
	r.unique(m.Fallbacks, "models.fallbacks")
	for i, a := range m.Allowed {
		r.require(isModel(a), at("models.allowed", i), "must be a model id: 1 to 256 visible ASCII characters")
	}
	r.unique(m.Allowed, "models.allowed")
	if len(m.Allowed) > 0 && m.Chat != "" {
		r.require(slices.Contains(m.Allowed, m.Chat), "models.chat", "must be in models.allowed: every request without a modelId would be refused")
	}
	priced := make([]string, len(m.Prices))
	for i, p := range m.Prices {
		priced[i] = p.Model
		r.require(isModel(p.Model), at("models.prices", i)+".model", "must be a model id: 1 to 256 visible ASCII characters")
		r.require(p.InputPerMillion >= 0, at("models.prices", i)+".inputPerMillion", "must be 0 or more micro-dollars")
		r.require(p.OutputPerMillion >= 0, at("models.prices", i)+".outputPerMillion", "must be 0 or more micro-dollars")
	}
	r.unique(priced, "models.prices")
}

func isModel(s string) bool { return len(s) <= 256 && visible.MatchString(s) }

func validatePrompt(r *report, p Prompt) {
	r.require(len(p.System) <= 64<<10, "prompt.system", "must be at most 65536 bytes")
	names := make([]string, 0, len(p.Variables))
	for name := range p.Variables {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		r.require(variable.MatchString(name), "prompt.variables."+name, "must be named with letters, digits and _, at most 63")
		r.require(len(p.Variables[name]) <= 64<<10, "prompt.variables."+name, "must be at most 65536 bytes")
	}
	if t := p.TemperatureMilli; t != nil {
		r.within(*t, 0, 2000, "prompt.temperatureMilli")
	}
	r.require(p.MaxTokens >= 0, "prompt.maxTokens", "must be 1 or more, or left out")
	if p.TopPMilli != nil {
		r.within(*p.TopPMilli, 1, 1000, "prompt.topPMilli")
	}
	r.require(len(p.Stop) <= 4, "prompt.stop", "must have at most 4 texts")
	for i, s := range p.Stop {
		r.require(s != "" && len(s) <= 256, at("prompt.stop", i), "must have 1 to 256 bytes")
	}
	if p.ContextTokens != 0 {
		r.within(p.ContextTokens, 1024, 4_000_000, "prompt.contextTokens")
	}
}

func validateLimits(r *report, l Limits) {
	q := l.Requests
	r.require(q.PerMinute >= 0, "limits.requests.perMinute", "must be 1 or more, or 0 for no limit")
	r.require(q.Burst >= 0, "limits.requests.burst", "must be 1 or more, or 0 for no limit")
	if q.PerMinute > 0 || q.WindowSec != 0 {
		r.within(q.WindowSec, 1, 86_400, "limits.requests.windowSec")
	}
	if q.Burst > 0 || q.BurstWindowSec != 0 {
		r.within(q.BurstWindowSec, 1, 86_400, "limits.requests.burstWindowSec")
	}
	if q.PerMinute > 0 && q.Burst > 0 {
		r.require(q.BurstWindowSec <= q.WindowSec, "limits.requests.burstWindowSec", "must not be longer than limits.requests.windowSec")
	}
	if q.OnStoreFailure != "" {
		r.oneOf(q.OnStoreFailure, "limits.requests.onStoreFailure", FailLocal, FailDeny)
	}
	r.within(q.Replicas, 0, 10_000, "limits.requests.replicas")
	r.require(l.Tokens.Daily >= 0, "limits.tokens.daily", "must be 1 or more, or 0 for no limit")
	r.require(l.Tokens.Monthly >= 0, "limits.tokens.monthly", "must be 1 or more, or 0 for no limit")
	r.require(l.BodyBytes >= 1 && l.BodyBytes <= 1<<30, "limits.bodyBytes", "must be 1 to %d", 1<<30)
	r.within(l.MessageChars, 1, 1_000_000, "limits.messageChars")
}

func validateBudget(r *report, b Budget) {
	r.require(b.MonthlyMicroUSD >= 0, "budget.monthlyMicroUSD", "must be 1 or more, or 0 for no limit")
	if b.MonthlyMicroUSD > 0 || b.OnExceeded != "" {
		r.oneOf(b.OnExceeded, "budget.onExceeded", BudgetWarn, BudgetThrottle, BudgetBlock)
	}
}
