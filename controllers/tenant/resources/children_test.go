package resources_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
)

// child renders and picks one child; nil if there is none.
func child(t *testing.T, in resources.Inputs, kind string) map[string]any {
	t.Helper()
	for _, o := range rendered(t, in) {
		if o["kind"] == kind {
			return o
		}
	}
	return nil
}

func at(v any, path ...string) any {
	for _, p := range path {
		m, _ := v.(map[string]any)
		v = m[p]
	}
	return v
}

// What changes live leaves the pod template alone; an operator upgrade too (the golden
// files). Only the restart part rolls.
func TestOnlyTheRestartPartRollsThePods(t *testing.T) {
	base := at(child(t, inputs(), "Deployment"), "spec", "template")
	live := map[string]option{
		"limits":  spec(func(s *v1alpha1.TenantSpec) { s.Limits.Requests.PerMinute = new(int32(7)) }),
		"models":  spec(func(s *v1alpha1.TenantSpec) { s.Models.Fallbacks = []string{"x"} }),
		"prompt":  spec(func(s *v1alpha1.TenantSpec) { s.Prompt.System = "x" }),
		"keys":    spec(func(s *v1alpha1.TenantSpec) { s.Auth.Keys = []v1alpha1.APIKey{{Name: "x"}} }),
		"hosts":   func(in *resources.Inputs) { in.Hosts = []string{"x.example"} },
		"suspend": spec(func(s *v1alpha1.TenantSpec) { s.Suspend = true }),
		"budget":  spec(func(s *v1alpha1.TenantSpec) { s.Budget = &v1alpha1.Budget{MonthlyUSD: resource.MustParse("1")} }),
		"upstream": func(in *resources.Inputs) {
			spec(func(s *v1alpha1.TenantSpec) {
				s.Upstream = v1alpha1.Upstream{Type: "openai", BaseURL: "http://x/v1"}
				s.Models.Chat = "x"
			})(in)
			in.UpstreamToken = "x"
		},
		"tools, their secrets and speech": func(in *resources.Inputs) {
			withTools(in)
			in.Tenant.Spec.Speech = &v1alpha1.Speech{Provider: v1alpha1.SpeechLocal}
			in.Tenant.Spec.Playground = true
		},
		"deletion": spec(func(s *v1alpha1.TenantSpec) { s.DeletionPolicy = v1alpha1.DeletionDelete }),
		"volume size": spec(func(s *v1alpha1.TenantSpec) {
			s.State = &v1alpha1.State{Embedded: &v1alpha1.EmbeddedState{Persistence: &v1alpha1.Persistence{Size: resource.MustParse("3Gi")}}}
		}),
	}
	for name, o := range live {
		if diff := cmp.Diff(base, at(child(t, inputs(o), "Deployment"), "spec", "template")); diff != "" {
			t.Errorf("%s rolls the pods: %s", name, diff)
		}
	}
	rolling := map[string]option{
		"identity": spec(func(s *v1alpha1.TenantSpec) { s.TenantID = "other" }),
		"state":    spec(ephemeral),
		"image":    class(v1alpha1.TenantClassSpec{Image: "registry.example/runtime:v2"}),
	}
	for name, o := range rolling {
		if cmp.Equal(base, at(child(t, inputs(o), "Deployment"), "spec", "template")) {
			t.Errorf("%s doesn't roll the pods", name)
		}
	}
}

