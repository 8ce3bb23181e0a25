package tenant

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
)

// moving says of a Tenant whose pod only takes its time what it takes it for.
func moving(o *observed, verdicts []*verdict) []*verdict {
	if !o.effective.State.Moving {
		return verdicts
	}
	for _, v := range verdicts {
		if v != nil && v.reason == v1alpha1.ReasonRollingOut {
			v.reason, v.message = v1alpha1.ReasonMovingState, movingMessage(o)
		}
	}
	return verdicts
}

func movingMessage(o *observed) string {
	return fmt.Sprintf("what is on the volume is being moved to the %s server; the pod's container %q tells how far it is", o.effective.State.Driver, resources.MoveContainer)
}

// moved ends a move: a pod serves from the server, and it does so only once everything is
// there. From now on the volume is nobody's, and the next pass starts pods without it.
func (r *Reconciler) moved(ctx context.Context, o *observed) (*verdict, error) {
	t := o.tenant
	if !o.effective.State.Moving || o.effective.Replicas == 0 {
		return nil, nil
	}
	claim := &corev1.PersistentVolumeClaim{}
	err := r.Live.Get(ctx, client.ObjectKey{Namespace: t.Namespace, Name: resources.NamesOf(t.Name).State}, claim)
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("reading the volume claim: %w", err)
	}
	if err == nil && metav1.IsControlledBy(claim, t) {
		if err := r.releaseVolume(ctx, t, claim); err != nil {
			return nil, err
		}
	}
	t.Status.State, t.Status.StateDriver = v1alpha1.StateShared, o.effective.State.Driver
	r.Recorder.Eventf(t, nil, corev1.EventTypeNormal, "StateMoved", actionReconcile,
		"what was on the volume is on the %s server now; PersistentVolumeClaim %s is no longer used and can be deleted", o.effective.State.Driver, resources.NamesOf(t.Name).State)
	return wait("", v1alpha1.ReasonMovingState, "the data is on the server; the pods are being started without the volume", pollConfig), nil
}
