package v1alpha1_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
)

func effective(s v1alpha1.TenantSpec, class *v1alpha1.TenantClassSpec) v1alpha1.Effective {
	t := &v1alpha1.Tenant{ObjectMeta: metav1.ObjectMeta{Name: "acme", Namespace: "shop"}, Spec: s}
	if class == nil {
		return v1alpha1.EffectiveOf(t, nil)
	}
	return v1alpha1.EffectiveOf(t, &v1alpha1.TenantClass{Spec: *class})
}

func TestAnEmptySpecMeansTheDocumentedDefaults(t *testing.T) {
	want := v1alpha1.Effective{
		TenantID:        "acme",
		Environment:     "production",
		DeletionPolicy:  v1alpha1.DeletionRetain,
		State:           v1alpha1.EffectiveState{Driver: v1alpha1.DriverEmbedded},
		Persistence:     &v1alpha1.Persistence{Size: resource.MustParse("1Gi")},
		ImagePullPolicy: corev1.PullIfNotPresent,
		Replicas:        1,
		Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("50m"), corev1.ResourceMemory: resource.MustParse("64Mi")},
			Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("256Mi")},
		},
		Chat:    "builtin/extractive",
		Allowed: []string{"builtin/extractive"},
		Keys:    []v1alpha1.APIKey{{Name: "default", Revision: 1, GracePeriod: &metav1.Duration{Duration: 24 * time.Hour}}},
		Limits: v1alpha1.EffectiveLimits{
			PerMinute: 60, WindowSec: 60, BurstWindowSec: 10, BodyBytes: 1 << 20, MessageChars: 10_000,
			OnStoreFailure: "local",
		},
		RetentionDays: 30, MaxMessages: 1000, MaxTokens: 1024,
	}
	if diff := cmp.Diff(want, effective(v1alpha1.TenantSpec{}, nil)); diff != "" {
		t.Fatal(diff)
	}
	if diff := cmp.Diff(want, effective(v1alpha1.TenantSpec{}, &v1alpha1.TenantClassSpec{})); diff != "" {
		t.Fatalf("an empty class changes something: %s", diff)
	}
}

func TestTheTenantsWordGoesBeforeItsClasss(t *testing.T) {
	class := &v1alpha1.TenantClassSpec{
		Image:          "runtime:v1",
		DeletionPolicy: v1alpha1.DeletionDelete,
		Limits: v1alpha1.ClassLimits{
			PerMinute: new(int32(5)), Burst: new(int32(2)), DailyTokens: new(int64(10)), MonthlyTokens: new(int64(100)),
			BodyBytes: new(resource.MustParse("2Mi")),
		},
		Models:    v1alpha1.ClassModels{Chat: "class/model"},
		Resources: &corev1.ResourceRequirements{},
	}
	upstream := v1alpha1.Upstream{Type: v1alpha1.UpstreamOpenAI}
	got := effective(v1alpha1.TenantSpec{Upstream: upstream}, class)
	wantLimits := v1alpha1.EffectiveLimits{
		PerMinute: 5, WindowSec: 60, Burst: 2, BurstWindowSec: 10, DailyTokens: 10, MonthlyTokens: 100, BodyBytes: 2 << 20, MessageChars: 10_000,
		OnStoreFailure: "local",
	}
	if diff := cmp.Diff(wantLimits, got.Limits); diff != "" {
		t.Error(diff)
	}
	if got.Chat != "class/model" || got.DeletionPolicy != v1alpha1.DeletionDelete || got.Image != "runtime:v1" || len(got.Resources.Limits) != 0 {
		t.Errorf("the class isn't heard: %+v", got)
	}
	own := effective(v1alpha1.TenantSpec{
		Upstream: upstream, DeletionPolicy: v1alpha1.DeletionRetain, Models: v1alpha1.Models{Chat: "own"},
		Limits: v1alpha1.Limits{Requests: v1alpha1.RequestLimits{PerMinute: new(int32(9))}},
	}, class)
	if own.Chat != "own" || own.DeletionPolicy != v1alpha1.DeletionRetain || own.Limits.PerMinute != 9 {
		t.Errorf("the Tenant isn't heard: %+v", own)
	}
	// A class's model is of a server that the embedded upstream isn't.
	if got := effective(v1alpha1.TenantSpec{}, class); got.Chat != v1alpha1.ExtractiveModel {
		t.Errorf("the embedded upstream is asked for %q", got.Chat)
	}
}

