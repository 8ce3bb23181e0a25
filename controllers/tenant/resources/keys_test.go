package resources_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
)

// rotation is a Tenant whose key "web" has a value and a past.
func rotation(value string, grace time.Duration, at time.Time, previous *tenantconfig.Config) resources.Inputs {
	return inputs(spec(func(s *v1alpha1.TenantSpec) {
		s.Auth.Keys = []v1alpha1.APIKey{{Name: "web", GracePeriod: &metav1.Duration{Duration: grace}}}
	}), func(in *resources.Inputs) {
		in.Keys = map[string]string{"web": value}
		in.Previous = previous
		in.Now = at
	})
}

func config(t *testing.T, in resources.Inputs) *tenantconfig.Config {
	t.Helper()
	c, err := resources.Config(in)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func digests(c *tenantconfig.Config) []tenantconfig.Digest { return c.Auth.Keys[0].Digests }

func TestRotationKeepsTheOldKeyForItsGracePeriod(t *testing.T) {
	const grace = time.Hour
	first := config(t, rotation("one", grace, now, nil))
	second := config(t, rotation("two", grace, now, first))
	want := []tenantconfig.Digest{
		{SHA256: resources.Digest("two")},
		{SHA256: resources.Digest("one"), NotAfter: now.Add(grace)},
	}
	if diff := cmp.Diff(want, digests(second)); diff != "" {
		t.Fatal(diff)
	}
	// The end stays what it was when nothing changes: a no-change pass writes nothing.
	later := now.Add(grace / 2)
	if diff := cmp.Diff(second, config(t, rotation("two", grace, later, second))); diff != "" {
		t.Fatal(diff)
	}
	if next := resources.NextChange(rotation("two", grace, later, second), second); !next.Equal(now.Add(grace)) {
		t.Fatalf("the next change is at %v", next)
	}
	// Over: gone.
	over := config(t, rotation("two", grace, now.Add(grace), second))
	if diff := cmp.Diff(want[:1], digests(over)); diff != "" {
		t.Fatal(diff)
	}
	// Back to the first value: it is current, the second ends.
	back := config(t, rotation("one", grace, later, second))
	want = []tenantconfig.Digest{{SHA256: resources.Digest("one")}, {SHA256: resources.Digest("two"), NotAfter: later.Add(grace)}}
	if diff := cmp.Diff(want, digests(back)); diff != "" {
		t.Fatal(diff)
	}
	// A lower grace period cuts what runs, a higher one gives nothing back.
	cut := config(t, rotation("two", time.Minute, later, second))
	want = []tenantconfig.Digest{{SHA256: resources.Digest("two")}, {SHA256: resources.Digest("one"), NotAfter: later.Add(time.Minute)}}
	if diff := cmp.Diff(want, digests(cut)); diff != "" {
		t.Fatal(diff)
	}
	if diff := cmp.Diff(want, digests(config(t, rotation("two", grace, later, cut)))); diff != "" {
		t.Fatal(diff)
	}
	if got := digests(config(t, rotation("two", 0, later, second))); len(got) != 1 {
		t.Fatalf("%d digests, want the leaked value gone", len(got))
	}
	// Without a grace period the old one is gone at once.
	if got := digests(config(t, rotation("two", 0, now, first))); len(got) != 1 {
		t.Fatalf("%d digests", len(got))
	}
}

func TestARhythmOfRotationsDoesNotOutgrowTheSecret(t *testing.T) {
	var previous *tenantconfig.Config
	at := now
	for i := range 100 {
		previous = config(t, rotation(fmt.Sprint("value ", i), 720*time.Hour, at, previous))
		at = at.Add(time.Hour)
	}
	got := digests(previous)
	if len(got) != 17 || got[0].SHA256 != resources.Digest("value 99") || got[1].SHA256 != resources.Digest("value 98") {
		t.Fatalf("%d digests, not the newest 17", len(got))
	}
}

func TestARemovedKeyEndsAtOnceAndARenamedValueBelongsToItsNewName(t *testing.T) {
	named := func(name string) option {
		return spec(func(s *v1alpha1.TenantSpec) { s.Auth.Keys = []v1alpha1.APIKey{{Name: name}, {Name: "other"}} })
	}
	value := func(keys map[string]string, previous *tenantconfig.Config) option {
		return func(in *resources.Inputs) { in.Keys, in.Previous = keys, previous }
	}
	before := config(t, inputs(named("web"), value(map[string]string{"web": "a", "other": "b"}, nil)))
	after := config(t, inputs(named("app"), value(map[string]string{"app": "b", "other": "c"}, before)))
	want := []tenantconfig.Key{
		{Name: "app", Digests: []tenantconfig.Digest{{SHA256: resources.Digest("b")}}},
		{Name: "other", Digests: []tenantconfig.Digest{{SHA256: resources.Digest("c")}}},
	}
	if diff := cmp.Diff(want, after.Auth.Keys); diff != "" {
		t.Fatal(diff)
	}
}

func TestADocumentThatNobodyCouldServeIsAnError(t *testing.T) {
	cases := map[string][]option{
		"auth.keys[0].digests": {func(in *resources.Inputs) { in.Keys = map[string]string{} }},
		"auth.keys[1].digests[0].sha256": {
			spec(func(s *v1alpha1.TenantSpec) { s.Auth.Keys = []v1alpha1.APIKey{{Name: "a"}, {Name: "b"}} }),
			func(in *resources.Inputs) { in.Keys = map[string]string{"a": "same", "b": "same"} },
		},
		"models.chat": {spec(func(s *v1alpha1.TenantSpec) {
			s.Upstream = v1alpha1.Upstream{Type: v1alpha1.UpstreamOpenAI, BaseURL: "http://llm/v1"}
		})},
	}
	for path, options := range cases {
		_, err := resources.Config(inputs(options...))
		var refused *resources.DocumentError
		if !errors.As(err, &refused) || refused.Violations[0].Path != path {
			t.Errorf("%s: %v", path, err)
		}
		if _, err := resources.All(inputs(options...)); !errors.As(err, &refused) {
			t.Errorf("%s: All gives %v", path, err)
		}
	}
}

func TestKeysSurviveTheirSecret(t *testing.T) {
	in := inputs(workersAI)
	ac, err := resources.KeysSecret(in)
	if err != nil {
		t.Fatal(err)
	}
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Annotations: ac.Annotations}, Data: ac.Data}
	if diff := cmp.Diff(in.Generated, resources.ReadKeys(s)); diff != "" {
		t.Fatal(diff)
	}
	// A lost note costs a key its age, never its value.
	for _, note := range []string{"", "{", `{"web":{"revision":0}}`, `{"other":{"revision":7,"createdAt":"2030-01-01T00:00:00Z"}}`} {
		s.Annotations = map[string]string{resources.AnnotationKeys: note}
		s.CreationTimestamp = metav1.NewTime(now)
		want := map[string]resources.GeneratedKey{"web": {Value: in.Keys["web"], Revision: 1, CreatedAt: now}}
		if diff := cmp.Diff(want, resources.ReadKeys(s)); diff != "" {
			t.Errorf("%q: %s", note, diff)
		}
	}
}

func TestNeedsValue(t *testing.T) {
	day := &metav1.Duration{Duration: 24 * time.Hour}
	have := resources.GeneratedKey{Value: "v", Revision: 2, CreatedAt: now.Add(-24 * time.Hour)}
	for name, c := range map[string]struct {
		key  v1alpha1.APIKey
		have resources.GeneratedKey
		want bool
	}{
		"none yet":       {v1alpha1.APIKey{Revision: 1}, resources.GeneratedKey{}, true},
		"as it is":       {v1alpha1.APIKey{Revision: 2}, have, false},
		"lowered":        {v1alpha1.APIKey{Revision: 1}, have, false},
		"raised":         {v1alpha1.APIKey{Revision: 3}, have, true},
		"old":            {v1alpha1.APIKey{Revision: 2, RotateAfter: day}, have, true},
		"not old enough": {v1alpha1.APIKey{Revision: 2, RotateAfter: &metav1.Duration{Duration: 25 * time.Hour}}, have, false},
		"someone else's": {v1alpha1.APIKey{Revision: 1, SecretRef: &v1alpha1.SecretKeyReference{Name: "x"}}, resources.GeneratedKey{}, false},
	} {
		if got := resources.NeedsValue(c.key, c.have, now); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
