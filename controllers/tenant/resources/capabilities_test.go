package resources_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
)

func stateDocuments(s *v1alpha1.TenantSpec) {
	s.Documents = &v1alpha1.Documents{Store: v1alpha1.DocumentsState}
}

// How documents are searched changes live; where they are and what makes their vectors
// rolls the pods.
func TestOfDocumentsStoreAndEmbeddingRollThePods(t *testing.T) {
	template := func(o ...option) any {
		return at(child(t, inputs(append([]option{withDocuments}, o...)...), "Deployment"), "spec", "template")
	}
	base := template()
	for name, edit := range map[string]func(*v1alpha1.Documents){
		"chunking":     func(d *v1alpha1.Documents) { d.Chunking = nil },
		"hosts":        func(d *v1alpha1.Documents) { d.FetchHosts, d.LinkHosts = nil, nil },
		"scores":       func(d *v1alpha1.Documents) { d.MinScore, d.VectorWeight = nil, nil },
		"cache":        func(d *v1alpha1.Documents) { d.Cache = nil },
		"max passages": func(d *v1alpha1.Documents) { d.MaxPassages = 7 },
		"uploads":      func(d *v1alpha1.Documents) { d.UploadLimit = nil },
	} {
		if diff := cmp.Diff(base, template(spec(func(s *v1alpha1.TenantSpec) { edit(s.Documents) }))); diff != "" {
			t.Errorf("%s rolls the pods: %s", name, diff)
		}
	}
	for name, edit := range map[string]func(*v1alpha1.Documents){
		"model":      func(d *v1alpha1.Documents) { d.Embedding.Model = "other" },
		"dimensions": func(d *v1alpha1.Documents) { d.Embedding.Dimensions = 384 },
	} {
		if cmp.Equal(base, template(spec(func(s *v1alpha1.TenantSpec) { edit(s.Documents) }))) {
			t.Errorf("the embedding's %s doesn't roll the pods", name)
		}
	}
}