func TestWhatNobodyNamesIsHeldToTheClasssMaximum(t *testing.T) {
	class := &v1alpha1.TenantClassSpec{
		MaxLimits: v1alpha1.ClassLimits{
			PerMinute: new(int32(7)), Burst: new(int32(3)), DailyTokens: new(int64(10)), MonthlyTokens: new(int64(100)),
			BodyBytes: new(resource.MustParse("2Ki")),
		},
		MaxResources: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("20m"), corev1.ResourceMemory: resource.MustParse("1Gi")},
	}
	got := effective(v1alpha1.TenantSpec{}, class)
	wantLimits := v1alpha1.EffectiveLimits{
		PerMinute: 7, WindowSec: 60, Burst: 3, BurstWindowSec: 10, DailyTokens: 10, MonthlyTokens: 100, BodyBytes: 2 << 10, MessageChars: 10_000,
		OnStoreFailure: "local",
	}
	if diff := cmp.Diff(wantLimits, got.Limits); diff != "" {
		t.Error(diff)
	}
	wantResources := corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("20m"), corev1.ResourceMemory: resource.MustParse("64Mi")},
		Limits:   corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("20m"), corev1.ResourceMemory: resource.MustParse("256Mi")},
	}
	if diff := cmp.Diff(wantResources, got.Resources); diff != "" {
		t.Error(diff)
	}
	// A class whose maximum is generous raises nobody's default.
	class.MaxLimits.PerMinute, class.MaxLimits.BodyBytes = new(int32(6000)), new(resource.MustParse("16Mi"))
	if got := effective(v1alpha1.TenantSpec{}, class).Limits; got.PerMinute != 60 || got.BodyBytes != 1<<20 {
		t.Errorf("a maximum became a default: %+v", got)
	}
	// What the Tenant names stays its word, for the operator to refuse.
	own := effective(v1alpha1.TenantSpec{Limits: v1alpha1.Limits{Tokens: v1alpha1.TokenLimits{Daily: new(int64(11))}}}, class)
	if own.Limits.DailyTokens != 11 {
		t.Errorf("daily %d, want the Tenant's own 11", own.Limits.DailyTokens)
	}
}

