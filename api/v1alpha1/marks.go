package v1alpha1

import (
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Marks writes the conditions of one object as kstatus reads them: of Ready, Reconciling
// and Stalled, Ready sums up, and the others are there while it is False for their sake.
//
// +kubebuilder:object:generate=false
type Marks struct {
	conditions *[]metav1.Condition
	generation int64
}

// Marks of an account.
func (a *CloudflareAccount) Marks() Marks { return Marks{&a.Status.Conditions, a.Generation} }

// Marks of a binding.
func (b *CloudflareBinding) Marks() Marks { return Marks{&b.Status.Conditions, b.Generation} }

// Ready says that the object is as its spec asks.
func (m Marks) Ready(message string) {
	m.Remove(ConditionReconciling)
	m.Remove(ConditionStalled)
	m.True(ConditionReady, ReasonReady, message)
}

// Reconciling says that the object isn't as its spec asks yet, and will be without a
// change of the spec.
func (m Marks) Reconciling(reason, message string) {
	m.Remove(ConditionStalled)
	m.True(ConditionReconciling, reason, message)
	m.False(ConditionReady, reason, message)
}

// Stalled says that only a change of the spec, or of what the message names, helps.
func (m Marks) Stalled(reason, message string) {
	m.Remove(ConditionReconciling)
	m.True(ConditionStalled, reason, message)
	m.False(ConditionReady, reason, message)
}

// True sets a condition to True.
func (m Marks) True(condition, reason, message string) {
	m.set(condition, metav1.ConditionTrue, reason, message)
}

// False sets a condition to False.
func (m Marks) False(condition, reason, message string) {
	m.set(condition, metav1.ConditionFalse, reason, message)
}

// Unknown sets a condition to Unknown.
func (m Marks) Unknown(condition, reason, message string) {
	m.set(condition, metav1.ConditionUnknown, reason, message)
}

// Remove takes a condition away that doesn't apply.
func (m Marks) Remove(condition string) { meta.RemoveStatusCondition(m.conditions, condition) }

// Get gives the condition of a type, nil if there is none.
func (m Marks) Get(condition string) *metav1.Condition {
	return meta.FindStatusCondition(*m.conditions, condition)
}

// maxMessage is the longest message that the API accepts in a condition, in bytes.
const maxMessage = 32768

func (m Marks) set(condition string, status metav1.ConditionStatus, reason, message string) {
	if len(message) > maxMessage {
		message = strings.ToValidUTF8(message[:maxMessage], "")
	}
	meta.SetStatusCondition(m.conditions, metav1.Condition{
		Type: condition, Status: status, Reason: reason, Message: message,
		ObservedGeneration: m.generation,
	})
}
