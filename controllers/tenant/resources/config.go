package resources

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
)

// drainSeconds counts from SIGTERM, which comes after preStop, and leaves the runtime
// its last 15 seconds to end what is still open and make usage durable.
const drainSeconds = terminationGraceSeconds - preStopSeconds - 15

// DocumentError means that the Tenant gives a document that no runtime would serve. No
// retry mends it.
type DocumentError struct{ Violations tenantconfig.Violations }

func (e *DocumentError) Error() string {
	return fmt.Sprintf("the Tenant can't be served as it is: %v", e.Violations)
}

// Config renders the document; it is the only writer of the seam. What it gives passes
// tenantconfig.Validate, or the error is a *DocumentError.
func Config(in Inputs) (*tenantconfig.Config, error) {
	t, e := in.Tenant, in.Effective
	c := &tenantconfig.Config{
		Version: tenantconfig.Version,
		Tenant: tenantconfig.Tenant{
			ID:          e.TenantID,
			Identity:    Identity(in.Operator.OwnerID, t, e),
			Environment: string(e.Environment),
		},
		Server: tenantconfig.Server{
			APIPort:      tenantconfig.APIPort,
			MetricsPort:  tenantconfig.MetricsPort,
			DrainSeconds: drainSeconds,
		},
		State:          state(in),
		Hosts:          slices.Clone(in.Hosts),
		Auth:           auth(in),
		CORS:           tenantconfig.CORS{Origins: slices.Clone(t.Spec.CORS.Origins)},
		TrustedProxies: proxies(t.Spec.TrustedProxies),
		Upstream:       upstream(in),
		Models: tenantconfig.Models{
			Chat:      e.Chat,
			Fallbacks: e.Fallbacks,
			Allowed:   e.Allowed,
			Prices:    prices(in.Class),
		},
		Prompt: prompt(t.Spec.Prompt, e.MaxTokens),
		Limits: limits(e),
		Budget: budget(t.Spec.Budget),
		Sessions: tenantconfig.Sessions{
			RetentionDays: int(e.RetentionDays),
			MaxMessages:   int(e.MaxMessages),
		},
		Documents:  documents(in),
		Cloudflare: cloudflare(in),
		Tools:      tools(in),
		Speech:     speech(in),
		Playground: t.Spec.Playground,
	}
	broken := tenantconfig.Validate(c)
	if b, err := tenantconfig.Marshal(c); err == nil && len(b) > maxDocumentBytes {
		broken = append(broken, tenantconfig.Violation{
			Path:    "prompt",
			Message: fmt.Sprintf("the document has %d bytes, at most %d fit into a Secret with what lies beside it; shorten the prompt and its variables, or the descriptions and parameters of tools", len(b), maxDocumentBytes),
		})
	}
	if len(broken) > 0 {
		return nil, &DocumentError{broken}
	}
	return c, nil
}

// maxDocumentBytes leaves room in the Secret for the tokens beside the document.
const maxDocumentBytes = tenantconfig.MaxBytes - 64<<10

func proxies(cidrs []string) []string {
	var out []string
	for _, c := range cidrs {
		// What doesn't parse goes through: Validate names it.
		if p, err := netip.ParsePrefix(c); err == nil {
			c = p.Masked().String()
		}
		if !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	return out
}

func upstream(in Inputs) tenantconfig.Upstream {
	spec := in.Tenant.Spec.Upstream
	u := tenantconfig.Upstream{Type: string(spec.Type), BaseURL: spec.BaseURL}
	if u.Type == "" {
		u.Type = tenantconfig.UpstreamEmbedded
	}
	if in.UpstreamToken != "" && u.Type != tenantconfig.UpstreamEmbedded {
		u.CredentialsFile = tenantconfig.UpstreamTokenFile
		u.CredentialsRevision = credentialsRevision(in.StatusToken, in.UpstreamToken)
	}
	if a := in.Account; a != nil && u.Type == tenantconfig.UpstreamWorkersAI {
		u.AccountID = a.ID
		u.BaseURL = a.Endpoint
		u.Gateway.ID = a.GatewayID
		if g := spec.Gateway; g != nil {
			u.Gateway.CollectLogs = g.CollectLogs
			if g.CacheTTL != nil {
				u.Gateway.CacheTTLSeconds = int(g.CacheTTL.Seconds())
			}
		}
	}
	return u
}

// credentialsRevision makes a new credential a new document. Keyed by a secret of the
// tenant's own, so that a guess can't be tried against it.
func credentialsRevision(statusToken, credential string) string {
	mac := hmac.New(sha256.New, []byte(statusToken))
	mac.Write([]byte(credential))
	return hex.EncodeToString(mac.Sum(nil))[:16]
}

func prices(class *v1alpha1.TenantClass) []tenantconfig.Price {
	if class == nil {
		return nil
	}
	var out []tenantconfig.Price
	for _, p := range class.Spec.Prices {
		out = append(out, tenantconfig.Price{
			Model:           p.Model,
			InputPerMillion: microDollars(p.Input), OutputPerMillion: microDollars(p.Output),
		})
	}
	return out
}

// microDollars rounds up, so that no amount above zero becomes zero, which would mean
// no limit. Amounts beyond a billion dollars are a billion.
func microDollars(q resource.Quantity) int64 {
	if q.Cmp(*resource.NewScaledQuantity(1, resource.Giga)) > 0 {
		return 1_000_000_000_000_000
	}
	return q.ScaledValue(resource.Micro)
}

func prompt(p v1alpha1.Prompt, maxTokens int32) tenantconfig.Prompt {
	out := tenantconfig.Prompt{System: p.System, MaxTokens: int(maxTokens)}
	if len(p.Variables) > 0 {
		out.Variables = make(map[string]string, len(p.Variables))
		for name, value := range p.Variables {
			out.Variables[name] = string(value)
		}
	}
	out.TemperatureMilli, out.TopPMilli = milliOf(p.Temperature), milliOf(p.TopP)
	out.Stop, out.ContextTokens, out.Summarize = slices.Clone(p.Stop), int(p.ContextTokens), p.Summarize
	return out
}

func limits(e v1alpha1.Effective) tenantconfig.Limits {
	l := e.Limits
	out := tenantconfig.Limits{
		Requests:     tenantconfig.RequestLimits{PerMinute: int(l.PerMinute), WindowSec: int(l.WindowSec)},
		Tokens:       tenantconfig.TokenLimits{Daily: l.DailyTokens, Monthly: l.MonthlyTokens},
		BodyBytes:    l.BodyBytes,
		MessageChars: int(l.MessageChars),
	}
	if l.Burst > 0 {
		out.Requests.Burst = int(l.Burst)
		out.Requests.BurstWindowSec = int(l.BurstWindowSec)
	}
	if e.State.Shared() {
		out.Requests.OnStoreFailure = l.OnStoreFailure
		out.Requests.Replicas = int(e.MaxReplicas())
	}
	return out
}

func budget(b *v1alpha1.Budget) tenantconfig.Budget {
	if b == nil {
		return tenantconfig.Budget{}
	}
	out := tenantconfig.Budget{MonthlyMicroUSD: microDollars(b.MonthlyUSD), OnExceeded: string(b.OnExceeded)}
	if out.OnExceeded == "" {
		out.OnExceeded = tenantconfig.BudgetBlock
	}
	return out
}