func TestAPodPatchThatBreaksThePodIsRefused(t *testing.T) {
	for patch, want := range map[string]string{
		`{"spec":{"hostNetwork":true}}`: "host namespaces",
		`{"spec":{"containers":[{"name":"runtime","securityContext":{"privileged":true}}]}}`:                 "privileged",
		`{"spec":{"containers":[{"name":"runtime","securityContext":{"allowPrivilegeEscalation":true}}]}}`:   "allowPrivilegeEscalation",
		`{"spec":{"containers":[{"name":"side","image":"x"}]}}`:                                              "allowPrivilegeEscalation",
		`{"spec":{"initContainers":[{"name":"init","image":"x"}]}}`:                                          "allowPrivilegeEscalation",
		`{"spec":{"securityContext":{"runAsUser":0}}}`:                                                       "runAsUser=0",
		`{"spec":{"volumes":[{"name":"host","hostPath":{"path":"/"}}]}}`:                                     "hostPath",
		`{"spec":{"volumes":[{"name":"t","projected":{"sources":[{"serviceAccountToken":{"path":"t"}}]}}]}}`: "serviceAccountToken",
		`{"spec":{"containers":[{"name":"runtime","$patch":"delete"}]}}`:                                     "removes the container",
		`{"spec":{"$patch":"replace"}}`:                                                                      "removes the container",
		`{"spec":{"contaners":[]}}`:                                                                          "unknown field",
		`{"spec":{"terminationGracePeriodSeconds":"long"}}`:                                                  "isn't a pod template",
		`[]`: "can't be merged",
	} {
		_, err := resources.All(inputs(podPatch(patch)))
		var refused *resources.PodPatchError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "TenantClass gold") {
			t.Errorf("%s: %v; want %q", patch, err, want)
		}
	}
}

// The owner's labels, ServiceAccount and missing token win over a class's patch.
func TestAPodPatchCannotTakeThePodAway(t *testing.T) {
	patch := `{"metadata":{"labels":{"ai.crispy-enigma.dev/tenant":"other","app.kubernetes.io/x":"y","team":"ai"},
		"annotations":{"ai.crispy-enigma.dev/restart-digest":"never","note":"x"},"finalizers":["x/y"],"name":"n"},
		"spec":{"serviceAccountName":"admin","serviceAccount":"admin","automountServiceAccountToken":true}}`
	in := inputs(podPatch(patch))
	got := at(child(t, in, "Deployment"), "spec", "template").(map[string]any)
	plain := at(child(t, inputs(), "Deployment"), "spec", "template").(map[string]any)
	at(plain, "metadata", "labels").(map[string]any)["team"] = "ai"
	at(plain, "metadata", "annotations").(map[string]any)["note"] = "x"
	if diff := cmp.Diff(plain, got); diff != "" {
		t.Fatal(diff)
	}
}

