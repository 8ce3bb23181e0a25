package tenant

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/apply"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
)

// Actions of events: what the operator was doing.
const (
	actionReconcile = "Reconcile"
	actionRotate    = "RotateKey"
	actionDelete    = "Delete"
)

// maxNote is the longest note of an event that the API takes, in bytes.
const maxNote = 1024

func note(text string) string {
	if len(text) <= maxNote {
		return text
	}
	return strings.ToValidUTF8(text[:maxNote-len("…")], "") + "…"
}

// announce tells of a change of the Ready condition: that it came about, went, or has
// another reason.
func (r *Reconciler) announce(before, t *v1alpha1.Tenant) {
	had, have := before.Condition(v1alpha1.ConditionReady), t.Condition(v1alpha1.ConditionReady)
	if have == nil || had != nil && had.Status == have.Status && had.Reason == have.Reason {
		return
	}
	if have.Reason == v1alpha1.ReasonNamespaceDeleting {
		return // an event is new content too, which such a namespace refuses
	}
	kind := corev1.EventTypeNormal
	if t.Condition(v1alpha1.ConditionStalled) != nil || warns[have.Reason] {
		kind = corev1.EventTypeWarning
	}
	r.Recorder.Eventf(t, nil, kind, have.Reason, actionReconcile, "%s", note(have.Message))
}

// warns are the reasons of waiting that a person should look at.
var warns = map[string]bool{
	v1alpha1.ReasonClassNotFound:     true,
	v1alpha1.ReasonSecretNotFound:    true,
	v1alpha1.ReasonSecretKeyMissing:  true,
	v1alpha1.ReasonKeyTooShort:       true,
	v1alpha1.ReasonKeyNotUnique:      true,
	v1alpha1.ReasonTokenMalformed:    true,
	v1alpha1.ReasonAccountNotFound:   true,
	v1alpha1.ReasonAccountNotAllowed: true,
	v1alpha1.ReasonChildRefused:      true,
	v1alpha1.ReasonImagePullFailed:   true,
	v1alpha1.ReasonPodCrashing:       true,
	v1alpha1.ReasonPodRefused:        true,
	v1alpha1.ReasonUnschedulable:     true,
	v1alpha1.ReasonConfigRefused:     true,
	v1alpha1.ReasonGatewayAPIMissing: true,
	v1alpha1.ReasonBindingNotFound:   true,
	v1alpha1.ReasonStateNotOffered:   true,
	v1alpha1.ReasonStateLoginFailed:  true,
	v1alpha1.ReasonRouteNotAccepted:  true,
}

// announceChanges tells in one event what was written. It is drift, and somebody's doing,
// if a Ready Tenant's children differ though its document, of this digest, is the one it
// had. A Deployment may differ by its class's doing or by a newer operator's.
func (r *Reconciler) announceChanges(t *v1alpha1.Tenant, digest string, result apply.Result) {
	var changes []string
	drift := t.Status.ConfigDigest == digest
	for _, c := range result.Changes {
		drift = drift && (c.Kind != "Deployment" || c.Verb != apply.Updated)
		if c.Verb != apply.Migrated { // our own bookkeeping: what the child is hasn't changed
			changes = append(changes, c.Verb+" "+c.Kind+" "+c.Name)
		}
	}
	if len(changes) == 0 {
		return
	}
	reason := "ChildrenApplied"
	ready := t.Condition(v1alpha1.ConditionReady)
	if drift && ready != nil && ready.Status == metav1.ConditionTrue && ready.ObservedGeneration == t.Generation {
		reason = "DriftUndone"
	}
	r.Recorder.Eventf(t, nil, corev1.EventTypeNormal, reason, actionReconcile, "%s", note(strings.Join(changes, ", ")))
}

func (r *Reconciler) announceRotation(t *v1alpha1.Tenant, keys []string) {
	for _, key := range keys {
		r.Metrics.rotated()
		r.Recorder.Eventf(t, nil, corev1.EventTypeNormal, "KeyRotated", actionRotate,
			"key %q has a new value in Secret %s; the old one works until its grace period ends", key, resources.NamesOf(t.Name).Keys)
	}
}

func (r *Reconciler) announceRetained(t *v1alpha1.Tenant, claim string) {
	r.Recorder.Eventf(t, nil, corev1.EventTypeNormal, "VolumeRetained", actionDelete,
		"the data stays on PersistentVolumeClaim %s; a new Tenant of the same name and id takes it up, deleting the claim deletes the data", claim)
}

func (r *Reconciler) announceRetainedBinding(t *v1alpha1.Tenant, b *v1alpha1.CloudflareBinding) {
	r.Recorder.Eventf(t, nil, corev1.EventTypeNormal, "BindingRetained", actionDelete,
		"CloudflareBinding %s stays, and with it %s %s of the account; a new Tenant of the same name and id takes it up", b.Name, b.Spec.Type, b.Status.ID)
}
