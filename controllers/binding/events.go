package binding

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
)

// action of every event: what the operator was doing.
const action = "Reconcile"

// maxNote is the longest note of an event that the API takes, in bytes.
const maxNote = 1024

func note(text string) string {
	if len(text) <= maxNote {
		return text
	}
	return strings.ToValidUTF8(text[:maxNote-len("…")], "") + "…"
}

// happened tells of something that was done.
func (p *pass) happened(reason, format string, args ...any) {
	p.Recorder.Eventf(p.b, nil, corev1.EventTypeNormal, reason, action, "%s", note(fmt.Sprintf(format, args...)))
}

// warned tells of something that a person should know.
func (p *pass) warned(reason, format string, args ...any) {
	p.Recorder.Eventf(p.b, nil, corev1.EventTypeWarning, reason, action, "%s", note(fmt.Sprintf(format, args...)))
}

// announce tells of a change of the Ready condition. What was under way has told of
// itself when it was done.
func (r *Reconciler) announce(before, b *v1alpha1.CloudflareBinding) {
	had, have := before.Marks().Get(v1alpha1.ConditionReady), b.Marks().Get(v1alpha1.ConditionReady)
	if have == nil || had != nil && had.Status == have.Status && had.Reason == have.Reason || underway[have.Reason] {
		return
	}
	if have.Reason == v1alpha1.ReasonReady && had != nil && underway[had.Reason] {
		return
	}
	kind := corev1.EventTypeNormal
	if b.Marks().Get(v1alpha1.ConditionStalled) != nil || warns[have.Reason] {
		kind = corev1.EventTypeWarning
	}
	r.Recorder.Eventf(b, nil, kind, have.Reason, action, "%s", note(have.Message))
}

var underway = map[string]bool{
	v1alpha1.ReasonCreating: true,
	v1alpha1.ReasonUpdating: true,
	v1alpha1.ReasonDeleting: true,
}

// warns are the reasons of waiting that a person should look at.
var warns = map[string]bool{
	v1alpha1.ReasonAccountNotFound:   true,
	v1alpha1.ReasonAccountNotAllowed: true,
	v1alpha1.ReasonSecretNotFound:    true,
	v1alpha1.ReasonSecretKeyMissing:  true,
	v1alpha1.ReasonTokenInvalid:      true,
	v1alpha1.ReasonTokenExpired:      true,
	v1alpha1.ReasonWrongAccount:      true,
	v1alpha1.ReasonPermissionMissing: true,
	v1alpha1.ReasonQuotaExceeded:     true,
	v1alpha1.ReasonBindingNotFound:   true,
}
