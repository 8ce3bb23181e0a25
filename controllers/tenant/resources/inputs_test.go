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
	upstreamCanary = "c4nary-of-the-upstream-token-0123456789"
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

// rendered are the children as JSON objects.
func rendered(t rapid.TB, in resources.Inputs) []map[string]any {
	t.Helper()
	all, err := resources.All(in)
	if err != nil {
		t.Fatal(err)
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
