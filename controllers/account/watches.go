package account

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
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
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
)

// gather is how long changes of bindings and Tenants are gathered before the account is
// looked at: hundreds may come at once.
const gather = 2 * time.Second

// SetupWithManager registers the controller of accounts. secrets are caches of Secrets'
// metadata, of those that people have labelled to be seen at once.
func (r *Reconciler) SetupWithManager(mgr manager.Manager, options controller.Options, secrets ...cache.Cache) error {
	b := builder.ControllerManagedBy(mgr).
		Named("account").
		WithOptions(options).
		For(&v1alpha1.CloudflareAccount{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.CloudflareBinding{}, gathered(bindingMatters)).
		Watches(&v1alpha1.Tenant{}, gathered(tenantMatters)).
		WatchesRawSource(r.Accounts.accounts.source())
	for _, c := range secrets {
		b = b.WatchesRawSource(source.Kind[client.Object](c, secretMetadata(), handler.EnqueueRequestsFromMapFunc(r.fromSecret)))
	}
	return b.Complete(r)
}

// SetupWithManager registers the controller of observations.
func (o *Observer) SetupWithManager(mgr manager.Manager, options controller.Options) error {
	return builder.ControllerManagedBy(mgr).
		Named("account-observation").
		WithOptions(options).
		For(&v1alpha1.CloudflareAccount{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.CloudflareBinding{}, handler.EnqueueRequestsFromMapFunc(o.fromBinding)).
		WatchesRawSource(o.Accounts.observers.source()).
		Complete(o)
}

func secretMetadata() *metav1.PartialObjectMetadata {
	m := &metav1.PartialObjectMetadata{}
	m.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	return m
}

// gathered wakes the account of an object, once for many changes. Only what matters
// counts: a change from nil is a creation, one to nil a deletion.
func gathered(matters func(old, now client.Object) bool) handler.EventHandler {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	wake := func(q queue, old, now client.Object) {
		if !matters(old, now) {
			return
		}
		o := now
		if o == nil {
			o = old
		}
		if key, ok := accountOf(o); ok {
			q.AddAfter(reconcile.Request{NamespacedName: key}, gather)
		}
	}
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) { wake(q, nil, e.Object) },
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) { wake(q, e.ObjectOld, e.ObjectNew) },
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) { wake(q, e.Object, nil) },
	}
}

// bindingMatters: what is owned, what is asked for, and whether the account may go.
func bindingMatters(old, now client.Object) bool {
	had, ok := old.(*v1alpha1.CloudflareBinding)
	have, also := now.(*v1alpha1.CloudflareBinding)
	return !ok || !also || had.Status.ID != have.Status.ID
}

// tenantMatters: whether the shared gateway is wanted.
func tenantMatters(old, now client.Object) bool {
	return old == nil || now != nil && old.GetGeneration() != now.GetGeneration()
}

// fromSecret wakes the accounts whose token a Secret holds.
func (r *Reconciler) fromSecret(ctx context.Context, secret client.Object) []reconcile.Request {
	var accounts v1alpha1.CloudflareAccountList
	if err := r.Client.List(ctx, &accounts, client.InNamespace(secret.GetNamespace())); err != nil {
		// The next look makes up for it.
		log.FromContext(ctx).Error(err, "listing the accounts that a Secret may belong to")
	}
	var out []reconcile.Request
	for i := range accounts.Items {
		c := accounts.Items[i].Spec.Credentials
		if c.SecretRef.Name == secret.GetName() || c.PreviousSecretRef != nil && c.PreviousSecretRef.Name == secret.GetName() {
			out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&accounts.Items[i])})
		}
	}
	return out
}

// fromBinding wakes the observer where a thing came into use of a kind that wasn't listed
// yet.
func (o *Observer) fromBinding(_ context.Context, object client.Object) []reconcile.Request {
	b, ok := object.(*v1alpha1.CloudflareBinding)
	if !ok || b.Status.ID == "" {
		return nil
	}
	key, _ := accountOf(b)
	if _, listed := o.Accounts.Observed(key, cloudflare.Kind(b.Spec.Type)); listed {
		return nil
	}
	return []reconcile.Request{{NamespacedName: key}}
}
