package tenant

import (
	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
)

// What tests need of the inside.
var (
	AccountMatters = matters(accountMatters)
	BindingMatters = matters(bindingMatters)
	Judge          = judge
	NewPodStatusOn = newPodStatus
	OldestRival    = oldestRival
	ReasonOf       = reasonOf
	Rollout        = rollout
)

// Reason and Message of a verdict, empty for none.
func (v *verdict) Reason() string {
	if v == nil {
		return ""
	}
	return v.reason
}

// Message of a verdict.
func (v *verdict) Message() string { return v.message }

// DocumentsOf writes what pods tell of documents, the first being the newest; nil is one
// that doesn't answer.
func DocumentsOf(t *v1alpha1.Tenant, pods ...*tenantconfig.Status) {
	answers := make([]told, len(pods))
	for i, status := range pods {
		answers[i].status = status
		if status == nil {
			answers[i].err = ErrUnauthorized
		}
	}
	relateDocuments(t, answers, &answers[0])
}
