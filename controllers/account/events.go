package account

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
)

// Actions of events: what the operator was doing.
const (
	actionReconcile = "Reconcile"
	actionDelete    = "Delete"
)

// announced are the conditions whose changes are told of.
var announced = []string{
	v1alpha1.ConditionReady, v1alpha1.ConditionCredentialsReady, v1alpha1.ConditionPermissionsReady, v1alpha1.ConditionQuotaOK,
}

// announce tells of conditions that came about, went or have another reason; a sentence
// that two of them share once.
func (r *Reconciler) announce(before, a *v1alpha1.CloudflareAccount) {
	told := map[string]bool{}
	for _, condition := range announced {
		had, have := before.Marks().Get(condition), a.Marks().Get(condition)
		if have == nil || had != nil && had.Status == have.Status && had.Reason == have.Reason || told[have.Message] {
			continue
		}
		if had == nil && have.Status == metav1.ConditionTrue && condition != v1alpha1.ConditionReady {
			continue // that all is well from the start is told once
		}
		told[have.Message] = true
		kind := corev1.EventTypeNormal
		if have.Status != metav1.ConditionTrue && have.Reason != v1alpha1.ReasonPaused && have.Reason != v1alpha1.ReasonDeleting {
			kind = corev1.EventTypeWarning
		}
		r.Recorder.Eventf(a, nil, kind, have.Reason, actionReconcile, "%s", note(have.Message))
	}
}

// maxNote is the longest note of an event that the API takes, in bytes.
const maxNote = 1024

func note(text string) string {
	if len(text) <= maxNote {
		return text
	}
	return strings.ToValidUTF8(text[:maxNote-len("…")], "") + "…"
}
