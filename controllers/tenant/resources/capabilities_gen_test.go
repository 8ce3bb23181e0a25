package resources_test

import (
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"pgregory.net/rapid"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
)

var (
	genOutbound = rapid.OneOf(genHost, rapid.Map(genHost.Filter(func(h string) bool { return len(h) < 250 }), func(h string) string { return "*." + h }))
	genTool     = rapid.StringMatching(`[a-zA-Z0-9_-]{1,64}`).Filter(func(n string) bool {
		return !strings.Contains("summarize extract_entities classify_intent tag_chunk_docs ingest_docs search_docs", n)
	})
	genPattern = rapid.Map(rapid.StringMatching(`[a-zA-Z0-9_-]{1,64}([.]([a-zA-Z0-9_./-]{1,128}|[*]))?`), func(s string) v1alpha1.ToolPattern {
		return v1alpha1.ToolPattern(s)
	})
	genToolURL = rapid.SampledFrom([]string{
		"https://orders.example.com/v1/{id}", "http://orders/{id}?q={q}", "http://orders.shop:8080", "https://[2001:db8::1]:8443/{a}/b",
		"http://10.0.0.7/x?y={z}", "https://UPPER.example:9443?x={x}", "http://169.254.169.254/{x}",
	})
	genTimeout = rapid.Map(rapid.Int64Range(1_000, 120_000), func(ms int64) metav1.Duration {
		return metav1.Duration{Duration: time.Duration(ms) * time.Millisecond}
	})
)

// genDocuments keeps documents with the state of those that have no index.
func genDocuments(t *rapid.T, in *resources.Inputs) {
	s := &in.Tenant.Spec
	if s.Documents == nil {
		if !rapid.Bool().Draw(t, "has documents") {
			return
		}
		s.Documents = &v1alpha1.Documents{Store: v1alpha1.DocumentsState}
	} else {
		s.Documents = s.Documents.DeepCopy()
	}
	d, embedded := s.Documents, s.Upstream.Type == "" || s.Upstream.Type == v1alpha1.UpstreamEmbedded
	if !embedded && rapid.Bool().Draw(t, "has embedding") {
		d.Embedding = &v1alpha1.Embedding{Model: genModel.Filter(func(m string) bool { return m != "builtin/lsa" }).Draw(t, "embedding"), Dimensions: rapid.Int32Range(0, 4096).Draw(t, "dimensions")}
	}
	if rapid.Bool().Draw(t, "has chunking") {
		d.Chunking = &v1alpha1.Chunking{MaxChars: rapid.SampledFrom([]int32{0, 100, 1200, 10_000}).Draw(t, "maxChars")}
		most := d.Chunking.MaxChars
		if most == 0 {
			most = 1200
		}
		d.Chunking.Overlap = maybe(t, rapid.Int32Range(0, (most-1)/2), "overlap")
	}
	d.FetchHosts = rapid.SliceOfNDistinct(genOutbound, 0, 4, rapid.ID).Draw(t, "fetchHosts")
	d.LinkHosts = rapid.SliceOfNDistinct(genOutbound, 0, 4, rapid.ID).Draw(t, "linkHosts")
	if s.Upstream.Type == v1alpha1.UpstreamWorkersAI && rapid.Bool().Draw(t, "has rerank") {
		d.RerankModel = genModel.Draw(t, "rerank")
	}
	d.MinScore = maybe(t, rapid.Float64Range(0, 1), "minScore")
	d.VectorWeight = maybe(t, rapid.Float64Range(0, 10), "vectorWeight")
	if rapid.Bool().Draw(t, "has cache") {
		ttl := rapid.SampledFrom([]time.Duration{0, time.Second, 1500 * time.Millisecond, 168 * time.Hour}).Draw(t, "ttl")
		d.Cache = &v1alpha1.SearchCache{TTL: &metav1.Duration{Duration: ttl}, Similarity: maybe(t, rapid.Float64Range(0.5, 1), "similarity")}
	}
	d.MaxPassages = rapid.Int32Range(0, 2_000_000).Draw(t, "maxPassages")
	d.UploadLimit = maybe(t, quantities("1Ki", "1500k", "25Mi", "64Mi"), "uploadLimit")
}

