package testenv

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant"
)

// Stale makes the Reconciler read from a cache that shows the world as it is now and
// never learns more, until the next Stale or Restart. What is read live stays live.
func (w *World) Stale(ctx context.Context) error {
	old, err := w.remember(ctx)
	if err != nil {
		return err
	}
	w.Reconciler.Client = interceptor.NewClient(w.Gate.Client(w.Client), interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			if _, uncached := o.(*corev1.Secret); uncached {
				return c.Get(ctx, key, o, opts...)
			}
			return old.Get(ctx, key, o, opts...)
		},
		List: func(ctx context.Context, c client.WithWatch, l client.ObjectList, opts ...client.ListOption) error {
			if _, uncached := l.(*corev1.SecretList); uncached {
				return c.List(ctx, l, opts...)
			}
			return old.List(ctx, l, opts...)
		},
	})
	return nil
}

// remember copies what a cache would hold.
func (w *World) remember(ctx context.Context) (client.Client, error) {
	builder := fake.NewClientBuilder().WithScheme(w.Scheme).WithReturnManagedFields()
	for name, values := range tenant.Indexes() {
		builder = builder.WithIndex(&v1alpha1.Tenant{}, name, values)
	}
	for _, list := range []client.ObjectList{
		&v1alpha1.TenantList{}, &v1alpha1.TenantClassList{}, &v1alpha1.CloudflareAccountList{}, &v1alpha1.CloudflareBindingList{},
		&appsv1.DeploymentList{}, &corev1.PodList{}, &corev1.ServiceList{}, &corev1.ServiceAccountList{},
		&corev1.PersistentVolumeClaimList{}, &networkingv1.NetworkPolicyList{}, &networkingv1.IngressList{}, &policyv1.PodDisruptionBudgetList{},
	} {
		if err := w.Client.List(ctx, list); err != nil {
			return nil, fmt.Errorf("remembering the world: %w", err)
		}
		err := meta.EachListItem(list, func(o runtime.Object) error {
			// The double refuses what only deletion can bring about.
			if object, ok := o.(client.Object); ok && object.GetDeletionTimestamp() == nil {
				builder = builder.WithRuntimeObjects(o)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return builder.Build(), nil
}
