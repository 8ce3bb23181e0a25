package apply

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/util/csaupgrade"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// autoscalingOwner holds the number of replicas between us and an autoscaler.
const autoscalingOwner = FieldOwner + "-autoscaling"

type writer struct {
	client.Client
	owner  Owner
	result Result
}

// write makes one object what it should be.
func (w *writer) write(ctx context.Context, want wanted) error {
	live, err := w.live(ctx, want)
	if err != nil {
		return err
	}
	if live == nil {
		// Without force: what came in between is a conflict, not overwritten.
		return w.apply(ctx, want, Change{Verb: Created})
	}
	if err := w.claim(want, live); err != nil {
		return err
	}
	err = w.correct(ctx, want, live, true)
	var refused *RefusedChange
	if errors.As(err, &refused) && !refused.Immutable {
		// What others added may be what makes it invalid: a second port of one name, the
		// settings of another strategy. What is refused without them is what to tell.
		if err = w.replace(ctx, want, Change{Fields: refused.Fields}); err == nil {
			return w.again(ctx, want)
		}
	}
	return err
}

// correct brings a live object to what is wanted, by an apply if that can.
func (w *writer) correct(ctx context.Context, want wanted, live client.Object, first bool) error {
	if updatedBy(live.GetManagedFields()) {
		var err error
		if live, err = w.migrate(ctx, want); err != nil {
			return err
		}
	}
	own, _, err := ownedBy(live.GetManagedFields())
	if err != nil {
		return fmt.Errorf("%s %s: %w", want.GetKind(), want.GetName(), err)
	}
	have, err := fieldsOf(live)
	if err != nil {
		return err
	}
	canonical, err := want.canonical(w.Scheme())
	if err != nil {
		return err
	}
	d := differences(want.Object, canonical, have, own)
	if len(d.paths) == 0 {
		return nil
	}
	change := Change{Verb: Updated, Fields: d.paths}
	if d.renamed && first {
		if err := w.replace(ctx, want, change); err != nil {
			return err
		}
		return w.again(ctx, want)
	}
	if err := w.handOver(ctx, want, have, own); err != nil {
		return err
	}
	return w.apply(ctx, want, change, client.ForceOwnership)
}

// again corrects what replace has left: the record of who owns what.
func (w *writer) again(ctx context.Context, want wanted) error {
	live, err := w.fresh(ctx, want)
	if err != nil {
		return err
	}
	return w.correct(ctx, want, live, false)
}

// live is the object as it is, nil if there is none. What a cache doesn't show is looked
// up past it.
func (w *writer) live(ctx context.Context, want wanted) (client.Object, error) {
	key := client.ObjectKey{Namespace: want.GetNamespace(), Name: want.GetName()}
	for _, reader := range []client.Reader{w.Client, w.owner.Live} {
		live := empty(w.Scheme(), want.GroupVersionKind())
		err := reader.Get(ctx, key, live)
		if err == nil {
			return live, nil
		}
		if !apierrors.IsNotFound(err) {
			return nil, translate("reading", want, err)
		}
	}
	return nil, nil
}

func (w *writer) apply(ctx context.Context, want wanted, change Change, opts ...client.ApplyOption) error {
	opts = append(opts, client.FieldOwner(FieldOwner))
	written := want.copy()
	if err := w.Apply(ctx, client.ApplyConfigurationFromUnstructured(written), opts...); err != nil {
		return translate("applying", want, err)
	}
	change.Generation = written.GetGeneration()
	w.wrote(want, change)
	return nil
}

func (w *writer) wrote(want wanted, change Change) {
	change.Kind, change.Name = want.GetKind(), want.GetName()
	w.result.Changes = append(w.result.Changes, change)
}

// fresh is the object read past the cache.
func (w *writer) fresh(ctx context.Context, want wanted) (client.Object, error) {
	live := empty(w.Scheme(), want.GroupVersionKind())
	if err := w.owner.Live.Get(ctx, client.ObjectKeyFromObject(want), live); err != nil {
		return nil, translate("reading", want, err)
	}
	return live, nil
}

