package tenant_test

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-cmp/cmp"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
	"github.com/crispy-enigma/crispy-enigma/controllers/testenv"
)

// story is a Tenant's life, chapter by chapter. Each is written, then lived to its end.
var story = []struct {
	name string
	do   func(context.Context, *testenv.World, *v1alpha1.Tenant) error
}{
	{"create", func(ctx context.Context, w *testenv.World, t *v1alpha1.Tenant) error { return w.Client.Create(ctx, t) }},
	{"update", func(ctx context.Context, w *testenv.World, t *v1alpha1.Tenant) error {
		t.Spec.Limits.Requests.PerMinute = new(int32(7))
		t.Spec.Runtime.PriorityClassName = "system-cluster-critical"
		t.Spec.Exposure.IngressClassName = nil
		return w.Client.Update(ctx, t)
	}},
	{"rotate", func(ctx context.Context, w *testenv.World, t *v1alpha1.Tenant) error {
		t.Spec.Auth.Keys[0].Revision++
		return w.Client.Update(ctx, t)
	}},
	{"delete", func(ctx context.Context, w *testenv.World, t *v1alpha1.Tenant) error { return w.Client.Delete(ctx, t) }},
}

// live runs the story; fault, if there is one, hits API write n of the first incarnation.
// It gives what the cluster looks like after each chapter, and the writes that were made.
func live(ctx context.Context, w *testenv.World, n int, fault testenv.Fault) (states []string, writes []string, err error) {
	first := w.Gate
	if fault != "" {
		first.Break(n, fault)
	}
	t := testenv.NewTenant(w.Namespace, "acme", testenv.WithHosts("acme."+w.Namespace+".example"), testenv.WithIngress,
		testenv.WithKeys(testenv.GeneratedKey("web", 1)), testenv.WithDeletionPolicy(v1alpha1.DeletionDelete))
	for _, chapter := range story {
		if chapter.name != "create" {
			if err := w.Client.Get(ctx, client.ObjectKeyFromObject(t), t); err != nil {
				return nil, nil, err
			}
		}
		if err := chapter.do(ctx, w, t); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", chapter.name, err)
		}
		if err := w.Settle(ctx, t); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", chapter.name, err)
		}
		state, err := snapshot(ctx, w)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", chapter.name, err)
		}
		states = append(states, state)
	}
	if fault != "" && !first.Fired() {
		return nil, nil, fmt.Errorf("write %d never came", n)
	}
	return states, first.Writes(), nil
}

// kinds that a Tenant's life touches.
func kinds() []client.ObjectList {
	return []client.ObjectList{
		&v1alpha1.TenantList{}, &corev1.SecretList{}, &corev1.ServiceAccountList{}, &corev1.ServiceList{},
		&corev1.PersistentVolumeClaimList{}, &appsv1.DeploymentList{}, &networkingv1.NetworkPolicyList{}, &networkingv1.IngressList{},
	}
}

// snapshot is all that is in the World's namespace, without what differs from one run to
// the next for no reason of the operator's. The secrets themselves differ: in their place
// stands how they fit together.
func snapshot(ctx context.Context, w *testenv.World) (string, error) {
	var out []string
	for _, list := range kinds() {
		if err := w.Client.List(ctx, list, client.InNamespace(w.Namespace)); err != nil {
			return "", err
		}
		objects, err := listed(list)
		if err != nil {
			return "", err
		}
		for _, o := range objects {
			text, err := normal(w, o)
			if err != nil {
				return "", err
			}
			out = append(out, text)
		}
	}
	fits, err := secretsFit(ctx, w)
	return strings.Join(append(out, fits), "\n"), err
}

func listed(list client.ObjectList) ([]client.Object, error) {
	var out []client.Object
	err := meta.EachListItem(list, func(o runtime.Object) error {
		out = append(out, o.(client.Object))
		return nil
	})
	return out, err
}

