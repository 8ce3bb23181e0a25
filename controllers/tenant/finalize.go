package tenant

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
)

const (
	// Finalizer keeps a Tenant with a volume until the volume is dealt with as its deletion
	// policy says.
	Finalizer = "ai.crispy-enigma.dev/volume"
	// FinalizerBindings keeps a Tenant with CloudflareBindings until its API token is
	// revoked and the others are told what becomes of them.
	FinalizerBindings = "ai.crispy-enigma.dev/bindings"
	// FinalizerState keeps a Tenant whose data is on a server until that is erased, or left
	// there, as its deletion policy says, and its login is removed.
	FinalizerState = "ai.crispy-enigma.dev/state"
)

// ensureFinalizer comes before the volume, the login and the bindings are made, so that no change of
// the policy, and no deletion in the same moment, finds them unguarded. Tenants without
// either need none: the garbage collector takes their children.
func (r *Reconciler) ensureFinalizer(ctx context.Context, o *observed, found credentials) error {
	t := o.tenant
	patched := t.DeepCopy()
	added := o.effective.Persistence != nil && controllerutil.AddFinalizer(patched, Finalizer)
	if o.effective.State.Shared() {
		added = controllerutil.AddFinalizer(patched, FinalizerState) || added
	}
	if found.owner != nil {
		added = controllerutil.AddFinalizer(patched, FinalizerBindings) || added
	}
	if !added {
		return nil
	}
	if err := r.patchFinalizers(ctx, t, patched); err != nil {
		return fmt.Errorf("adding the finalizer: %w", err)
	}
	t.Finalizers, t.ResourceVersion = patched.Finalizers, patched.ResourceVersion
	return nil
}

// patchFinalizers fails if the Tenant changed meanwhile, because a list is replaced
// whole and may hold others' finalizers.
func (r *Reconciler) patchFinalizers(ctx context.Context, from, to *v1alpha1.Tenant) error {
	return r.Client.Patch(ctx, to, client.MergeFromWithOptions(from, client.MergeFromWithOptimisticLock{}))
}

// finalize deals with the bindings, the API token first, then with what is on servers, then
// with the volume, and lets the Tenant go; the garbage collector takes the rest.
func (r *Reconciler) finalize(ctx context.Context, t *v1alpha1.Tenant) (reconcile.Result, error) {
	if !slices.ContainsFunc(t.Finalizers, isFinalizer) {
		return reconcile.Result{}, nil
	}
	o := &observed{tenant: t}
	if err := r.observeClass(ctx, o); err != nil {
		return reconcile.Result{}, err
	}
	o.effective = v1alpha1.EffectiveOf(t, o.class)
	for _, step := range []struct {
		finalizer string
		deal      func(context.Context, *observed) (*verdict, error)
	}{{FinalizerBindings, r.finalizeBindings}, {FinalizerState, r.finalizeState}} {
		if !controllerutil.ContainsFinalizer(t, step.finalizer) {
			continue
		}
		before := t.DeepCopy()
		waiting, err := step.deal(ctx, o)
		if err != nil {
			return reconcile.Result{}, err
		}
		if waiting != nil {
			waiting.mark(t)
			return again(waiting.after), r.save(ctx, before, t)
		}
	}
	if err := r.finalizeVolume(ctx, o); err != nil {
		return reconcile.Result{}, err
	}
	patched := t.DeepCopy()
	patched.Finalizers = slices.DeleteFunc(patched.Finalizers, isFinalizer)
	if err := r.patchFinalizers(ctx, t, patched); err != nil && !apierrors.IsNotFound(err) {
		return reconcile.Result{}, fmt.Errorf("removing the finalizer: %w", err)
	}
	return reconcile.Result{}, nil
}

func isFinalizer(name string) bool {
	return name == Finalizer || name == FinalizerBindings || name == FinalizerState
}

// finalizeVolume reads the claim live: whether data is deleted isn't decided by a cache.
func (r *Reconciler) finalizeVolume(ctx context.Context, o *observed) error {
	claim := &corev1.PersistentVolumeClaim{}
	key := client.ObjectKey{Namespace: o.tenant.Namespace, Name: resources.NamesOf(o.tenant.Name).State}
	err := r.Live.Get(ctx, key, claim)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the volume claim: %w", err)
	}
	mark := resources.IdentityMark(resources.Identity(r.Operator.OwnerID, o.tenant, o.effective))
	if claim.Labels[resources.StorageIdentity] != mark && !metav1.IsControlledBy(claim, o.tenant) {
		return nil // somebody else's
	}
	if o.effective.DeletionPolicy == v1alpha1.DeletionDelete {
		return r.deleteVolume(ctx, claim)
	}
	if err := r.releaseVolume(ctx, o.tenant, claim); err != nil {
		return err
	}
	r.announceRetained(o.tenant, claim.Name)
	return nil
}

func (r *Reconciler) deleteVolume(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
	if claim.DeletionTimestamp != nil {
		return nil
	}
	err := r.Client.Delete(ctx, claim, client.Preconditions{UID: &claim.UID})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("deleting the volume claim: %w", err)
	}
	return nil
}

// releaseVolume takes the Tenant's ownership off a claim that is to outlive it.
func (r *Reconciler) releaseVolume(ctx context.Context, t *v1alpha1.Tenant, claim *corev1.PersistentVolumeClaim) error {
	if !slices.ContainsFunc(claim.OwnerReferences, func(o metav1.OwnerReference) bool { return o.UID == t.UID }) {
		return nil
	}
	released := claim.DeepCopy()
	released.OwnerReferences = slices.DeleteFunc(released.OwnerReferences, func(o metav1.OwnerReference) bool { return o.UID == t.UID })
	err := r.Client.Patch(ctx, released, client.MergeFromWithOptions(claim, client.MergeFromWithOptimisticLock{}))
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("releasing the volume claim: %w", err)
	}
	return nil
}
