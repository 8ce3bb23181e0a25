package tenant

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
)

// LabelWatch on a Secret with the value "true" makes the operator see its changes at
// once, not when it looks next.
const LabelWatch = "ai.crispy-enigma.dev/watch"

// Children are the kinds that the cache holds, those with resources.LabelTenant alone.
// Secrets and HTTPRoutes aren't among them: they are read live.
func Children() []client.Object {
	return []client.Object{
		&appsv1.Deployment{},
		&corev1.Pod{},
		&corev1.Service{},
		&corev1.ServiceAccount{},
		&corev1.PersistentVolumeClaim{},
		&networkingv1.NetworkPolicy{},
		&networkingv1.Ingress{},
		&policyv1.PodDisruptionBudget{},
		&autoscalingv2.HorizontalPodAutoscaler{},
	}
}

// SetupWithManager registers the controller: which object wakes which Tenant. Secrets
// are seen through caches that hold no value: those of Tenants, and those that people
// have labelled.
func (r *Reconciler) SetupWithManager(mgr manager.Manager, options controller.Options, secrets ...cache.Cache) error {
	b := builder.ControllerManagedBy(mgr).
		Named("tenant").
		WithOptions(options).
		For(&v1alpha1.Tenant{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.Tenant{}, handler.EnqueueRequestsFromMapFunc(r.toRivals), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.CloudflareAccount{}, handler.EnqueueRequestsFromMapFunc(r.fromAccount), builder.WithPredicates(matters(accountMatters))).
		Watches(&v1alpha1.CloudflareBinding{}, handler.EnqueueRequestsFromMapFunc(r.fromBinding), builder.WithPredicates(matters(bindingMatters)))
	if len(r.Namespaces) == 0 {
		b = b.Watches(&v1alpha1.TenantClass{}, handler.EnqueueRequestsFromMapFunc(r.fromClass))
	}
	for _, child := range Children() {
		b = b.Watches(child, handler.EnqueueRequestsFromMapFunc(toTenant))
	}
	for _, c := range secrets {
		b = b.WatchesRawSource(source.Kind[client.Object](c, secretMetadata(), handler.EnqueueRequestsFromMapFunc(r.fromSecret)))
	}
	return b.Complete(r)
}

func secretMetadata() *metav1.PartialObjectMetadata {
	m := &metav1.PartialObjectMetadata{}
	m.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	return m
}

// toTenant maps a child to its Tenant. Retained volumes have no owner, and pods have
// another: the label tells.
func toTenant(_ context.Context, object client.Object) []reconcile.Request {
	name, ok := object.GetLabels()[resources.LabelTenant]
	if !ok {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: object.GetNamespace(), Name: name}}}
}

func (r *Reconciler) toRivals(ctx context.Context, object client.Object) []reconcile.Request {
	t, ok := object.(*v1alpha1.Tenant)
	if !ok {
		return nil
	}
	rivals, err := rivalsOf(ctx, r.Client, t)
	return requests(ctx, rivals, err)
}

// fromClass wakes the Tenants that name the class, and those that name none: the default
// may have changed.
func (r *Reconciler) fromClass(ctx context.Context, object client.Object) []reconcile.Request {
	naming := r.find(ctx, indexClass, object.GetName())
	return append(naming, r.find(ctx, indexClass, "")...)
}

func (r *Reconciler) fromAccount(ctx context.Context, object client.Object) []reconcile.Request {
	return r.find(ctx, indexAccount, client.ObjectKeyFromObject(object).String())
}

// fromBinding wakes the Tenant whose own it is, and those of its namespace that name it.
func (r *Reconciler) fromBinding(ctx context.Context, object client.Object) []reconcile.Request {
	return append(toTenant(ctx, object), r.find(ctx, indexBinding, object.GetName(), client.InNamespace(object.GetNamespace()))...)
}

// matters passes on updates that change what f takes from an object: an account and its
// bindings are looked at all the time, and say so in their status.
func matters[T client.Object](f func(T) any) predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(T)
		after, same := e.ObjectNew.(T)
		return !ok || !same || !equality.Semantic.DeepEqual(f(before), f(after))
	}}
}

// accountMatters is what Tenants take from their account.
func accountMatters(a *v1alpha1.CloudflareAccount) any {
	return []any{a.Generation, a.Status.GatewayID, a.Status.TokenID, a.DeletionTimestamp}
}

// bindingMatters is what Tenants take from a binding, and what they put right.
func bindingMatters(b *v1alpha1.CloudflareBinding) any {
	status := b.Status
	status.ObservedAt = nil
	return []any{b.Generation, b.Labels, b.Annotations, b.OwnerReferences, b.DeletionTimestamp, status}
}

// fromSecret wakes the Tenant whose child it is, those that name it, and those whose
// account does.
func (r *Reconciler) fromSecret(ctx context.Context, object client.Object) []reconcile.Request {
	out := toTenant(ctx, object)
	out = append(out, r.find(ctx, indexSecret, object.GetName(), client.InNamespace(object.GetNamespace()))...)
	var accounts v1alpha1.CloudflareAccountList
	if err := r.Client.List(ctx, &accounts, client.InNamespace(object.GetNamespace())); err != nil {
		log.FromContext(ctx).Error(err, "listing the accounts that a Secret may belong to")
	}
	for i := range accounts.Items {
		if accounts.Items[i].Spec.Credentials.SecretRef.Name == object.GetName() {
			out = append(out, r.fromAccount(ctx, &accounts.Items[i])...)
		}
	}
	return out
}

func (r *Reconciler) find(ctx context.Context, index, value string, opts ...client.ListOption) []reconcile.Request {
	var list v1alpha1.TenantList
	err := r.Client.List(ctx, &list, append(opts, client.MatchingFields{index: value})...)
	return requests(ctx, list.Items, err)
}

// requests can't return an error: a missed event is made up for by the next poll.
func requests(ctx context.Context, tenants []v1alpha1.Tenant, err error) []reconcile.Request {
	if err != nil {
		log.FromContext(ctx).Error(err, "finding the tenants to wake")
	}
	out := make([]reconcile.Request, len(tenants))
	for i := range tenants {
		out[i] = reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&tenants[i])}
	}
	return out
}
