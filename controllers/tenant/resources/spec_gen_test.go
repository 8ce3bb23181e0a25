package resources_test

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
)

// The generators stay within the schema's rules, up to their bounds.
var (
	genLabel  = rapid.StringMatching(`[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?`)
	genHost   = rapid.StringMatching(`[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?([.][a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?){1,4}`).Filter(isName)
	genModel  = rapid.StringMatching(`[!-~]{1,256}`)
	genOrigin = rapid.StringMatching(`https?://([*][.])?[a-z]([-a-z0-9]{0,20}[a-z0-9])?([.][a-z]([-a-z0-9]{0,20}[a-z0-9])?){0,3}(:[1-9][0-9]{0,3})?`)
	genText   = rapid.StringN(0, 2000, 8000)
	genCIDR   = rapid.SampledFrom([]string{"10.0.0.0/8", "10.1.0.0/16", "192.168.0.1/32", "fd00::/8", "2001:db8::/32"})
	genBase   = rapid.SampledFrom([]string{
		"http://ollama.models:11434/v1", "https://api.example.com/v1/", "http://ollama", "http://[fd00::1]:8000/v1",
		"http://10.0.0.7:8080/v1", "https://llm.ai.svc.cluster.local/v1", "http://llm.ai.svc", "https://UPPER.example/v1",
		"http://a_b.c_d/v1", "http://169.254.169.254/v1",
	})
)

// isName leaves out addresses, which the schema refuses as hosts.
func isName(h string) bool {
	return len(h) <= 253 && strings.ContainsAny(h, "abcdefghijklmnopqrstuvwxyz")
}

func maybe[T any](t *rapid.T, g *rapid.Generator[T], name string) *T {
	if !rapid.Bool().Draw(t, "has "+name) {
		return nil
	}
	v := g.Draw(t, name)
	return &v
}

func genInputs(t *rapid.T) resources.Inputs {
	return inputs(func(in *resources.Inputs) {
		in.Tenant.Name = genLabel.Draw(t, "name")
		in.Tenant.Namespace = genLabel.Draw(t, "namespace")
		s := &in.Tenant.Spec
		if id := maybe(t, genLabel, "tenantID"); id != nil {
			s.TenantID = *id
		}
		s.Environment = rapid.SampledFrom([]v1alpha1.Environment{"", "development", "staging", "production"}).Draw(t, "environment")
		s.Suspend = rapid.Bool().Draw(t, "suspend")
		s.DeletionPolicy = rapid.SampledFrom([]v1alpha1.DeletionPolicy{"", "Retain", "Delete"}).Draw(t, "deletionPolicy")
		genUpstream(t, in)
		genCloudflare(t, in)
		genModels(t, s)
		genAsk(t, s)
		genAccess(t, in)
		genLimits(t, s)
		genPods(t, in)
		genShared(t, in)
		genDocuments(t, in)
		genTools(t, in)
		in.Cluster = resources.Capabilities{HostUsers: rapid.Bool().Draw(t, "hostUsers"), GatewayAPI: rapid.Bool().Draw(t, "gatewayAPI")}
	})
}

// genShared keeps the state of some on servers, or has it moved there.
func genShared(t *rapid.T, in *resources.Inputs) {
	switch rapid.SampledFrom([]string{"", "valkey", "postgres"}).Draw(t, "shared state") {
	case "":
		return
	case "valkey":
		onValkey(in)
	case "postgres":
		onPostgres(in)
	}
	in.Tenant.Status.State = rapid.SampledFrom([]v1alpha1.StateKind{"", v1alpha1.StatePersistent, v1alpha1.StateEphemeral, v1alpha1.StateShared}).Draw(t, "started")
}

func genUpstream(t *rapid.T, in *resources.Inputs) {
	u := &in.Tenant.Spec.Upstream
	u.Type = rapid.SampledFrom([]v1alpha1.UpstreamType{"", "embedded", "openai", "workersai"}).Draw(t, "upstream")
	switch u.Type {
	case v1alpha1.UpstreamOpenAI:
		u.BaseURL = genBase.Draw(t, "baseURL")
		if rapid.Bool().Draw(t, "has token") {
			in.UpstreamToken = upstreamCanary
		}
	case v1alpha1.UpstreamWorkersAI:
		in.UpstreamToken = tokenCanary
		u.AccountRef = &v1alpha1.AccountReference{Name: "main"}
		in.Account = &resources.Account{
			ID:        rapid.StringMatching(`[0-9a-f]{32}`).Draw(t, "account"),
			GatewayID: rapid.StringMatching(`[a-z0-9_]{1,20}(-[a-z0-9_]{1,20})?`).Draw(t, "gatewayID"),
			Endpoint:  rapid.SampledFrom([]string{"", "http://proxy.edge:8443/v1", "https://gw.example"}).Draw(t, "endpoint"),
		}
		if rapid.Bool().Draw(t, "has gateway") {
			ttl := rapid.SampledFrom([]time.Duration{0, time.Minute, 90500 * time.Millisecond, 720 * time.Hour}).Draw(t, "cacheTTL")
			u.Gateway = &v1alpha1.GatewaySettings{CollectLogs: rapid.Bool().Draw(t, "collectLogs"), CacheTTL: &metav1.Duration{Duration: ttl}}
		}
	}
}

