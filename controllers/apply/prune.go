package apply

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// prune deletes the owner's objects that aren't wanted any more.
func (w *writer) prune(ctx context.Context, wanted map[child]bool) error {
	for _, gvk := range w.owner.Prune {
		list := emptyList(w.Scheme(), gvk)
		err := w.List(ctx, list, client.InNamespace(w.owner.Object.GetNamespace()), client.MatchingLabels(w.owner.Inventory))
		if meta.IsNoMatchError(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("listing what may be pruned of %s: %w", gvk.Kind, err)
		}
		err = meta.EachListItem(list, func(o runtime.Object) error {
			live, ok := o.(client.Object)
			if !ok || wanted[child{gvk.Group, gvk.Kind, live.GetName()}] || !metav1.IsControlledBy(live, w.owner.Object) || live.GetDeletionTimestamp() != nil {
				return nil
			}
			return w.delete(ctx, gvk, live)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// delete takes the object that was seen, not one that has its name since.
func (w *writer) delete(ctx context.Context, gvk schema.GroupVersionKind, live client.Object) error {
	uid := live.GetUID()
	err := w.Delete(ctx, live, client.Preconditions{UID: &uid}, client.PropagationPolicy(metav1.DeletePropagationBackground))
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("pruning %s %s: %w", gvk.Kind, live.GetName(), err)
	}
	w.result.Changes = append(w.result.Changes, Change{Verb: Deleted, Kind: gvk.Kind, Name: live.GetName()})
	return nil
}
