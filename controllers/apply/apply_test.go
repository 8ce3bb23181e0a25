package apply_test

import (
	"context"
	"errors"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/apply"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
)

// live reads an object of the tenant by its name.
func live[T client.Object](t *tenant, name string, o T) T {
	ExpectWithOffset(1, plain.Get(t.ctx, client.ObjectKey{Namespace: t.Tenant.Namespace, Name: name}, o)).To(Succeed())
	return o
}

// gone tells that there is no such object.
func gone(t *tenant, name string, o client.Object) bool {
	return apierrors.IsNotFound(plain.Get(t.ctx, client.ObjectKey{Namespace: t.Tenant.Namespace, Name: name}, o))
}

var _ = Describe("A pass", func() {
	It("over what is as it should be writes nothing", func(ctx context.Context) {
		for _, edits := range [][]func(*resources.Inputs){nil, {ephemeral, autoscaled, onIngress}} {
			t := newTenant(ctx, edits...)
			result, n := t.apply()
			Expect(n).To(BeEquivalentTo(len(t.children())))
			for _, c := range result.Changes {
				Expect(c.Verb).To(Equal(apply.Created))
			}
			_, n = t.apply()
			Expect(n).To(BeZero())
			// The same quantities in another spelling are the same.
			t.Tenant.Spec.Runtime.Resources.Requests[corev1.ResourceCPU] = resource.MustParse("500m")
			t.Tenant.Spec.Runtime.Resources.Limits[corev1.ResourceMemory] = resource.MustParse("0.5Gi")
			_, n = t.apply()
			Expect(n).To(BeZero())
		}
	})

	It("through a cache of what is ours writes nothing, and sees what the cache doesn't show", func(ctx context.Context) {
		t := newTenant(ctx)
		reading, stop := context.WithCancel(ctx)
		defer stop()
		requirement, err := labels.NewRequirement(resources.LabelTenant, selection.Exists, nil)
		Expect(err).NotTo(HaveOccurred())
		informers, err := cache.New(restConf, cache.Options{
			Scheme:               types,
			DefaultLabelSelector: labels.NewSelector().Add(*requirement),
			DefaultTransform:     apply.KeepOwn,
			DefaultNamespaces:    map[string]cache.Config{t.Tenant.Namespace: {}},
		})
		Expect(err).NotTo(HaveOccurred())
		done := make(chan error, 1)
		go func() { done <- informers.Start(reading) }()
		cached, err := client.New(restConf, client.Options{Scheme: types, Cache: &client.CacheOptions{Reader: informers}})
		Expect(err).NotTo(HaveOccurred())
		owner := t.owner()
		owner.Live = plain

		By("refusing a foreign object that the cache's selector hides")
		foreign := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "tenant-acme", Namespace: t.Tenant.Namespace},
			Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 1}}}}
		Expect(plain.Create(ctx, foreign)).To(Succeed())
		_, _, err = t.applyWith(cached, owner)
		var refused *apply.ForeignObject
		Expect(errors.As(err, &refused)).To(BeTrue(), "%v", err)
		Expect(refused.Kind).To(Equal("Service"))
		Expect(live(t, "tenant-acme", &corev1.Service{}).ResourceVersion).To(Equal(foreign.ResourceVersion))
		Expect(plain.Delete(ctx, foreign)).To(Succeed())

		By("writing the rest, and then nothing more once the cache has seen it")
		Eventually(func() (int, error) {
			r, _, err := t.applyWith(cached, owner)
			return r.Writes(), err
		}).WithTimeout(10 * time.Second).WithPolling(50 * time.Millisecond).Should(BeZero())
		managed := live(t, "tenant-acme", &appsv1.Deployment{}).ManagedFields
		Expect(managed).To(HaveLen(1))
		stop()
		Expect(<-done).To(Succeed())
	})

	It("leaves what others own, and removes what it no longer wants", func(ctx context.Context) {
		t := newTenant(ctx)
		t.apply()
		d := live(t, "tenant-acme", &appsv1.Deployment{})
		d.Annotations = map[string]string{"team.example/note": "x"}
		d.Spec.Template.Annotations["kubectl.kubernetes.io/restartedAt"] = "2031-01-01T00:00:00Z"
		d.Spec.Template.Spec.ShareProcessNamespace = new(false)
		d.Spec.ProgressDeadlineSeconds = new(int32(77))
		Expect(plain.Update(ctx, d, client.FieldOwner("kubectl"))).To(Succeed())
		_, n := t.apply()
		Expect(n).To(BeZero())

		By("dropping the node selector from the spec")
		t.Tenant.Spec.Runtime.NodeSelector = nil
		t.Tenant.Spec.Runtime.Tolerations = nil
		_, n = t.apply()
		Expect(n).To(BeEquivalentTo(1))
		d = live(t, "tenant-acme", &appsv1.Deployment{})
		Expect(d.Spec.Template.Spec.NodeSelector).To(BeEmpty())
		Expect(d.Spec.Template.Spec.Tolerations).To(BeEmpty())
		Expect(d.Annotations).To(HaveKeyWithValue("team.example/note", "x"))
		Expect(d.Spec.Template.Annotations).To(HaveKey("kubectl.kubernetes.io/restartedAt"))
		Expect(*d.Spec.ProgressDeadlineSeconds).To(BeEquivalentTo(77))
	})

	It("takes back a map that is one value when somebody adds to it", func(ctx context.Context) {
		t := newTenant(ctx)
		t.apply()
		d := live(t, "tenant-acme", &appsv1.Deployment{})
		d.Spec.Template.Spec.NodeSelector["disk"] = "ssd"
		Expect(plain.Update(ctx, d, client.FieldOwner("kubectl"))).To(Succeed())
		_, n := t.apply()
		Expect(n).To(BeEquivalentTo(1))
		Expect(live(t, "tenant-acme", &appsv1.Deployment{}).Spec.Template.Spec.NodeSelector).To(HaveLen(1))
	})

	It("prunes what is no longer wanted and is its own", func(ctx context.Context) {
		t := newTenant(ctx, ephemeral)
		t.apply()
		other := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{
			Name: "by-hand", Namespace: t.Tenant.Namespace, Labels: resources.Inventory("acme"),
		}}
		Expect(plain.Create(ctx, other)).To(Succeed())
		onIngress(&t.Inputs)
		t.Tenant.Spec.Runtime.Replicas = nil
		t.Generated = nil
		result, _ := t.apply()
		verbs := map[string]string{}
		for _, c := range result.Changes {
			verbs[c.Kind+" "+c.Name] = c.Verb
		}
		Expect(verbs).To(Equal(map[string]string{
			"Deployment tenant-acme":          apply.Updated,
			"Ingress tenant-acme":             apply.Created,
			"HTTPRoute tenant-acme":           apply.Deleted,
			"PodDisruptionBudget tenant-acme": apply.Deleted,
			"Secret tenant-acme-keys":         apply.Deleted,
		}))
		Expect(gone(t, "tenant-acme", &gatewayv1.HTTPRoute{})).To(BeTrue())
		// It carries our labels and isn't ours.
		live(t, "by-hand", other)
		_, n := t.apply()
		Expect(n).To(BeZero())
	})

	It("never deletes the volume, though its Tenant wants none any more", func(ctx context.Context) {
		t := newTenant(ctx)
		t.apply()
		ephemeral(&t.Inputs)
		t.apply()
		Expect(live(t, "tenant-acme-state", &corev1.PersistentVolumeClaim{}).DeletionTimestamp).To(BeNil())
	})

	It("hands the number of pods to the autoscaler without passing through 1, and takes it back", func(ctx context.Context) {
		t := newTenant(ctx, ephemeral)
		t.Tenant.Spec.Runtime.Replicas = new(int32(5))
		t.apply()
		t.Tenant.Spec.Runtime.Replicas = nil
		t.Tenant.Spec.Runtime.Autoscaling = &v1alpha1.Autoscaling{Min: 2, Max: 9}
		t.Replicas = new(int32(5))
		// Every state that the Deployment is in meanwhile.
		watching, err := plain.Watch(ctx, &appsv1.DeploymentList{}, client.InNamespace(t.Tenant.Namespace))
		Expect(err).NotTo(HaveOccurred())
		result, _ := t.apply()
		Expect(result.Changes[0].Verb).To(Equal(apply.HandedOver))
		live(t, "tenant-acme", &autoscalingv2.HorizontalPodAutoscaler{})
		_, n := t.apply()
		Expect(n).To(BeZero())

		By("the autoscaler scaling to 7")
		d := live(t, "tenant-acme", &appsv1.Deployment{})
		Expect(*d.Spec.Replicas).To(BeEquivalentTo(5))
		scale := &autoscalingv1.Scale{Spec: autoscalingv1.ScaleSpec{Replicas: 7}}
		Expect(plain.SubResource("scale").Update(ctx, d, client.WithSubResourceBody(scale), client.FieldOwner("kube-controller-manager"))).To(Succeed())
		t.Replicas = new(int32(7))
		_, n = t.apply()
		Expect(n).To(BeZero())
		t.Tenant.Spec.Limits.MessageChars = 5
		t.Class = &v1alpha1.TenantClass{Spec: v1alpha1.TenantClassSpec{Image: "registry.example/runtime:v2"}}
		t.apply()
		Expect(*live(t, "tenant-acme", &appsv1.Deployment{}).Spec.Replicas).To(BeEquivalentTo(7))
		watching.Stop()
		for event := range watching.ResultChan() {
			if d, ok := event.Object.(*appsv1.Deployment); ok {
				Expect(*d.Spec.Replicas).To(BeElementOf(int32(5), int32(7)))
			}
		}

		By("a fixed number again")
		t.Tenant.Spec.Runtime.Autoscaling = nil
		t.Tenant.Spec.Runtime.Replicas = new(int32(3))
		t.apply()
		Expect(*live(t, "tenant-acme", &appsv1.Deployment{}).Spec.Replicas).To(BeEquivalentTo(3))
		Expect(gone(t, "tenant-acme", &autoscalingv2.HorizontalPodAutoscaler{})).To(BeTrue())
	})

	It("refuses to hand over a number that the cache doesn't show yet", func(ctx context.Context) {
		t := newTenant(ctx, ephemeral)
		t.Tenant.Spec.Runtime.Replicas = new(int32(3))
		t.apply()
		old := live(t, "tenant-acme", &appsv1.Deployment{})
		t.Tenant.Spec.Runtime.Replicas = new(int32(5))
		t.apply()
		t.Tenant.Spec.Runtime.Replicas, t.Replicas = nil, new(int32(3))
		t.Tenant.Spec.Runtime.Autoscaling = &v1alpha1.Autoscaling{Min: 2, Max: 9}
		_, _, err := t.applyWith(stale(api, old), t.owner())
		Expect(apierrors.IsConflict(err)).To(BeTrue(), "%v", err)
		Expect(*live(t, "tenant-acme", &appsv1.Deployment{}).Spec.Replicas).To(BeEquivalentTo(5))
		t.apply()
		Expect(*live(t, "tenant-acme", &appsv1.Deployment{}).Spec.Replicas).To(BeEquivalentTo(5))
	})
})