// genCloudflare uses some of what an account offers, beside any model server.
func genCloudflare(t *rapid.T, in *resources.Inputs) {
	s := &in.Tenant.Spec
	if in.Account == nil && !rapid.Bool().Draw(t, "has account") {
		return
	}
	if in.Account == nil {
		s.Upstream.AccountRef = &v1alpha1.AccountReference{Name: "main"}
		in.Account = &resources.Account{ID: strings.Repeat("0f", 16)}
	}
	var all resources.Inputs
	all.Tenant = &v1alpha1.Tenant{}
	everythingOfCloudflare(&all)
	in.Account.API, in.Account.S3 = all.Account.API, rapid.SampledFrom([]string{"", all.Account.S3}).Draw(t, "s3")
	in.Bindings, s.Cloudflare = map[v1alpha1.BindingRole]*v1alpha1.CloudflareBinding{}, &v1alpha1.CloudflareUse{}
	use := func(role v1alpha1.BindingRole) *v1alpha1.BindingUse {
		if !rapid.Bool().Draw(t, string(role)) {
			return nil
		}
		in.Bindings[role] = all.Bindings[role]
		if rapid.Bool().Draw(t, "named "+string(role)) {
			return &v1alpha1.BindingUse{BindingRef: &v1alpha1.BindingReference{Name: "named"}}
		}
		return &v1alpha1.BindingUse{}
	}
	s.Cloudflare.UsageLedger, s.Cloudflare.ConfigExport, s.Cloudflare.Originals = use(v1alpha1.RoleUsageLedger), use(v1alpha1.RoleConfigExport), use(v1alpha1.RoleOriginals)
	if v := use(v1alpha1.RoleVectors); v != nil {
		s.Documents = all.Tenant.Spec.Documents
		if v.BindingRef != nil {
			s.Documents.Vectorize = &v1alpha1.VectorizeUse{BindingRef: v.BindingRef}
		}
	}
	in.CloudflareToken, in.TokenID = tokenCanary, "7f3a"
}

func genModels(t *rapid.T, s *v1alpha1.TenantSpec) {
	embedded := s.Upstream.Type == "" || s.Upstream.Type == v1alpha1.UpstreamEmbedded
	if !embedded || rapid.Bool().Draw(t, "has chat") {
		s.Models.Chat = genModel.Draw(t, "chat")
	}
	other := genModel.Filter(func(m string) bool { return m != s.Models.Chat })
	s.Models.Fallbacks = rapid.SliceOfNDistinct(other, 0, 8, rapid.ID).Draw(t, "fallbacks")
	s.Models.Allowed = rapid.SliceOfNDistinct(other, 0, 8, rapid.ID).Draw(t, "allowed")
	if len(s.Models.Allowed) > 0 && s.Models.Chat != "" {
		s.Models.Allowed = append(s.Models.Allowed, s.Models.Chat)
	}
}

func genAsk(t *rapid.T, s *v1alpha1.TenantSpec) {
	s.Prompt.System = genText.Draw(t, "system")
	s.Prompt.Variables = map[string]v1alpha1.PromptValue{}
	for _, name := range rapid.SliceOfN(rapid.StringMatching(`[A-Za-z_][A-Za-z0-9_]{0,62}`), 0, 5).Draw(t, "variables") {
		s.Prompt.Variables[name] = v1alpha1.PromptValue(genText.Draw(t, "value"))
	}
	s.Prompt.Temperature = maybe(t, rapid.Float64Range(0, 2), "temperature")
	s.Prompt.MaxTokens = rapid.Int32Range(0, 131072).Draw(t, "maxTokens")
	s.Sessions.RetentionDays = rapid.Int32Range(0, 3650).Draw(t, "retentionDays")
	s.Sessions.MaxMessages = rapid.SampledFrom([]int32{0, 2, 1000, 100000}).Draw(t, "maxMessages")
}