func TestTheClaimKeepsWhatItCannotChange(t *testing.T) {
	persistent := func(size string, class *string) option {
		return spec(func(s *v1alpha1.TenantSpec) {
			s.State = &v1alpha1.State{Embedded: &v1alpha1.EmbeddedState{Persistence: &v1alpha1.Persistence{Size: resource.MustParse(size), StorageClassName: class}}}
		})
	}
	live := func(size string, class *string) option {
		return func(in *resources.Inputs) {
			in.Claim = &resources.Claim{Size: resource.MustParse(size), StorageClassName: class}
		}
	}
	for name, c := range map[string]struct {
		options     []option
		size, class any
	}{
		"new":                         {[]option{persistent("2Gi", new("fast"))}, "2Gi", "fast"},
		"new, the cluster's class":    {[]option{persistent("2Gi", nil)}, "2Gi", nil},
		"grown":                       {[]option{persistent("4Gi", nil), live("2Gi", new("std"))}, "4Gi", "std"},
		"the class's size fell":       {[]option{persistent("1Gi", nil), live("2Gi", new("std"))}, "2Gi", "std"},
		"the class's storage changed": {[]option{persistent("2Gi", new("fast")), live("2Gi", new("std"))}, "2Gi", "std"},
	} {
		s := at(child(t, inputs(c.options...), "PersistentVolumeClaim"), "spec")
		if diff := cmp.Diff([]any{c.size, c.class}, []any{at(s, "resources", "requests", "storage"), at(s, "storageClassName")}); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	owners := func(p v1alpha1.DeletionPolicy) any {
		return at(child(t, inputs(spec(func(s *v1alpha1.TenantSpec) { s.DeletionPolicy = p })), "PersistentVolumeClaim"), "metadata", "ownerReferences")
	}
	if owners("") != nil || owners(v1alpha1.DeletionRetain) != nil || owners(v1alpha1.DeletionDelete) == nil {
		t.Error("a claim has its Tenant as owner with Delete, and only then")
	}
}

// The identity is what data is kept under: whoever differs in any part has another mark.
func TestTheClaimIsMarkedWithItsIdentity(t *testing.T) {
	mark := func(o ...option) any {
		return at(child(t, inputs(o...), "PersistentVolumeClaim"), "metadata", "labels", resources.StorageIdentity)
	}
	seen := map[any]string{mark(): "none"}
	for name, o := range map[string]option{
		"owner":       func(in *resources.Inputs) { in.Operator.OwnerID = "other" },
		"namespace":   func(in *resources.Inputs) { in.Tenant.Namespace = "other" },
		"environment": spec(func(s *v1alpha1.TenantSpec) { s.Environment = "staging" }),
		"tenant":      spec(func(s *v1alpha1.TenantSpec) { s.TenantID = "other" }),
	} {
		if other, ok := seen[mark(o)]; ok {
			t.Errorf("%s has the mark of %s", name, other)
		}
		seen[mark(o)] = name
	}
}

func TestTheAutoscalerStartsWithTheFewestPodsAndThenDecides(t *testing.T) {
	for name, c := range map[string]struct {
		live *int32
		want any
	}{
		"new": {nil, 2.0}, "was suspended": {new(int32(0)), 2.0}, "runs": {new(int32(5)), nil},
	} {
		in := inputs(spec(ephemeral), spec(autoscaled), func(in *resources.Inputs) { in.Replicas = c.live })
		if got := at(child(t, in, "Deployment"), "spec", "replicas"); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestARouteNeedsAHostAndTheGatewayAPI(t *testing.T) {
	all := inputs(workersAI)
	noHost, noAPI := all, all
	noHost.Hosts = nil
	noAPI.Cluster.GatewayAPI = false
	if child(t, all, "HTTPRoute") == nil || child(t, noHost, "HTTPRoute") != nil || child(t, noAPI, "HTTPRoute") != nil {
		t.Error("an HTTPRoute needs a host and the Gateway API")
	}
}

// egress as port or namespace, in order.
func egress(t *testing.T, base string) []string {
	in := inputs(spec(func(s *v1alpha1.TenantSpec) {
		s.Upstream = v1alpha1.Upstream{Type: v1alpha1.UpstreamOpenAI, BaseURL: base}
		s.Models.Chat = "x"
	}))
	var out []string
	for _, rule := range at(child(t, in, "NetworkPolicy"), "spec", "egress").([]any) {
		b, err := json.Marshal(rule)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(b))
	}
	return out
}

func TestEgressReachesTheUpstreamAndNotTheMetadata(t *testing.T) {
	for base, want := range map[string]struct {
		port      string
		namespace string
	}{
		"https://api.example.com/v1":               {"443", ""},
		"http://api.example.com/v1":                {"80", ""},
		"http://ollama:11434/v1":                   {"11434", "shop"},
		"http://ollama.models:11434/v1":            {"11434", "models"},
		"http://ollama.models.svc/v1":              {"80", "models"},
		"http://Ollama.Models.svc.cluster.local./": {"80", "models"},
		"http://10.0.0.7:8000/v1":                  {"8000", ""},
		"http://[fd00::7]/v1":                      {"80", ""},
	} {
		rules := egress(t, base)
		if !strings.Contains(rules[1], `"ports":[{"port":`+want.port+`,"protocol":"TCP"}]`) || !strings.Contains(rules[1], `"except":["169.254.0.0/16","168.63.129.16/32","100.100.100.200/32"]`) {
			t.Errorf("%s: %s", base, rules[1])
		}
		switch {
		case want.namespace == "" && len(rules) != 2:
			t.Errorf("%s: %s", base, rules[2])
		case want.namespace != "" && (len(rules) != 3 || !strings.Contains(rules[2], `"kubernetes.io/metadata.name":"`+want.namespace+`"`)):
			t.Errorf("%s doesn't reach namespace %s: %v", base, want.namespace, rules)
		}
	}
	if got := at(child(t, inputs(), "NetworkPolicy"), "spec", "egress"); got != nil {
		t.Errorf("the embedded model reaches %v", got)
	}
}