// replace puts the wanted fields in the place of the live ones whole, with what others
// added inside them. It is for what no apply can mend: metadata stays.
func (w *writer) replace(ctx context.Context, want wanted, change Change) error {
	live, err := w.fresh(ctx, want)
	if err != nil {
		return err
	}
	if err := w.claim(want, live); err != nil {
		return err
	}
	patch, err := json.Marshal(replacement(want, live.GetResourceVersion()))
	if err != nil {
		return fmt.Errorf("writing the replacement of %s %s: %w", want.GetKind(), want.GetName(), err)
	}
	if err := w.Patch(ctx, live, client.RawPatch(types.JSONPatchType, patch), client.FieldOwner(FieldOwner)); err != nil {
		return translate("replacing", want, err)
	}
	change.Verb = Replaced
	w.wrote(want, change)
	return nil
}

// operation of a JSON patch.
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

// replacement of the wanted fields of one version of an object; another version is a
// conflict. "add" puts a value in the place of the one that is there.
func replacement(want wanted, version string) []operation {
	ops := []operation{{"replace", "/metadata/resourceVersion", version}}
	for name, value := range want.Object {
		switch name {
		case "apiVersion", "kind", "metadata":
		case "spec":
			fields, _ := value.(map[string]any)
			for field := range fields {
				ops = append(ops, operation{"add", "/spec/" + field, fields[field]})
			}
		default:
			ops = append(ops, operation{"add", "/" + name, value})
		}
	}
	return ops
}

// migrate turns the record of Create or replace into one of apply, or what we no longer
// want would stay for ever. The record is replaced whole, with every manager's part: it
// is read past the cache.
func (w *writer) migrate(ctx context.Context, want wanted) (client.Object, error) {
	live, err := w.fresh(ctx, want)
	if err != nil {
		return nil, err
	}
	patch, err := csaupgrade.UpgradeManagedFieldsPatch(live, sets.New(FieldOwner), FieldOwner)
	if err != nil {
		return nil, fmt.Errorf("migrating the managed fields of %s %s: %w", want.GetKind(), want.GetName(), err)
	}
	if len(patch) == 0 {
		return live, nil
	}
	if err := w.Patch(ctx, live, client.RawPatch(types.JSONPatchType, patch)); err != nil {
		return nil, translate("migrating the managed fields of", want, err)
	}
	w.wrote(want, Change{Verb: Migrated, Fields: []string{"metadata.managedFields"}})
	return live, nil
}

// handOver keeps a Deployment's replicas when an autoscaler is to decide about them: a
// field that its last owner drops falls back to 1. Without force, so that a number that
// the cache doesn't show yet is a conflict.
func (w *writer) handOver(ctx context.Context, want wanted, have map[string]any, own owned) error {
	if want.GroupVersionKind() != appsv1.SchemeGroupVersion.WithKind("Deployment") {
		return nil
	}
	_, wants, err := unstructured.NestedInt64(want.Object, "spec", "replicas")
	if err != nil {
		return fmt.Errorf("reading the replicas of Deployment %s: %w", want.GetName(), err)
	}
	n, has, err := unstructured.NestedInt64(have, "spec", "replicas")
	if err != nil {
		return fmt.Errorf("reading the replicas of Deployment %s: %w", want.GetName(), err)
	}
	if _, ours := own.at("spec", "replicas"); wants || !has || !ours {
		return nil
	}
	keep := &unstructured.Unstructured{}
	keep.SetGroupVersionKind(want.GroupVersionKind())
	keep.SetNamespace(want.GetNamespace())
	keep.SetName(want.GetName())
	if err := unstructured.SetNestedField(keep.Object, n, "spec", "replicas"); err != nil {
		return fmt.Errorf("keeping the replicas of Deployment %s: %w", want.GetName(), err)
	}
	if err := w.Apply(ctx, client.ApplyConfigurationFromUnstructured(keep), client.FieldOwner(autoscalingOwner)); err != nil {
		return translate("handing over the replicas of", want, err)
	}
	w.wrote(want, Change{Verb: HandedOver, Fields: []string{"spec.replicas"}})
	return nil
}