func genAccess(t *rapid.T, in *resources.Inputs) {
	s := &in.Tenant.Spec
	s.Auth.Mode = rapid.SampledFrom([]v1alpha1.AuthMode{"", "apiKey", "none"}).Draw(t, "auth")
	for _, name := range rapid.SliceOfNDistinct(genLabel, 0, 5, rapid.ID).Draw(t, "keys") {
		k := v1alpha1.APIKey{Name: name, TrustUserHeader: rapid.Bool().Draw(t, "trust")}
		k.Scopes = rapid.SliceOfN(rapid.Just(v1alpha1.Scope("sessions:all")), 0, 1).Draw(t, "scopes")
		if rapid.Bool().Draw(t, "referenced") {
			k.SecretRef = &v1alpha1.SecretKeyReference{Name: "own-" + name}
		}
		s.Auth.Keys = append(s.Auth.Keys, k)
	}
	s.CORS.Origins = rapid.SliceOfNDistinct(genOrigin, 0, 8, rapid.ID).Draw(t, "origins")
	s.TrustedProxies = rapid.SliceOfNDistinct(genCIDR, 0, 5, rapid.ID).Draw(t, "proxies")
	s.Exposure.Hosts = rapid.SliceOfNDistinct(genHost, 0, 5, rapid.ID).Draw(t, "hosts")
	in.Hosts = s.Exposure.Hosts
	switch {
	case len(in.Hosts) > 0 && rapid.Bool().Draw(t, "gateway"):
		s.Exposure.Gateway = &v1alpha1.GatewayReference{Name: genHost.Draw(t, "gateway name")}
	case len(in.Hosts) > 0:
		s.Exposure.IngressClassName = maybe(t, genHost, "ingress class")
	}
}

func genLimits(t *rapid.T, s *v1alpha1.TenantSpec) {
	r := &s.Limits.Requests
	r.PerMinute = maybe(t, rapid.Int32Range(1, 1_000_000), "perMinute")
	r.WindowSec = rapid.Int32Range(0, 3600).Draw(t, "windowSec")
	r.Burst = maybe(t, rapid.Int32Range(1, 1_000_000), "burst")
	if r.WindowSec > 0 {
		r.BurstWindowSec = maybe(t, rapid.Int32Range(1, r.WindowSec), "burstWindowSec")
	}
	s.Limits.Tokens.Daily = maybe(t, rapid.Int64Min(1), "daily")
	s.Limits.Tokens.Monthly = maybe(t, rapid.Int64Min(1), "monthly")
	s.Limits.MessageChars = rapid.Int32Range(0, 10_000).Draw(t, "messageChars")
	s.Limits.BodyBytes = maybe(t, quantities("1Ki", "1Mi", "1500k", "64Mi"), "bodyBytes")
	if usd := maybe(t, quantities("0.01", "12.50", "50", "1G", "33333333n"), "monthlyUSD"); usd != nil {
		s.Budget = &v1alpha1.Budget{MonthlyUSD: *usd, OnExceeded: rapid.SampledFrom([]v1alpha1.BudgetAction{"", "Warn", "Throttle", "Block"}).Draw(t, "onExceeded")}
	}
}

func quantities(all ...string) *rapid.Generator[resource.Quantity] {
	return rapid.Map(rapid.SampledFrom(all), resource.MustParse)
}

func genPods(t *rapid.T, in *resources.Inputs) {
	s := &in.Tenant.Spec
	if rapid.Bool().Draw(t, "ephemeral") {
		ephemeral(s)
	}
	s.Runtime.Replicas = maybe(t, rapid.Int32Range(0, 1), "replicas")
	if rapid.Bool().Draw(t, "resources") {
		s.Runtime.Resources = &corev1.ResourceRequirements{Limits: corev1.ResourceList{
			corev1.ResourceMemory: resource.MustParse(fmt.Sprintf("%dMi", rapid.IntRange(32, 4096).Draw(t, "memory"))),
		}}
	}
	s.Runtime.NodeSelector = map[string]v1alpha1.LabelValue{}
	for _, k := range rapid.SliceOfN(genLabel, 0, 3).Draw(t, "nodeSelector") {
		s.Runtime.NodeSelector[k] = "x"
	}
	if tolerated := maybe(t, genLabel, "toleration"); tolerated != nil {
		s.Runtime.Tolerations = []corev1.Toleration{{Key: *tolerated, Operator: corev1.TolerationOpExists}}
	}
	s.Runtime.PriorityClassName = rapid.SampledFrom([]string{"", "system-cluster-critical"}).Draw(t, "priority")
}
