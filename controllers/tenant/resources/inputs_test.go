package resources_test

import (
	"encoding/json"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"pgregory.net/rapid"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
)

// Planted values: they may appear in Secrets alone.
const (
	keyCanary      = "ce_c4nary-of-a-generated-key-0123456789"
	statusCanary   = "c4nary-of-the-status-token-0123456789"
	tokenCanary    = "c4nary-of-the-cloudflare-token-0123456789"
	upstreamCanary = "c4nary-of-the-upstream-token-0123456789"
	stateCanary    = "c4nary-of-a-state-server-0123456789"
	toolCanary     = "c4nary-of-a-tool-0123456789"
)

var now = time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC)

type option func(*resources.Inputs)

// inputs of the smallest Tenant, as a reconcile would gather them.
func inputs(options ...option) resources.Inputs {
	in := resources.Inputs{
		Tenant: &v1alpha1.Tenant{ObjectMeta: metav1.ObjectMeta{
			Name: "acme", Namespace: "shop", UID: "0c0ffee0-0000-4000-8000-000000000001",
		}},
		Operator: resources.Operator{
			OwnerID:      "c1u57e4",
			RuntimeImage: "registry.example/runtime:v1",
			Namespace:    "enigma-system",
			PodLabels:    map[string]string{"app.kubernetes.io/name": "crispy-enigma"},
		},
		StatusToken: statusCanary,
		Now:         now,
	}
	for _, o := range options {
		o(&in)
	}
	in.Effective = v1alpha1.EffectiveOf(in.Tenant, in.Class)
	if in.Keys == nil {
		in.Keys = map[string]string{}
		in.Generated = map[string]resources.GeneratedKey{}
		for _, k := range in.Effective.Keys {
			value := keyCanary + "-" + k.Name
			in.Keys[k.Name] = value
			if k.SecretRef == nil {
				in.Generated[k.Name] = resources.GeneratedKey{Value: value, Revision: k.Revision, CreatedAt: now.Add(-time.Hour)}
			}
		}
	}
	return in
}

func spec(edit func(*v1alpha1.TenantSpec)) option {
	return func(in *resources.Inputs) { edit(&in.Tenant.Spec) }
}

func class(s v1alpha1.TenantClassSpec) option {
	return func(in *resources.Inputs) {
		in.Class = &v1alpha1.TenantClass{ObjectMeta: metav1.ObjectMeta{Name: "gold"}, Spec: s}
	}
}

func podPatch(patch string) option {
	return class(v1alpha1.TenantClassSpec{PodPatch: &runtime.RawExtension{Raw: []byte(patch)}})
}

func ephemeral(s *v1alpha1.TenantSpec) {
	s.State = &v1alpha1.State{Embedded: &v1alpha1.EmbeddedState{Ephemeral: &v1alpha1.EphemeralState{}}}
}

func autoscaled(s *v1alpha1.TenantSpec) {
	s.Runtime.Autoscaling = &v1alpha1.Autoscaling{Min: 2, Max: 7, Target: 60}
}