// Server and reader share the pod's memory: neither can have the other killed.
func TestMemoryIsSharedBetweenServerAndReader(t *testing.T) {
	limit := func(size string) option {
		return spec(func(s *v1alpha1.TenantSpec) {
			s.Runtime.Resources = &corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(size)}}
		})
	}
	const mebi = 1 << 20
	for name, c := range map[string]struct {
		options        []option
		server, reader int64
	}{
		"without documents":      {nil, 256 * mebi, 0},
		"documents, by default":  {[]option{spec(stateDocuments)}, 384 * mebi, 384 * mebi},
		"documents and much":     {[]option{spec(stateDocuments), limit("4Gi")}, 3584 * mebi, 512 * mebi},
		"documents and little":   {[]option{spec(stateDocuments), limit("256Mi")}, 128 * mebi, 128 * mebi},
		"documents and no limit": {[]option{spec(stateDocuments), func(in *resources.Inputs) { in.Tenant.Spec.Runtime.Resources = &corev1.ResourceRequirements{} }}, 0, 0},
	} {
		pod := at(child(t, inputs(c.options...), "Deployment"), "spec", "template", "spec")
		container := at(pod, "containers").([]any)[0]
		have := map[string]any{}
		if env, ok := at(container, "env").([]any); ok {
			for _, e := range env {
				have[at(e, "name").(string)] = at(e, "value")
			}
		}
		want := map[string]any{}
		if c.server > 0 {
			want["GOMEMLIMIT"] = fmt.Sprint(c.server / 10 * 9)
		}
		if c.reader > 0 {
			want["ENIGMA_EXTRACT_MEMORY"] = fmt.Sprint(c.reader)
		}
		if diff := cmp.Diff(want, have); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// The root of the file system is read-only, and compiled code is to be kept somewhere.
func TestDocumentsWithoutAVolumeHaveACache(t *testing.T) {
	for name, c := range map[string]struct {
		want    bool
		options []option
	}{
		"a volume":                {false, nil},
		"a volume, and documents": {false, []option{spec(stateDocuments)}},
		"memory":                  {false, []option{spec(ephemeral)}},
		"memory, and documents":   {true, []option{spec(ephemeral), spec(stateDocuments)}},
		"a server":                {false, []option{onValkey}},
		"a server, and documents": {true, []option{onValkey, spec(stateDocuments)}},
	} {
		in := inputs(c.options...)
		pod := mustJSON(t, at(child(t, in, "Deployment"), "spec", "template", "spec"))
		volume := strings.Contains(pod, `{"emptyDir":{"sizeLimit":"64Mi"},"name":"cache"}`)
		mount := strings.Contains(pod, `{"mountPath":"/var/cache/crispy-enigma","name":"cache"}`)
		if volume != c.want || mount != c.want {
			t.Errorf("%s: volume %v, mount %v, want %v", name, volume, mount, c.want)
		}
	}
}

// reached are the ports of a policy: those of every address, and those of public ones.
func reached(t *testing.T, in resources.Inputs) (everywhere, public, namespaces []string) {
	t.Helper()
	rules, _ := at(child(t, in, "NetworkPolicy"), "spec", "egress").([]any)
	for _, rule := range rules {
		b, err := json.Marshal(rule)
		if err != nil {
			t.Fatal(err)
		}
		text, port := string(b), ""
		if p, ok := at(at(rule, "ports").([]any)[0], "port").(float64); ok {
			port = fmt.Sprint(p)
		}
		switch {
		case strings.Contains(text, "namespaceSelector"):
			_, after, _ := strings.Cut(text, `"kubernetes.io/metadata.name":"`)
			name, _, _ := strings.Cut(after, `"`)
			namespaces = append(namespaces, name)
		case !strings.Contains(text, "ipBlock"):
			everywhere = append(everywhere, "dns")
		case strings.Contains(text, `"10.0.0.0/8","172.16.0.0/12","192.168.0.0/16","100.64.0.0/10","169.254.0.0/16"`) && strings.Contains(text, `"fc00::/7","fe80::/10"`):
			public = append(public, port)
		case strings.Contains(text, `"169.254.0.0/16"`) && strings.Contains(text, `"fe80::/10"`):
			everywhere = append(everywhere, port)
		default:
			t.Errorf("a rule that reaches where clouds keep credentials: %s", text)
		}
	}
	return everywhere, public, namespaces
}

// What a document or a model chose leads into the world and not inwards, but where the
// Tenant says so.
func TestEgressOfToolsAndDocuments(t *testing.T) {
	tool := func(url string, private bool, redirects ...string) option {
		return spec(func(s *v1alpha1.TenantSpec) {
			s.Tools = &v1alpha1.Tools{Enabled: true, HTTP: []v1alpha1.HTTPTool{
				{Name: "x", Description: "x", Method: "GET", URL: url, Effect: v1alpha1.EffectRead, Private: private, RedirectHosts: redirects}}}
		})
	}
	server := func(url string, private bool) option {
		return spec(func(s *v1alpha1.TenantSpec) {
			s.Tools = &v1alpha1.Tools{Enabled: true, MCP: []v1alpha1.MCPServer{{Name: "x", URL: url, Private: private}}}
		})
	}
	fetching := spec(func(s *v1alpha1.TenantSpec) {
		s.Documents = &v1alpha1.Documents{Store: v1alpha1.DocumentsState, FetchHosts: []string{"docs.example.com"}}
	})
	upstream := spec(func(s *v1alpha1.TenantSpec) {
		s.Upstream = v1alpha1.Upstream{Type: v1alpha1.UpstreamOpenAI, BaseURL: "https://models.example.com/v1"}
		s.Models.Chat = "x"
	})
	type want struct{ everywhere, public, namespaces []string }
	dns := []string{"dns"}
	for name, c := range map[string]struct {
		options []option
		want    want
	}{
		"documents that nobody fetches":      {[]option{spec(stateDocuments)}, want{}},
		"hosts of documents":                 {[]option{fetching}, want{dns, []string{"443", "80"}, nil}},
		"hosts of documents and an upstream": {[]option{fetching, upstream}, want{[]string{"dns", "443"}, []string{"80"}, nil}},
		"built-in tools":                     {[]option{spec(func(s *v1alpha1.TenantSpec) { s.Tools = &v1alpha1.Tools{Enabled: true} })}, want{}},
		"a tool of the world":                {[]option{tool("https://orders.example.com/{id}", false)}, want{dns, []string{"443"}, nil}},
		"on a port of its own":               {[]option{tool("https://orders.example.com:8443?id={id}", false)}, want{dns, []string{"8443"}, nil}},
		"which may lead up to https":         {[]option{tool("http://orders.example.com/{id}", false)}, want{dns, []string{"80", "443"}, nil}},
		"and elsewhere":                      {[]option{tool("http://orders.example.com:8080/", false, "eu.example.com")}, want{dns, []string{"8080", "443", "80"}, nil}},
		"a tool named like a Service":        {[]option{tool("http://orders.shop:8080/{id}", false)}, want{dns, []string{"8080", "443"}, nil}},
		"a tool of the cluster":              {[]option{tool("http://orders.backend:8080/{id}", true)}, want{[]string{"dns", "8080"}, nil, []string{"backend"}}},
		"a server of tools of the namespace": {[]option{server("http://stock:8080/mcp", true)}, want{[]string{"dns", "8080"}, nil, []string{"shop"}}},
		"a server of tools of the world":     {[]option{server("https://mcp.example.com/mcp", false)}, want{dns, []string{"443"}, nil}},
	} {
		var have want
		have.everywhere, have.public, have.namespaces = reached(t, inputs(c.options...))
		if diff := cmp.Diff(c.want, have, cmp.AllowUnexported(want{})); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// Each secret has a file of its own, whatever tools and headers are called.
func TestSecretsOfToolsHaveFilesOfTheirOwn(t *testing.T) {
	tools := &v1alpha1.Tools{Enabled: true}
	for _, name := range []string{"a", "A", "a-b", "ab"} {
		tool := v1alpha1.HTTPTool{Name: name}
		for _, header := range []string{"b", "B", "X-b", "-b", ""} {
			tool.SecretHeaders = append(tool.SecretHeaders, v1alpha1.SecretHeader{Name: header})
		}
		tools.HTTP = append(tools.HTTP, tool)
		tools.MCP = append(tools.MCP, v1alpha1.MCPServer{Name: name, TokenSecretRef: &v1alpha1.SecretKeyReference{}})
	}
	have := map[string]bool{}
	for _, s := range resources.ToolSecrets(&v1alpha1.Tenant{Spec: v1alpha1.TenantSpec{Tools: tools}}) {
		if !strings.HasPrefix(s.File, "tool-") || s.File != strings.ToLower(s.File) {
			t.Errorf("%s has file %q", s.Field, s.File)
		}
		have[s.File] = true
	}
	if len(have) != 24 {
		t.Errorf("24 secrets have %d files", len(have))
	}
	tools.Enabled = false
	if left := resources.ToolSecrets(&v1alpha1.Tenant{Spec: v1alpha1.TenantSpec{Tools: tools}}); left != nil {
		t.Errorf("tools that aren't enabled need %d secrets", len(left))
	}
}

// A new value is a new document.
func TestASecretOfAToolMakesTheDocument(t *testing.T) {
	revisions := func(value string) string {
		in := inputs(withTools, func(in *resources.Inputs) {
			for file := range in.ToolSecrets {
				in.ToolSecrets[file] = value
			}
		})
		c, err := resources.Config(in)
		if err != nil {
			t.Fatal(err)
		}
		return c.Tools.HTTP[0].SecretHeaders[0].Revision + " " + c.Tools.MCP[0].Revision
	}
	if a, b := revisions(toolCanary+"-1"), revisions(toolCanary+"-2"); a == b || strings.Contains(a, "c4nary") {
		t.Errorf("%q and %q", a, b)
	}
}
