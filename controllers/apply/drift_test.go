package apply_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crispy-enigma/crispy-enigma/controllers/apply"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
)

// leaf is the way to one applied value: field names and list indexes.
type leaf []any

func (l leaf) String() string {
	parts := make([]string, len(l))
	for i := range l {
		parts[i] = fmt.Sprint(l[i])
	}
	return strings.Join(parts, ".")
}

// leaves of what is applied, in a fixed order; what names the object isn't one.
func leaves(v any, at leaf) []leaf {
	switch v := v.(type) {
	case map[string]any:
		var out []leaf
		for _, k := range slices.Sorted(maps.Keys(v)) {
			path := append(slices.Clone(at), k)
			switch path.String() {
			case "apiVersion", "kind", "metadata.name", "metadata.namespace":
			default:
				out = append(out, leaves(v[k], path)...)
			}
		}
		if len(v) == 0 {
			out = append(out, at)
		}
		return out
	case []any:
		var out []leaf
		for i := range v {
			out = append(out, leaves(v[i], append(slices.Clone(at), i))...)
		}
		return out
	}
	return []leaf{at}
}

// find the parent of a leaf in a live object, whose lists may be in another order: an
// element is found by the fields that the wanted one sets.
func find(want, have any, path leaf) (parent any, last any) {
	for _, step := range path[:len(path)-1] {
		switch s := step.(type) {
		case string:
			want, have = want.(map[string]any)[s], have.(map[string]any)[s]
		case int:
			w := want.([]any)[s]
			i := place(w, have.([]any), s)
			Expect(i).To(BeNumerically(">=", 0), "%v isn't in the live list", w)
			want, have = w, have.([]any)[i]
		}
	}
	last = path[len(path)-1]
	if i, ok := last.(int); ok {
		last = place(want.([]any)[i], have.([]any), i)
	}
	return have, last
}

// place of an element in a live list: where it is wanted, if it is there.
func place(want any, have []any, i int) int {
	if i < len(have) && same(want, have[i]) {
		return i
	}
	return slices.IndexFunc(have, func(h any) bool { return same(want, h) })
}

// same tells elements by what usually keys them.
func same(want, have any) bool {
	w, ok := want.(map[string]any)
	if !ok {
		return cmp.Equal(want, have)
	}
	h, _ := have.(map[string]any)
	for _, key := range []string{"uid", "name", "containerPort", "mountPath", "topologyKey", "port", "key"} {
		if v, ok := w[key]; ok {
			return cmp.Equal(v, h[key])
		}
	}
	return true
}

// other values than v that a server might accept in its place.
func other(v any) []any {
	switch v := v.(type) {
	case bool:
		return []any{!v}
	case int64:
		return []any{v + 1, v - 1, int64(0), v + 100}
	case string:
		candidates := []any{v + "x", "x" + v, "eHg=", "2Gi", "333m", "Always", "RollingUpdate", "Recreate", "UDP", "NodePort", "Exact", "HTTPS", "Memory", "Equal", "Unconfined", "ReadWriteMany", "DoNotSchedule", "10.0.0.0/8", "10s"}
		return slices.DeleteFunc(candidates, func(c any) bool { return c == v })
	}
	// An empty object has no value to change: it can only be removed.
	return nil
}

func fields(t *tenant, o resources.Object) map[string]any {
	b, err := json.Marshal(o)
	Expect(err).NotTo(HaveOccurred())
	out := map[string]any{}
	Expect(utiljson.Unmarshal(b, &out)).To(Succeed())
	return out
}

func get(t *tenant, want map[string]any) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: want}
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(u.GroupVersionKind())
	Expect(plain.Get(t.ctx, client.ObjectKeyFromObject(u), live)).To(Succeed())
	return live
}

// body is what there is to restore of a live object.
func body(u *unstructured.Unstructured) map[string]any {
	out := u.DeepCopy()
	for _, f := range []string{"resourceVersion", "generation", "managedFields", "uid", "creationTimestamp"} {
		unstructured.RemoveNestedField(out.Object, "metadata", f)
	}
	delete(out.Object, "status")
	// Counts the writes itself.
	unstructured.RemoveNestedField(out.Object, "metadata", "annotations", "deprecated.daemonset.template.generation")
	return out.Object
}

// intrude changes one value as somebody else; false if the server accepts no other.
func intrude(t *tenant, want map[string]any, path leaf, remove bool) bool {
	live := get(t, want)
	parent, last := find(want, live.Object, path)
	set := func(v any) {
		switch p := parent.(type) {
		case map[string]any:
			if v == nil {
				delete(p, last.(string))
			} else {
				p[last.(string)] = v
			}
		case []any:
			if v != nil {
				p[last.(int)] = v
			}
		}
	}
	value := func() any {
		if p, ok := parent.(map[string]any); ok {
			return p[last.(string)]
		}
		return parent.([]any)[last.(int)]
	}()
	candidates := other(value)
	if remove {
		if _, element := last.(int); element {
			return false
		}
		candidates = []any{nil}
	}
	version := live.GetResourceVersion()
	for _, v := range candidates {
		set(v)
		live.SetManagedFields(nil)
		err := plain.Update(t.ctx, live.DeepCopy(), client.FieldOwner("intruder"))
		if err != nil {
			Expect(apierrors.IsInvalid(err) || apierrors.IsForbidden(err) || apierrors.IsBadRequest(err)).To(BeTrue(), "%s: %v", path, err)
			continue
		}
		if get(t, want).GetResourceVersion() != version {
			return true
		}
	}
	return false
}