// workersAI sets about everything there is.
func workersAI(in *resources.Inputs) {
	s := &in.Tenant.Spec
	s.TenantID = "acme-public"
	s.Environment = "staging"
	s.DeletionPolicy = v1alpha1.DeletionDelete
	s.Upstream = v1alpha1.Upstream{
		Type:       v1alpha1.UpstreamWorkersAI,
		AccountRef: &v1alpha1.AccountReference{Name: "main"},
		Gateway:    &v1alpha1.GatewaySettings{CacheTTL: &metav1.Duration{Duration: 5 * time.Minute}, CollectLogs: true},
	}
	s.Models = v1alpha1.Models{Chat: "@cf/a/large", Fallbacks: []string{"@cf/a/small"}, Allowed: []string{"@cf/a/large", "@cf/a/other"}}
	temperature := 0.7
	s.Prompt = v1alpha1.Prompt{System: "You serve {{shop}}.", Variables: map[string]v1alpha1.PromptValue{"shop": "Acme"}, Temperature: &temperature, MaxTokens: 2048}
	s.Auth.Keys = []v1alpha1.APIKey{
		{Name: "web", TrustUserHeader: true, RotateAfter: &metav1.Duration{Duration: 720 * time.Hour}},
		{Name: "admin", Scopes: []v1alpha1.Scope{"sessions:all"}, SecretRef: &v1alpha1.SecretKeyReference{Name: "own"}},
	}
	s.CORS.Origins = []string{"https://acme.example", "https://*.acme.example"}
	s.TrustedProxies = []string{"10.0.0.0/8"}
	s.Limits.Requests = v1alpha1.RequestLimits{PerMinute: new(int32(120)), WindowSec: 60, Burst: new(int32(20)), BurstWindowSec: new(int32(5))}
	s.Limits.Tokens = v1alpha1.TokenLimits{Daily: new(int64(1_000_000)), Monthly: new(int64(20_000_000))}
	s.Budget = &v1alpha1.Budget{MonthlyUSD: resource.MustParse("12.50"), OnExceeded: "Throttle"}
	s.State = &v1alpha1.State{Embedded: &v1alpha1.EmbeddedState{Persistence: &v1alpha1.Persistence{Size: resource.MustParse("2Gi"), StorageClassName: new("fast")}}}
	s.Exposure = v1alpha1.Exposure{Hosts: []string{"acme.example", "www.acme.example"}, Gateway: &v1alpha1.GatewayReference{Name: "public", Namespace: "edge", SectionName: "https"}}
	s.Runtime = v1alpha1.Runtime{
		Resources: &corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("0.25")},
			Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("512Mi")},
		},
		NodeSelector:      map[string]v1alpha1.LabelValue{"kubernetes.io/arch": "arm64"},
		Tolerations:       []corev1.Toleration{{Key: "spot", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}},
		PriorityClassName: "tenants",
	}
	in.Hosts = s.Exposure.Hosts
	in.Cluster = resources.Capabilities{HostUsers: true, GatewayAPI: true}
	in.Account = &resources.Account{ID: strings.Repeat("ab", 16), GatewayID: "shop"}
	in.UpstreamToken = upstreamCanary
	class(v1alpha1.TenantClassSpec{
		Image:  "registry.example/runtime@sha256:" + strings.Repeat("0", 64),
		Prices: []v1alpha1.ModelPrice{{Model: "@cf/a/large", Input: resource.MustParse("0.045"), Output: resource.MustParse("0.384")}},
	})(in)
}

// onValkey keeps state on the class's server.
func onValkey(in *resources.Inputs) {
	in.Tenant.Spec.State = &v1alpha1.State{Valkey: &v1alpha1.SharedState{}}
	in.Tenant.Spec.Limits.Requests.OnStoreFailure = "deny"
	in.State = &resources.StateServer{
		URL: "rediss://ce-tag:" + stateCanary + "@valkey.databases:6380", CA: []byte("-----BEGIN CERTIFICATE-----\n"),
		Endpoints: []resources.StateEndpoint{{Host: "valkey.databases", Port: 6380}},
		Login:     &resources.LoginNote{MadeAt: now, Previous: "0123abcd"},
	}
}

// onPostgres keeps limits on a server that the tenant brings, and all else on the class's.
func onPostgres(in *resources.Inputs) {
	onValkey(in)
	in.Tenant.Spec.State = &v1alpha1.State{
		LimitsOn: "valkey", Postgres: &v1alpha1.SharedState{},
		Valkey: &v1alpha1.SharedState{SecretRef: &v1alpha1.StateSecretReference{Name: "own"}},
	}
	in.LimitsState, in.State = in.State, &resources.StateServer{
		URL:       "postgres://ce_tag_a:" + stateCanary + "@pg.example:5432/state",
		Endpoints: []resources.StateEndpoint{{Host: "pg.example", Port: 5432}},
		Login:     &resources.LoginNote{MadeAt: now},
	}
	in.LimitsState.Login = nil
}

