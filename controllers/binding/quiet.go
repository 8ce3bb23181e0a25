package binding

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
)

// quiet tells whether nothing is to be done, without a call to Cloudflare, and when to
// look again. It may be wrong by what a cache doesn't know yet: the event that tells
// brings the next look. Whatever it doesn't find quiet is looked at live.
func (r *Reconciler) quiet(ctx context.Context, b *v1alpha1.CloudflareBinding) (after time.Duration, quiet bool, err error) {
	now := r.Clock.Now()
	if !settled(b) || underWay(b) || !controllerutil.ContainsFinalizer(b, Finalizer) {
		return 0, false, nil
	}
	after = pollInterval(b)
	for _, due := range dues(b) {
		if !due.After(now) {
			return 0, false, nil
		}
		after = min(after, due.Sub(now))
	}
	if b.Spec.Type == v1alpha1.BindingAPIToken {
		if kept, err := r.secretHolds(ctx, b); !kept || err != nil {
			return 0, false, err
		}
	}
	seen := r.memory.since(b.UID, now.Add(-r.upTo(pollInterval(b))))
	if o, ok := r.Accounts.Observed(accountKey(b), cloudflare.Kind(b.Spec.Type)); ok && o.Begun.After(seen) {
		thing, there := o.Things[b.Status.ID]
		if !there || Differs(b, thing) {
			return 0, false, nil
		}
		if showsAll(b) {
			r.memory.looked(b.UID, o.Begun)
			seen = o.Begun
		}
	}
	if due := seen.Add(pollInterval(b)); due.After(now) {
		return min(after, due.Sub(now)), true, nil
	}
	return 0, false, nil
}

// underWay tells whether a binding that is Ready is worked on all the same.
func underWay(b *v1alpha1.CloudflareBinding) bool {
	next := b.Status.Next
	return b.Status.Create != nil || next != nil && (!next.Ready || b.Annotations[AnnotationSwitch] == next.ID)
}

// Differs tells whether a thing, as LIST shows it, isn't as the binding's spec says.
func Differs(b *v1alpha1.CloudflareBinding, thing cloudflare.Thing) bool {
	want := cloudflare.Want{Kind: thing.Kind, Name: thing.Name, Settings: settings(b)}
	if replaces(b) {
		want.Settings.Dimensions, want.Settings.Metric = 0, ""
	}
	if spec := b.Spec.APIToken; spec != nil && len(spec.Buckets) == 0 {
		want.Settings.Policies = []cloudflare.Policy{{Permissions: spec.Permissions}}
	}
	steps, err := cloudflare.Plan(want, &thing)
	return err != nil || len(steps) > 0
}

// showsAll tells whether LIST shows all that the spec says.
func showsAll(b *v1alpha1.CloudflareBinding) bool {
	s := settings(b)
	return cloudflare.Kind(b.Spec.Type).Listed() || len(s.MetadataIndexes) == 0 && s.ReadReplication == ""
}

// secretHolds tells whether a token's Secret has the token that serves.
func (r *Reconciler) secretHolds(ctx context.Context, b *v1alpha1.CloudflareBinding) (bool, error) {
	s := &corev1.Secret{}
	err := r.Live.Get(ctx, client.ObjectKey{Namespace: b.Namespace, Name: secretName(b)}, s)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading the token's Secret: %w", err)
	}
	return (&kept{s}).holds(b.Status.ID), nil
}