func TestStateStaysWhatItStartedAs(t *testing.T) {
	volume := func(size string) *v1alpha1.State {
		return &v1alpha1.State{Embedded: &v1alpha1.EmbeddedState{Persistence: &v1alpha1.Persistence{Size: resource.MustParse(size)}}}
	}
	memory := &v1alpha1.State{Embedded: &v1alpha1.EmbeddedState{Ephemeral: &v1alpha1.EphemeralState{}}}
	for name, c := range map[string]struct {
		own, class *v1alpha1.State
		started    v1alpha1.StateKind
		want       string
	}{
		"nothing said":                         {nil, nil, "", "1Gi"},
		"the class's volume":                   {nil, volume("5Gi"), "", "5Gi"},
		"the class's memory":                   {nil, memory, "", ""},
		"its own memory":                       {memory, volume("5Gi"), "", ""},
		"its own volume":                       {volume("2Gi"), memory, "", "2Gi"},
		"an empty word is none":                {&v1alpha1.State{}, memory, "", ""},
		"started on a volume, class to memory": {nil, memory, v1alpha1.StatePersistent, "1Gi"},
		"started in memory, class to a volume": {nil, volume("5Gi"), v1alpha1.StateEphemeral, ""},
		"started in memory, no class":          {nil, nil, v1alpha1.StateEphemeral, ""},
		"its own word moves it":                {volume("2Gi"), memory, v1alpha1.StateEphemeral, "2Gi"},
	} {
		tenant := &v1alpha1.Tenant{Spec: v1alpha1.TenantSpec{State: c.own}, Status: v1alpha1.TenantStatus{State: c.started}}
		e := v1alpha1.EffectiveOf(tenant, &v1alpha1.TenantClass{Spec: v1alpha1.TenantClassSpec{State: c.class}})
		got := ""
		if e.Persistence != nil {
			got = e.Persistence.Size.String()
		}
		if got != c.want || (e.StateKind() == v1alpha1.StateEphemeral) != (c.want == "") {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestPodsModelsAndKeys(t *testing.T) {
	auto := v1alpha1.Runtime{Autoscaling: &v1alpha1.Autoscaling{Max: 4}}
	if e := effective(v1alpha1.TenantSpec{Runtime: auto}, nil); *e.Autoscaling != (v1alpha1.Autoscaling{Min: 1, Max: 4, Target: 70}) {
		t.Errorf("autoscaling: %+v", e.Autoscaling)
	}
	if e := effective(v1alpha1.TenantSpec{Runtime: auto, Suspend: true}, nil); e.Replicas != 0 || e.Autoscaling != nil {
		t.Errorf("suspended with autoscaling: %d pods, %+v", e.Replicas, e.Autoscaling)
	}
	if e := effective(v1alpha1.TenantSpec{Runtime: v1alpha1.Runtime{Replicas: new(int32(0))}}, nil); e.Replicas != 0 {
		t.Errorf("replicas 0 are %d pods", e.Replicas)
	}
	e := effective(v1alpha1.TenantSpec{Models: v1alpha1.Models{Chat: "a", Fallbacks: []string{"b", "a", "b", "c"}}}, nil)
	if diff := cmp.Diff([][]string{{"b", "c"}, {"a", "b", "c"}}, [][]string{e.Fallbacks, e.Allowed}); diff != "" {
		t.Error(diff)
	}
	if e := effective(v1alpha1.TenantSpec{Auth: v1alpha1.Auth{Mode: v1alpha1.AuthNone, Keys: []v1alpha1.APIKey{{Name: "x"}}}}, nil); e.Keys != nil {
		t.Errorf("mode none has keys: %v", e.Keys)
	}
	spec := v1alpha1.TenantSpec{Auth: v1alpha1.Auth{Keys: []v1alpha1.APIKey{{Name: "x", SecretRef: &v1alpha1.SecretKeyReference{Name: "s"}}}}}
	if e := effective(spec, nil); e.Keys[0].SecretRef.Key != "token" || spec.Auth.Keys[0].SecretRef.Key != "" {
		t.Error("the default is filled into the Tenant's own spec, or not at all")
	}
}

func TestClassBytesAreHeldToTheTenantsBounds(t *testing.T) {
	for q, want := range map[string]int64{"1": 1 << 10, "3Mi": 3 << 20, "2Gi": 64 << 20} {
		got := effective(v1alpha1.TenantSpec{}, &v1alpha1.TenantClassSpec{Limits: v1alpha1.ClassLimits{BodyBytes: new(resource.MustParse(q))}})
		if got.Limits.BodyBytes != want {
			t.Errorf("%s: %d, want %d", q, got.Limits.BodyBytes, want)
		}
	}
}

// Documents are searched in memory and read beside the server: their pods get more, where
// nobody says how much.
func TestDocumentsHaveMoreMemoryByDefault(t *testing.T) {
	documents := v1alpha1.TenantSpec{Documents: &v1alpha1.Documents{Store: v1alpha1.DocumentsState}}
	small := &corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("300Mi")}}
	own := documents
	own.Runtime.Resources = small
	most := corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("512Mi")}
	for name, c := range map[string]struct {
		spec  v1alpha1.TenantSpec
		class *v1alpha1.TenantClassSpec
		want  string
	}{
		"by default":                    {documents, nil, "768Mi"},
		"with a class's bound":          {documents, &v1alpha1.TenantClassSpec{MaxResources: most}, "512Mi"},
		"with resources of a class":     {documents, &v1alpha1.TenantClassSpec{Resources: small}, "300Mi"},
		"with its own":                  {own, nil, "300Mi"},
		"without documents, as ever":    {v1alpha1.TenantSpec{}, nil, "256Mi"},
		"without documents but a bound": {v1alpha1.TenantSpec{}, &v1alpha1.TenantClassSpec{MaxResources: most}, "256Mi"},
	} {
		got := effective(c.spec, c.class).Resources.Limits[corev1.ResourceMemory]
		if got.String() != c.want {
			t.Errorf("%s: %s, want %s", name, got.String(), c.want)
		}
	}
}

func TestPassagesAreBoundedWhereSomebodyBoundsThem(t *testing.T) {
	keeps := func(n int32) v1alpha1.TenantSpec {
		return v1alpha1.TenantSpec{Documents: &v1alpha1.Documents{Store: v1alpha1.DocumentsState, MaxPassages: n}}
	}
	class := func(limit, most *int32) *v1alpha1.TenantClassSpec {
		return &v1alpha1.TenantClassSpec{Limits: v1alpha1.ClassLimits{Passages: limit}, MaxLimits: v1alpha1.ClassLimits{Passages: most}}
	}
	for name, c := range map[string]struct {
		spec  v1alpha1.TenantSpec
		class *v1alpha1.TenantClassSpec
		want  int32
	}{
		"nobody":                     {keeps(0), nil, 0},
		"the tenant":                 {keeps(7), class(new(int32(5)), new(int32(9))), 7},
		"the class":                  {keeps(0), class(new(int32(5)), new(int32(9))), 5},
		"the class's most":           {keeps(0), class(nil, new(int32(9))), 9},
		"a most above the default":   {keeps(0), class(nil, new(int32(900_000))), 0},
		"a tenant without documents": {v1alpha1.TenantSpec{}, class(new(int32(5)), nil), 0},
	} {
		if got := effective(c.spec, c.class).Limits.Passages; got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