// everythingOfCloudflare uses all that an account offers, each thing the tenant's own.
func everythingOfCloudflare(in *resources.Inputs) {
	s := &in.Tenant.Spec
	ephemeral(s)
	s.DeletionPolicy = v1alpha1.DeletionDelete
	s.Upstream = v1alpha1.Upstream{
		Type:       v1alpha1.UpstreamWorkersAI,
		AccountRef: &v1alpha1.AccountReference{Name: "main", Namespace: "platform"},
		Gateway:    &v1alpha1.GatewaySettings{Mode: v1alpha1.GatewayDedicated, CacheTTL: &metav1.Duration{Duration: 5 * time.Minute}},
	}
	s.Models.Chat = "@cf/a/large"
	s.Documents = &v1alpha1.Documents{Store: v1alpha1.DocumentsVectorize, Vectorize: &v1alpha1.VectorizeUse{Index: &v1alpha1.VectorizeSettings{
		Dimensions: 1024, Metric: "cosine", Replacement: v1alpha1.ReplaceBlueGreen,
		MetadataIndexes: []v1alpha1.MetadataIndex{{Property: "year", Type: "number"}, {Property: "lang", Type: "string"}},
	}}}
	s.Cloudflare = &v1alpha1.CloudflareUse{UsageLedger: &v1alpha1.BindingUse{}, ConfigExport: &v1alpha1.BindingUse{}, Originals: &v1alpha1.BindingUse{}}
	in.Account = &resources.Account{ID: strings.Repeat("ab", 16), GatewayID: "acme-gateway", API: "http://cloudflare.fakes:8787/client/v4", S3: "http://r2.fakes:9000"}
	in.UpstreamToken, in.CloudflareToken, in.TokenID = tokenCanary, tokenCanary, "7f3a"
	in.Bindings = map[v1alpha1.BindingRole]*v1alpha1.CloudflareBinding{
		v1alpha1.RoleGateway: existing(v1alpha1.BindingAIGateway, "acme-gateway"),
		v1alpha1.RoleVectors: existing(v1alpha1.BindingVectorize, "acme-vectors", func(b *v1alpha1.CloudflareBinding) {
			b.Spec.Vectorize = s.Documents.Vectorize.Index
			b.Status.Dimensions, b.Status.Metric = 768, "cosine"
			b.Status.Next = &v1alpha1.NextIndex{ID: "acme-vectors-2", Dimensions: 1024, Metric: "cosine", Ready: true}
		}),
		v1alpha1.RoleOriginals: existing(v1alpha1.BindingR2, "acme-originals", func(b *v1alpha1.CloudflareBinding) {
			b.Spec.R2 = &v1alpha1.R2Settings{Jurisdiction: "eu"}
		}),
		v1alpha1.RoleUsageLedger:  existing(v1alpha1.BindingD1, "0b9d3f4e-5c1a-4b6f-9a53-2f0c6d8e7a10"),
		v1alpha1.RoleConfigExport: existing(v1alpha1.BindingKV, "0f2ac74b498b48028cb68387c421e279"),
	}
}

// sharedIndex keeps vectors in an index that is there, and retains what it keeps; its model
// is elsewhere.
func sharedIndex(in *resources.Inputs) {
	everythingOfCloudflare(in)
	s := &in.Tenant.Spec
	s.DeletionPolicy = v1alpha1.DeletionRetain
	s.Upstream = v1alpha1.Upstream{Type: v1alpha1.UpstreamEmbedded, AccountRef: s.Upstream.AccountRef}
	s.Models = v1alpha1.Models{}
	s.Documents.Vectorize = &v1alpha1.VectorizeUse{BindingRef: &v1alpha1.BindingReference{Name: "shared"}}
	s.Cloudflare = &v1alpha1.CloudflareUse{UsageLedger: &v1alpha1.BindingUse{}}
	in.Account.GatewayID, in.Account.API, in.UpstreamToken = "", "", ""
	in.Bindings[v1alpha1.RoleVectors].Status.Next = nil
	for _, role := range []v1alpha1.BindingRole{v1alpha1.RoleGateway, v1alpha1.RoleOriginals, v1alpha1.RoleConfigExport} {
		delete(in.Bindings, role)
	}
}