func expectForeign(t *tenant, o resources.Object, want map[string]any) {
	before := get(t, want)
	n := writes.Load()
	_, err := apply.All(t.ctx, api, t.owner(), o)
	var foreign *apply.ForeignObject
	ExpectWithOffset(1, errors.As(err, &foreign)).To(BeTrue(), "%v", err)
	ExpectWithOffset(1, foreign.Kind).To(Equal(before.GetKind()))
	ExpectWithOffset(1, writes.Load()).To(Equal(n))
	ExpectWithOffset(1, get(t, want)).To(Equal(before))
}

func restore(t *tenant, o resources.Object, want, original map[string]any) {
	live := get(t, want)
	owners := (&unstructured.Unstructured{Object: original}).GetOwnerReferences()
	live.SetOwnerReferences(owners)
	Expect(plain.Update(t.ctx, live, client.FieldOwner("intruder"))).To(Succeed())
	t.applyOnly(o)
}

var _ = Describe("Drift", func() {
	everything := []struct {
		name  string
		edits []func(*resources.Inputs)
		// kinds to change, and below which field.
		kinds map[string]string
	}{
		{"with a volume and a Gateway", nil, map[string]string{
			"ServiceAccount": "", "Secret": "", "NetworkPolicy": "", "PersistentVolumeClaim": "", "Deployment": "",
			"Service": "", "PodDisruptionBudget": "", "HTTPRoute": "",
		}},
		{"in memory, with an Ingress and an autoscaler", []func(*resources.Inputs){ephemeral, autoscaled, onIngress}, map[string]string{
			"HorizontalPodAutoscaler": "", "Ingress": "", "Deployment": "spec.strategy",
		}},
	}
	for _, scenario := range everything {
		It("is undone in one pass wherever it is: "+scenario.name, func(ctx context.Context) {
			t := newTenant(ctx, scenario.edits...)
			t.apply()
			seen := map[string]bool{}
			changed, kept := 0, []string{}
			for _, o := range t.children() {
				want := fields(t, o)
				kind := want["kind"].(string)
				seen[kind] = true
				below, included := scenario.kinds[kind]
				if !included {
					continue
				}
				original := body(get(t, want))
				for _, path := range leaves(want, nil) {
					if !strings.HasPrefix(path.String(), below) {
						continue
					}
					for _, remove := range []bool{false, true} {
						if !intrude(t, want, path, remove) {
							kept = append(kept, fmt.Sprintf("%s %s (removed: %v)", kind, path, remove))
							continue
						}
						changed++
						if path.String() == "metadata.ownerReferences.0.uid" && !remove {
							// That isn't drift: the child was given to somebody else.
							expectForeign(t, o, want)
							restore(t, o, want, original)
							continue
						}
						result, n := t.applyOnly(o)
						what := fmt.Sprintf("%s %s (removed: %v): %+v", kind, path, remove, result.Changes)
						Expect(n).To(BeNumerically(">=", 1), what)
						// A refused write counts too.
						Expect(n).To(BeNumerically(">=", result.Writes()), what)
						if diff := cmp.Diff(original, body(get(t, want))); diff != "" {
							Fail(what + "\n" + diff)
						}
					}
				}
				_, n := t.apply()
				Expect(n).To(BeZero(), kind)
			}
			for kind := range scenario.kinds {
				Expect(seen).To(HaveKey(kind))
			}
			GinkgoWriter.Printf("%d changes undone; the server refuses:\n  %s\n", changed, strings.Join(kept, "\n  "))
			Expect(changed).To(BeNumerically(">=", 30))
		})
	}

	It("of a deleted child is undone in one pass", func(ctx context.Context) {
		for _, edits := range [][]func(*resources.Inputs){nil, {ephemeral, autoscaled, onIngress}} {
			t := newTenant(ctx, edits...)
			t.apply()
			for _, o := range t.children() {
				want := fields(t, o)
				live := get(t, want)
				before := body(live)
				if len(live.GetFinalizers()) > 0 {
					live.SetFinalizers(nil)
					Expect(plain.Update(ctx, live)).To(Succeed())
				}
				Expect(plain.Delete(ctx, live)).To(Succeed())
				_, n := t.apply()
				Expect(n).To(BeEquivalentTo(1), "%s %s", live.GetKind(), live.GetName())
				after := body(get(t, want))
				// The server gives a new Service another address.
				for _, f := range []string{"clusterIP", "clusterIPs"} {
					unstructured.RemoveNestedField(before, "spec", f)
					unstructured.RemoveNestedField(after, "spec", f)
				}
				if diff := cmp.Diff(before, after); diff != "" {
					Fail(live.GetKind() + "\n" + diff)
				}
			}
		}
	})
})
