package resources_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/validation"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"pgregory.net/rapid"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
)

// Every Tenant that the schema lets through has a document that the runtime serves, and
// children that keep the promises of the package.
func TestEveryLegalTenant(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := genInputs(t)
		document, err := resources.Config(in)
		if err != nil {
			t.Fatal(err)
		}
		if broken := tenantconfig.Validate(document); len(broken) > 0 {
			t.Fatal(broken)
		}
		all := rendered(t, in)
		// Rendering is pure: twice gives the same.
		if diff := cmp.Diff(all, rendered(t, in)); diff != "" {
			t.Fatal(diff)
		}
		for _, o := range all {
			checkNames(t, o)
			checkSecrets(t, o)
			if o["kind"] == "Deployment" {
				checkDeployment(t, o, in.Tenant.Name)
			}
		}
	})
}

func checkNames(t *rapid.T, o map[string]any) {
	meta := o["metadata"].(map[string]any)
	if errs := validation.IsDNS1123Label(meta["name"].(string)); len(errs) > 0 {
		t.Fatalf("%s %s: %v", o["kind"], meta["name"], errs)
	}
	walk(o, "", func(path, key string, value any) {
		parent := path[strings.LastIndex(path, ".")+1:]
		switch parent {
		case "labels", "annotations", "matchLabels":
			if !ours[key] {
				t.Fatalf("%s %s.%s isn't a name of ours", o["kind"], path, key)
			}
			if errs := validation.IsValidLabelValue(fmt.Sprint(value)); parent != "annotations" && len(errs) > 0 {
				t.Fatalf("%s %s.%s: %v", o["kind"], path, key, errs)
			}
		}
	})
}

// ours are all names of labels and annotations that a child may carry.
var ours = map[string]bool{
	"ai.crispy-enigma.dev/environment": true, "ai.crispy-enigma.dev/tenant": true, "ai.crispy-enigma.dev/storage-identity": true,
	"ai.crispy-enigma.dev/restart-digest": true, "ai.crispy-enigma.dev/keys": true, "ai.crispy-enigma.dev/state-logins": true,
	"app.kubernetes.io/name": true, "app.kubernetes.io/instance": true,
	"app.kubernetes.io/managed-by": true, "app.kubernetes.io/part-of": true,
	"kubernetes.io/metadata.name": true,
}

// checkSecrets finds planted values anywhere but in a Secret's data, and a generated key
// anywhere but in the Secret of keys.
func checkSecrets(t *rapid.T, o map[string]any) {
	name := o["metadata"].(map[string]any)["name"].(string)
	data, _ := o["data"].(map[string]any)
	rest := make(map[string]any, len(o))
	for k, v := range o {
		if k != "data" {
			rest[k] = v
		}
	}
	plain := mustJSON(t, rest)
	for _, v := range data {
		b, err := base64.StdEncoding.DecodeString(v.(string))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(name, "-keys") && strings.Contains(string(b), keyCanary) {
			t.Fatalf("%s holds a key in clear", name)
		}
	}
	for _, canary := range []string{keyCanary, statusCanary, upstreamCanary, tokenCanary, stateCanary, toolCanary} {
		if strings.Contains(plain, canary) || strings.Contains(plain, base64.StdEncoding.EncodeToString([]byte(canary))) {
			t.Fatalf("%s %s holds a secret outside its data", o["kind"], name)
		}
	}
	if document, ok := data[tenantconfig.DocumentFile]; ok {
		b, _ := base64.StdEncoding.DecodeString(document.(string))
		for _, canary := range []string{keyCanary, statusCanary, upstreamCanary, tokenCanary, stateCanary, toolCanary} {
			if strings.Contains(string(b), canary) {
				t.Fatal("the document holds a secret")
			}
		}
	}
}

func checkDeployment(t *rapid.T, o map[string]any, tenant string) {
	s := o["spec"].(map[string]any)
	// A selector can't change: it depends on the name alone.
	want := map[string]any{"matchLabels": map[string]any{
		"app.kubernetes.io/name": "crispy-enigma-runtime", "ai.crispy-enigma.dev/tenant": tenant,
	}}
	if diff := cmp.Diff(want, s["selector"]); diff != "" {
		t.Fatal(diff)
	}
	var template corev1ac.PodTemplateSpecApplyConfiguration
	if err := json.Unmarshal([]byte(mustJSON(t, s["template"])), &template); err != nil {
		t.Fatal(err)
	}
	if why := resources.Restricted(&template); why != "" {
		t.Fatal(why)
	}
	for name, value := range resources.Selector(tenant) {
		if template.Labels[name] != value {
			t.Fatalf("the selector doesn't find the pods: %s", name)
		}
	}
	for _, c := range template.Spec.InitContainers {
		if *c.Name != resources.MoveContainer || *c.Image != *template.Spec.Containers[0].Image {
			t.Fatalf("init container %s", *c.Name)
		}
	}
	for _, e := range template.Spec.Containers[0].Env {
		if *e.Name != "GOMEMLIMIT" && *e.Name != tenantconfig.EnvExtractMemory {
			t.Fatalf("environment variable %s", *e.Name)
		}
	}
	if *template.Spec.AutomountServiceAccountToken || *template.Spec.ServiceAccountName != "tenant-"+tenant {
		t.Fatal("the pod has another's identity")
	}
}

// Names are injective within a namespace and kind, at the limits too.
func TestNamesAreInjective(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Names that end like a child's are where two could meet.
		g := rapid.OneOf(genLabel, rapid.StringMatching(`[ab](-keys|-config|-state){0,3}`))
		a, b := g.Draw(t, "a"), g.Draw(t, "b")
		if a == b {
			return
		}
		x, y := resources.NamesOf(a), resources.NamesOf(b)
		if x.Base == y.Base || x.State == y.State || x.Keys == y.Keys || x.Config == y.Config || x.Keys == y.Config || x.Config == y.Keys {
			t.Fatalf("%q and %q share a name", a, b)
		}
	})
	longest := resources.NamesOf(strings.Repeat("a", 40))
	for _, n := range []string{longest.Base, longest.Keys, longest.Config, longest.State} {
		if len(n) > 63 {
			t.Errorf("%s has %d characters", n, len(n))
		}
	}
}

// walk visits every key of every object in v with the path of the object.
func walk(v any, path string, visit func(path, key string, value any)) {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			visit(path, key, value)
			walk(value, path+"."+strings.ReplaceAll(key, ".", "_"), visit)
		}
	case []any:
		for _, e := range v {
			walk(e, path+"[]", visit)
		}
	}
}

func mustJSON(t rapid.TB, v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Restricted would say so of a pod that isn't: the property above can fail.
func TestRestrictedSeesABadPod(t *testing.T) {
	bad := corev1ac.PodTemplateSpec().WithSpec(corev1ac.PodSpec().
		WithContainers(corev1ac.Container().WithName("x")).
		WithVolumes(corev1ac.Volume().WithName("token").WithProjected(corev1ac.ProjectedVolumeSource().
			WithSources(corev1ac.VolumeProjection().WithServiceAccountToken(corev1ac.ServiceAccountTokenProjection().WithPath("t"))))))
	why := resources.Restricted(bad)
	for _, want := range []string{"runAsNonRoot", "seccompProfile", "allowPrivilegeEscalation", "unrestricted capabilities", "serviceAccountToken"} {
		if !strings.Contains(why, want) {
			t.Errorf("%q doesn't tell of %s", why, want)
		}
	}
}