// withDocuments keeps documents on the tenant's volume, with about everything there is.
func withDocuments(in *resources.Inputs) {
	s := &in.Tenant.Spec
	s.Upstream = v1alpha1.Upstream{Type: v1alpha1.UpstreamOpenAI, BaseURL: "http://ollama.models:11434/v1"}
	s.Models.Chat = "llama3.2"
	limit := resource.MustParse("8Mi")
	s.Documents = &v1alpha1.Documents{
		Store: v1alpha1.DocumentsState, Embedding: &v1alpha1.Embedding{Model: "nomic-embed-text", Dimensions: 768},
		Chunking:   &v1alpha1.Chunking{MaxChars: 800, Overlap: new(int32(0))},
		FetchHosts: []string{"docs.example.com", "*.wiki.example.com"}, LinkHosts: []string{"help.example.com"},
		MinScore: new(0.15), VectorWeight: new(0.7), MaxPassages: 50_000, UploadLimit: &limit,
		Cache: &v1alpha1.SearchCache{TTL: &metav1.Duration{}, Similarity: new(0.97)},
	}
	s.Speech = &v1alpha1.Speech{Provider: v1alpha1.SpeechUpstream, Model: "tts-1", Voice: "alloy", Voices: []string{"nova", "alloy"}}
	s.Playground = true
	s.Prompt.TopP, s.Prompt.Stop, s.Prompt.ContextTokens, s.Prompt.Summarize = new(0.9), []string{"END"}, 32_768, true
	s.Auth.Keys = []v1alpha1.APIKey{{Name: "reader", Scopes: []v1alpha1.Scope{"documents:read", "tools:none"}}}
}

// withTools has a tool of the world, one of the cluster and a server of each, with secrets.
func withTools(in *resources.Inputs) {
	bearer := func(name string) v1alpha1.SecretHeader {
		return v1alpha1.SecretHeader{Name: "Authorization", Prefix: "Bearer ", SecretRef: v1alpha1.SecretKeyReference{Name: name, Key: "token"}}
	}
	in.Tenant.Spec.Tools = &v1alpha1.Tools{
		Enabled: true, MaxSteps: 4, Allow: []v1alpha1.ToolPattern{"stock.*", "orders", "refund", "summarize"},
		Deny: []v1alpha1.ToolPattern{"stock.delete"}, AfterUntrusted: []v1alpha1.ToolPattern{"orders"},
		HTTP: []v1alpha1.HTTPTool{
			{
				Name: "orders", Description: "Looks up an order.", Method: "GET", URL: "https://orders.example.com:8443/v1/orders/{id}?lang={lang}",
				Parameters: &runtime.RawExtension{Raw: []byte(`{"type":"object","required":["id"],"properties":{"id":{"type":"string"},"lang":{"type":"string"}}}`)},
				Headers:    map[string]v1alpha1.HeaderValue{"X-Shop": "acme"}, SecretHeaders: []v1alpha1.SecretHeader{bearer("orders")},
				Effect: v1alpha1.EffectRead, RedirectHosts: []string{"orders-eu.example.com"},
				Timeout: &metav1.Duration{Duration: 5 * time.Second}, Retries: 2, Result: "/order",
			},
			{Name: "refund", Description: "Refunds an order.", Method: "POST", URL: "http://billing.shop-backend/refunds", Effect: v1alpha1.EffectWrite, Private: true},
		},
		MCP: []v1alpha1.MCPServer{
			{Name: "crm", URL: "https://mcp.example.com/mcp", TokenSecretRef: &v1alpha1.SecretKeyReference{Name: "crm", Key: "token"}, Timeout: &metav1.Duration{Duration: 10 * time.Second}},
			{Name: "stock", URL: "http://stock:8080/mcp", Private: true, Allow: []string{"delete", "count"}, ReadOnly: []string{"count"}},
		},
	}
	in.ToolSecrets = map[string]string{}
	for _, s := range resources.ToolSecrets(in.Tenant) {
		in.ToolSecrets[s.File] = toolCanary
	}
}

// existing is a binding whose thing is there.
func existing(kind v1alpha1.BindingType, id string, more ...func(*v1alpha1.CloudflareBinding)) *v1alpha1.CloudflareBinding {
	b := &v1alpha1.CloudflareBinding{Spec: v1alpha1.CloudflareBindingSpec{Type: kind}, Status: v1alpha1.CloudflareBindingStatus{ID: id}}
	for _, edit := range more {
		edit(b)
	}
	return b
}

// rendered are the children as JSON objects.
func rendered(t rapid.TB, in resources.Inputs) []map[string]any {
	t.Helper()
	all, err := resources.All(in)
	if err != nil {
		t.Fatal(err)
	}
	if in.Account != nil {
		all = append(resources.Bindings(in, resources.Uses(in.Tenant, true)), all...)
	}
	out := make([]map[string]any, len(all))
	for i, o := range all {
		b, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, &out[i]); err != nil {
			t.Fatal(err)
		}
	}
	return out
}
