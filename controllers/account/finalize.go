package account

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
)

// Finalizer keeps an account while CloudflareBindings lie in it: without it nobody could
// delete what they made.
const Finalizer = "ai.crispy-enigma.dev/account"

// ensureFinalizer comes before anything is made in the account.
func (r *Reconciler) ensureFinalizer(ctx context.Context, a *v1alpha1.CloudflareAccount) error {
	if controllerutil.ContainsFinalizer(a, Finalizer) {
		return nil
	}
	patched := a.DeepCopy()
	controllerutil.AddFinalizer(patched, Finalizer)
	// A list is replaced whole and may hold others' finalizers.
	if err := r.Client.Patch(ctx, patched, client.MergeFromWithOptions(a, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("adding the finalizer: %w", err)
	}
	a.Finalizers, a.ResourceVersion = patched.Finalizers, patched.ResourceVersion
	return nil
}

// finalize lets the account go once no binding lies in it.
func (r *Reconciler) finalize(ctx context.Context, before, a *v1alpha1.CloudflareAccount) (reconcile.Result, error) {
	if !controllerutil.ContainsFinalizer(a, Finalizer) {
		return reconcile.Result{}, nil
	}
	left, err := r.remaining(ctx, a)
	if err != nil {
		return reconcile.Result{}, err
	}
	if len(left) > 0 {
		a.Marks().Reconciling(v1alpha1.ReasonDeleting, fmt.Sprintf(
			"the account is kept while CloudflareBindings lie in it: %s; delete them, or annotate them with ai.crispy-enigma.dev/let-go: \"true\" to leave what they made", enumerate(left)))
		return later(unsure), r.save(ctx, before, a)
	}
	patched := a.DeepCopy()
	controllerutil.RemoveFinalizer(patched, Finalizer)
	err = r.Client.Patch(ctx, patched, client.MergeFromWithOptions(a, client.MergeFromWithOptimisticLock{}))
	if err != nil && !apierrors.IsNotFound(err) {
		return reconcile.Result{}, fmt.Errorf("removing the finalizer: %w", err)
	}
	return reconcile.Result{}, nil
}

// remaining are the bindings of the account, read live. The shared gateway's goes with the
// account: it is the account's own.
func (r *Reconciler) remaining(ctx context.Context, a *v1alpha1.CloudflareAccount) ([]string, error) {
	var left []string
	for _, namespace := range r.scopes() {
		var list v1alpha1.CloudflareBindingList
		if err := r.Live.List(ctx, &list, client.InNamespace(namespace)); err != nil {
			return nil, fmt.Errorf("listing the account's bindings: %w", err)
		}
		for i := range list.Items {
			b := &list.Items[i]
			if key, _ := accountOf(b); key != client.ObjectKeyFromObject(a) {
				continue
			}
			left = append(left, client.ObjectKeyFromObject(b).String())
			if metav1.IsControlledBy(b, a) && b.DeletionTimestamp == nil {
				err := r.Client.Delete(ctx, b, client.Preconditions{UID: &b.UID})
				if err != nil && !apierrors.IsNotFound(err) {
					return nil, fmt.Errorf("deleting the shared gateway's binding: %w", err)
				}
			}
		}
	}
	return left, nil
}

// scopes are the namespaces to list, "" for all at once.
func (r *Reconciler) scopes() []string {
	if len(r.Namespaces) == 0 {
		return []string{metav1.NamespaceAll}
	}
	return r.Namespaces
}

// enumerate names the first few.
func enumerate(names []string) string {
	const few = 5
	if len(names) <= few {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
}