// genTools has some of every kind; some of their Secrets aren't there.
func genTools(t *rapid.T, in *resources.Inputs) {
	s := &in.Tenant.Spec
	s.Playground = rapid.Bool().Draw(t, "playground")
	if !rapid.Bool().Draw(t, "has tools") {
		return
	}
	s.Tools = &v1alpha1.Tools{Enabled: true, MaxSteps: rapid.Int32Range(0, 32).Draw(t, "maxSteps")}
	patterns := rapid.SliceOfNDistinct(genPattern, 0, 4, rapid.ID)
	s.Tools.Allow, s.Tools.Deny, s.Tools.AfterUntrusted = patterns.Draw(t, "allow"), patterns.Draw(t, "deny"), patterns.Draw(t, "after")
	secret := func(name string) v1alpha1.SecretKeyReference {
		return v1alpha1.SecretKeyReference{Name: "s-" + strings.ToLower(name)}
	}
	for _, name := range rapid.SliceOfNDistinct(genTool, 0, 4, rapid.ID).Draw(t, "http") {
		tool := v1alpha1.HTTPTool{
			Name: name, Description: rapid.StringN(1, 200, 4096).Draw(t, "description"), URL: genToolURL.Draw(t, "url"),
			Method: rapid.SampledFrom([]string{"GET", "POST", "PUT", "PATCH", "DELETE"}).Draw(t, "method"),
			Effect: rapid.SampledFrom([]v1alpha1.ToolEffect{"read", "write"}).Draw(t, "effect"), Private: rapid.Bool().Draw(t, "private"),
			RedirectHosts: rapid.SliceOfNDistinct(genOutbound, 0, 2, rapid.ID).Draw(t, "redirectHosts"), Timeout: maybe(t, genTimeout, "timeout"),
			Result: rapid.SampledFrom([]string{"", "/", "/a/b"}).Draw(t, "result"),
		}
		if tool.Effect == v1alpha1.EffectRead {
			tool.Retries = rapid.Int32Range(0, 3).Draw(t, "retries")
		}
		if rapid.Bool().Draw(t, "has parameters") {
			tool.Parameters = &runtime.RawExtension{Raw: []byte(`{"type":"object","properties":{"id":{"type":"string"}}}`)}
		}
		for _, header := range rapid.SliceOfNDistinct(rapid.StringMatching(`[A-Za-z0-9-]{1,128}`), 0, 3, rapid.ID).Draw(t, "headers") {
			tool.SecretHeaders = append(tool.SecretHeaders, v1alpha1.SecretHeader{Name: header, SecretRef: secret(name)})
		}
		s.Tools.HTTP = append(s.Tools.HTTP, tool)
	}
	names := rapid.StringMatching(`[a-zA-Z0-9_-]{1,32}`).Filter(func(n string) bool { return n != "summarize" })
	for _, name := range rapid.SliceOfNDistinct(names, 0, 3, rapid.ID).Draw(t, "mcp") {
		server := v1alpha1.MCPServer{Name: name, URL: "https://mcp.example.com/" + name, Private: rapid.Bool().Draw(t, "private"), Timeout: maybe(t, genTimeout, "timeout")}
		if rapid.Bool().Draw(t, "has token") {
			server.TokenSecretRef = new(secret(name))
		}
		s.Tools.MCP = append(s.Tools.MCP, server)
	}
	in.ToolSecrets = map[string]string{}
	for _, one := range resources.ToolSecrets(in.Tenant) {
		if rapid.Bool().Draw(t, "secret is there") {
			in.ToolSecrets[one.File] = toolCanary
		}
	}
}
