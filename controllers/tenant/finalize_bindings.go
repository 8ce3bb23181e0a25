package tenant

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
)

// finalizeBindings has the Tenant's token revoked, and only then tells the others what
// becomes of them, so that no pod writes into what is being removed. All is read live:
// what is deleted isn't decided by a cache. The verdict is what is waited for.
func (r *Reconciler) finalizeBindings(ctx context.Context, o *observed) (*verdict, error) {
	own, err := r.ownBindings(ctx, o)
	if err != nil {
		return nil, err
	}
	for _, b := range own {
		if b.Spec.Type != v1alpha1.BindingAPIToken {
			continue
		}
		if err := r.deleteBinding(ctx, b); err != nil {
			return nil, err
		}
		if gone, err := r.isGone(ctx, b); !gone || err != nil {
			return revoking(b), err
		}
	}
	// The last that was made goes first.
	slices.SortFunc(own, func(a, b *v1alpha1.CloudflareBinding) int {
		return b.CreationTimestamp.Compare(a.CreationTimestamp.Time)
	})
	for _, b := range own {
		if b.Spec.Type == v1alpha1.BindingAPIToken {
			continue
		}
		if err := r.finalizeBinding(ctx, o, b); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// ownBindings are those that the Tenant made, and those of its data that have no owner.
func (r *Reconciler) ownBindings(ctx context.Context, o *observed) ([]*v1alpha1.CloudflareBinding, error) {
	var list v1alpha1.CloudflareBindingList
	err := r.Live.List(ctx, &list, client.InNamespace(o.tenant.Namespace), client.MatchingLabels(resources.Inventory(o.tenant.Name)))
	if err != nil {
		return nil, fmt.Errorf("listing the tenant's bindings: %w", err)
	}
	mark := resources.IdentityMark(resources.Identity(r.Operator.OwnerID, o.tenant, o.effective))
	var own []*v1alpha1.CloudflareBinding
	for i := range list.Items {
		b := &list.Items[i]
		unowned := metav1.GetControllerOf(b) == nil && b.Labels[resources.StorageIdentity] == mark
		if unowned || metav1.IsControlledBy(b, o.tenant) {
			own = append(own, b)
		}
	}
	return own, nil
}

// finalizeBinding gives a binding the Tenant's last word on its data: the policy may have
// changed since the binding was written.
func (r *Reconciler) finalizeBinding(ctx context.Context, o *observed, b *v1alpha1.CloudflareBinding) error {
	if b.Spec.Type == v1alpha1.BindingAIGateway {
		return r.deleteBinding(ctx, b)
	}
	told := b.DeepCopy()
	told.Spec.DeletionPolicy = o.effective.DeletionPolicy
	keep := o.effective.DeletionPolicy != v1alpha1.DeletionDelete
	if keep {
		told.OwnerReferences = slices.DeleteFunc(told.OwnerReferences, func(owner metav1.OwnerReference) bool { return owner.UID == o.tenant.UID })
	}
	if told.Spec.DeletionPolicy != b.Spec.DeletionPolicy || len(told.OwnerReferences) != len(b.OwnerReferences) {
		err := r.Client.Patch(ctx, told, client.MergeFromWithOptions(b, client.MergeFromWithOptimisticLock{}))
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("telling CloudflareBinding %s what becomes of its data: %w", b.Name, err)
		}
	}
	if !keep {
		return r.deleteBinding(ctx, b)
	}
	if b.DeletionTimestamp.IsZero() {
		r.announceRetainedBinding(o.tenant, b)
	}
	return nil
}

func (r *Reconciler) deleteBinding(ctx context.Context, b *v1alpha1.CloudflareBinding) error {
	if !b.DeletionTimestamp.IsZero() {
		return nil
	}
	err := r.Client.Delete(ctx, b, client.Preconditions{UID: &b.UID})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting CloudflareBinding %s: %w", b.Name, err)
	}
	return nil
}

// isGone looks again after a deletion: a binding that had nothing outside goes at once.
func (r *Reconciler) isGone(ctx context.Context, b *v1alpha1.CloudflareBinding) (bool, error) {
	now := &v1alpha1.CloudflareBinding{}
	err := r.Live.Get(ctx, client.ObjectKeyFromObject(b), now)
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading CloudflareBinding %s: %w", b.Name, err)
	}
	*b = *now
	return false, nil
}

// revoking repeats what the token's binding says: where it can't be revoked, its sentence
// names the way out.
func revoking(b *v1alpha1.CloudflareBinding) *verdict {
	message := fmt.Sprintf("the tenant is being deleted: its API token is revoked first, by CloudflareBinding %q", b.Name)
	stalled := b.Marks().Get(v1alpha1.ConditionStalled)
	if stalled != nil {
		message += ", which can't: " + steady(stalled.Message)
	}
	v := wait("", v1alpha1.ReasonDeleting, message, pollRollout)
	v.stalled = stalled != nil
	return v
}
