package resources_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
)

var update = flag.Bool("update", false, "write the golden files")

var scenarios = map[string][]option{
	"minimal":   nil,
	"ephemeral": {spec(ephemeral)},
	"openai": {spec(ephemeral), spec(func(s *v1alpha1.TenantSpec) {
		s.Upstream = v1alpha1.Upstream{Type: v1alpha1.UpstreamOpenAI, BaseURL: "http://ollama.models:11434/v1"}
		s.Models.Chat = "llama3.2"
		s.Auth.Mode = v1alpha1.AuthNone
	})},
	"workersai":  {workersAI},
	"cloudflare": {everythingOfCloudflare},
	"sharing":    {sharedIndex},
	"ingress": {spec(ephemeral), spec(func(s *v1alpha1.TenantSpec) {
		s.Exposure = v1alpha1.Exposure{Hosts: []string{"acme.example"}, IngressClassName: new("nginx")}
	}), func(in *resources.Inputs) { in.Hosts = []string{"acme.example"} }},
	"suspended":  {spec(ephemeral), spec(autoscaled), spec(func(s *v1alpha1.TenantSpec) { s.Suspend = true })},
	"autoscaled": {spec(ephemeral), spec(autoscaled), func(in *resources.Inputs) { in.Replicas = new(int32(5)) }},
	"valkey":     {onValkey, spec(autoscaled)},
	"postgres":   {onPostgres, spec(func(s *v1alpha1.TenantSpec) { s.Runtime.Replicas = new(int32(2)) })},
	"moving":     {onValkey, func(in *resources.Inputs) { in.Tenant.Status.State = v1alpha1.StatePersistent }},
	"documents":  {withDocuments},
	"tools":      {spec(ephemeral), withTools},
	"patched": {spec(ephemeral), podPatch(`{
		"metadata": {"labels": {"team": "ai", "app.kubernetes.io/name": "mine"}},
		"spec": {
			"runtimeClassName": "gvisor",
			"imagePullSecrets": [{"name": "pull"}],
			"serviceAccountName": "admin",
			"automountServiceAccountToken": true,
			"containers": [{"name": "runtime", "env": [{"name": "GODEBUG", "value": "http2debug=0"}]}]
		}}`)},
}

// The golden files are exactly the fields that the operator owns.
func TestGolden(t *testing.T) {
	if *update {
		old, err := filepath.Glob("testdata/*.golden.*")
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range old {
			if err := os.Remove(f); err != nil {
				t.Fatal(err)
			}
		}
	}
	written := map[string]bool{}
	for name, options := range scenarios {
		in := inputs(options...)
		for _, o := range rendered(t, in) {
			kind, object := o["kind"].(string), o["metadata"].(map[string]any)["name"].(string)
			file := name + "." + strings.ToLower(kind) + strings.TrimPrefix(object, "tenant-acme") + ".golden.yaml"
			b, err := yaml.Marshal(o)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, file, b)
			written[filepath.Join("testdata", file)] = true
		}
		document, err := resources.Config(in)
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.MarshalIndent(document, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		file := name + ".document.golden.json"
		golden(t, file, append(b, '\n'))
		written[filepath.Join("testdata", file)] = true
	}
	all, err := filepath.Glob("testdata/*.golden.*")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if !written[f] {
			t.Errorf("%s belongs to no child of any scenario; run go test -update", f)
		}
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Errorf("%v; run go test -update and read what it writes", err)
		return
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (-want +got):\n%s", name, cmp.Diff(string(want), string(got)))
	}
}
