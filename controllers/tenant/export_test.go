package tenant

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
