package binding

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
)

// indexAccount finds bindings by their account, namespace/name.
const indexAccount = "binding.account"

// SetupWithManager registers the controller and the index that it needs. wake brings the
// bindings whose thing the last LIST showed missing or different; secrets are caches of
// Secrets' metadata, in which a token's Secret that somebody deleted or changed is seen.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr manager.Manager, options controller.Options, wake source.Source, secrets ...cache.Cache) error {
	err := mgr.GetFieldIndexer().IndexField(ctx, &v1alpha1.CloudflareBinding{}, indexAccount, func(o client.Object) []string {
		b, ok := o.(*v1alpha1.CloudflareBinding)
		if !ok {
			return nil
		}
		return []string{accountKey(b).String()}
	})
	if err != nil {
		return fmt.Errorf("indexing bindings by account: %w", err)
	}
	c := builder.ControllerManagedBy(mgr).
		Named("cloudflarebinding").
		WithOptions(options).
		For(&v1alpha1.CloudflareBinding{}, builder.WithPredicates(predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}))).
		Watches(&v1alpha1.CloudflareBinding{}, handler.EnqueueRequestsFromMapFunc(r.fromBucket), builder.WithPredicates(gotID())).
		Watches(&v1alpha1.CloudflareAccount{}, handler.EnqueueRequestsFromMapFunc(r.fromAccount), builder.WithPredicates(accountChanged())).
		WatchesRawSource(wake)
	for _, s := range secrets {
		owned := &metav1.PartialObjectMetadata{}
		owned.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
		owner := handler.EnqueueRequestForOwner(mgr.GetScheme(), mgr.GetRESTMapper(), &v1alpha1.CloudflareBinding{}, handler.OnlyControllerOwner())
		c = c.WatchesRawSource(source.Kind[client.Object](s, owned, owner))
	}
	return c.Complete(r)
}

// gotID lets a bucket through that has come to be, for the tokens that wait for it.
func gotID() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc:  func(event.CreateEvent) bool { return false },
		DeleteFunc:  func(event.DeleteEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, ok := e.ObjectOld.(*v1alpha1.CloudflareBinding)
			now, also := e.ObjectNew.(*v1alpha1.CloudflareBinding)
			return ok && also && now.Spec.Type == v1alpha1.BindingR2 && before.Status.ID != now.Status.ID
		},
	}
}

func (r *Reconciler) fromBucket(ctx context.Context, object client.Object) []reconcile.Request {
	return r.awake(ctx, func(b *v1alpha1.CloudflareBinding) bool {
		if b.Spec.APIToken == nil {
			return false
		}
		for _, name := range b.Spec.APIToken.Buckets {
			if name == object.GetName() {
				return true
			}
		}
		return false
	}, client.InNamespace(object.GetNamespace()))
}

// accountChanged lets through what may help a binding: a new spec, or another verdict
// about the account. That it was listed again is none.
func accountChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*v1alpha1.CloudflareAccount)
		now, also := e.ObjectNew.(*v1alpha1.CloudflareAccount)
		return ok && also && (before.Generation != now.Generation || !equality.Semantic.DeepEqual(states(before), states(now)))
	}}
}

func states(a *v1alpha1.CloudflareAccount) map[string]string {
	out := map[string]string{"token": a.Status.TokenID}
	for _, c := range a.Status.Conditions {
		out[c.Type] = string(c.Status) + " " + c.Reason
	}
	return out
}

func (r *Reconciler) fromAccount(ctx context.Context, object client.Object) []reconcile.Request {
	return r.awake(ctx, func(*v1alpha1.CloudflareBinding) bool { return true }, client.MatchingFields{indexAccount: client.ObjectKeyFromObject(object).String()})
}

// awake can't return an error: a missed event is made up for by the next look.
func (r *Reconciler) awake(ctx context.Context, wanted func(*v1alpha1.CloudflareBinding) bool, opts ...client.ListOption) []reconcile.Request {
	var list v1alpha1.CloudflareBindingList
	// Not copied: there may be thousands, and they are only looked at.
	if err := r.Client.List(ctx, &list, append(opts, client.UnsafeDisableDeepCopy)...); err != nil {
		log.FromContext(ctx).Error(err, "finding the bindings to wake")
	}
	var out []reconcile.Request
	for i := range list.Items {
		if b := &list.Items[i]; wanted(b) {
			out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(b)})
		}
	}
	return out
}