var volatile = []*regexp.Regexp{
	regexp.MustCompile(`sha256:[0-9a-f]{64}`),
	regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`),
	regexp.MustCompile(`10\.\d+\.\d+\.\d+`),
}

func normal(w *testenv.World, o client.Object) (string, error) {
	o = o.DeepCopyObject().(client.Object)
	o.SetUID("")
	o.SetResourceVersion("")
	o.SetGeneration(0)
	o.SetManagedFields(nil)
	owners := o.GetOwnerReferences()
	for i := range owners {
		owners[i].UID = "owner"
	}
	o.SetOwnerReferences(owners)
	switch o := o.(type) {
	case *corev1.Secret:
		for name := range o.Data {
			o.Data[name] = []byte("secret")
		}
	case *appsv1.Deployment:
		o.Status = appsv1.DeploymentStatus{}
		delete(o.Annotations, "deployment.kubernetes.io/revision")
	case *v1alpha1.Tenant:
		o.Status.ObservedGeneration = 0
		slices.SortFunc(o.Status.Conditions, func(a, b metav1.Condition) int { return strings.Compare(a.Type, b.Type) })
		for i := range o.Status.Conditions {
			o.Status.Conditions[i].ObservedGeneration = 0
		}
	}
	b, err := json.MarshalIndent(o, "", " ")
	text := strings.ReplaceAll(string(b), w.Namespace, "NAMESPACE")
	text = strings.ReplaceAll(text, mark(w), "IDENTITY")
	for _, v := range volatile {
		text = v.ReplaceAllString(text, "X")
	}
	return fmt.Sprintf("%T %s", o, text), err
}

// mark of the storage identity that acme must have in the World.
func mark(w *testenv.World) string {
	return resources.IdentityMark(testenv.OwnerID + "/" + w.Namespace + "/production/acme-" + w.Namespace)
}

// secretsFit tells whether the document knows exactly the keys that the Secret shows,
// how many past ones it still takes, and whether a status token is there.
func secretsFit(ctx context.Context, w *testenv.World) (string, error) {
	names := resources.NamesOf("acme")
	keys, config := &corev1.Secret{}, &corev1.Secret{}
	for name, s := range map[string]*corev1.Secret{names.Keys: keys, names.Config: config} {
		err := w.Client.Get(ctx, client.ObjectKey{Namespace: w.Namespace, Name: name}, s)
		if apierrors.IsNotFound(err) {
			return "no secrets", nil
		}
		if err != nil {
			return "", err
		}
	}
	c, err := tenantconfig.Parse(config.Data[tenantconfig.DocumentFile])
	if err != nil {
		return "", err
	}
	out := fmt.Sprintf("status token %t", len(config.Data[tenantconfig.StatusTokenFile]) >= 43)
	for _, k := range c.Auth.Keys {
		current := k.Digests[0].SHA256 == resources.Digest(string(keys.Data[k.Name])) && k.Digests[0].NotAfter.IsZero()
		out += fmt.Sprintf(", key %s current %t, past %d", k.Name, current, len(k.Digests)-1)
	}
	return out, nil
}

var _ = Describe("the operator killed at any API write", func() {
	It("leaves a state from which the next one converges to what a fault-free run gives", func(ctx SpecContext) {
		want, writes, err := live(ctx, newWorld(ctx), 0, "")
		Expect(err).NotTo(HaveOccurred())
		Expect(want[0]).To(ContainSubstring("key web current true, past 0"))
		Expect(want[2]).To(ContainSubstring("key web current true, past 1"))
		Expect(len(writes)).To(BeNumerically(">", 15), "%v", writes)
		AddReportEntry("API writes", strings.Join(writes, ", "))

		var (
			mu     sync.Mutex
			broken []string
			group  sync.WaitGroup
		)
		slots := make(chan struct{}, 4)
		for n := range writes {
			for _, fault := range testenv.Faults {
				slots <- struct{}{}
				group.Go(func() {
					defer func() { <-slots }()
					diff := lived(ctx, want, n, fault)
					if diff != "" {
						mu.Lock()
						defer mu.Unlock()
						broken = append(broken, fmt.Sprintf("%s write %d (%s): %s", fault, n, writes[n], diff))
					}
				})
			}
		}
		group.Wait()
		AddReportEntry("scenarios", len(writes)*len(testenv.Faults))
		Expect(broken).To(BeEmpty())
	})
})

var _ = Describe("a Tenant deleted while it is being made", func() {
	It("goes, and its volume isn't left behind in silence, wherever the operator was", func(ctx SpecContext) {
		for n := 0; ; n++ {
			w := newWorld(ctx)
			w.Gate.Break(n, testenv.CrashAfter)
			t := w.ExpectCreated(ctx, "acme")
			_, err := w.Reconcile(ctx, t)
			if !w.Gate.Dead() {
				Expect(err).NotTo(HaveOccurred())
				Expect(n).To(BeNumerically(">", 8), "every write of the making was cut")
				return
			}
			Expect(w.Client.Delete(ctx, t)).To(Succeed())
			Expect(w.Restart()).To(Succeed())
			_, err = w.Reconcile(ctx, t)
			Expect(err).NotTo(HaveOccurred())
			Expect(apierrors.IsNotFound(w.Client.Get(ctx, client.ObjectKeyFromObject(t), t))).To(BeTrue(), "after write %d", n)
			volumes := &corev1.PersistentVolumeClaimList{}
			Expect(w.Client.List(ctx, volumes, client.InNamespace(w.Namespace))).To(Succeed())
			if len(volumes.Items) > 0 {
				Expect(w.Events.Reasons("acme")).To(ContainElement("VolumeRetained"), "after write %d", n)
			}
		}
	})
})

// lived tells how a life with a fault differs from one without.
func lived(ctx context.Context, want []string, n int, fault testenv.Fault) string {
	w, err := cluster.NewWorld(ctx)
	if err != nil {
		return err.Error()
	}
	have, _, err := live(ctx, w, n, fault)
	if err != nil {
		return err.Error()
	}
	for i := range want {
		if diff := cmp.Diff(want[i], have[i]); diff != "" {
			return "after " + story[i].name + ": " + diff
		}
	}
	return ""
}
