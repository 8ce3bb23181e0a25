package tenant

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
)

const (
	// toolNoSecret is the runtime's word for a tool whose secret it hasn't got: the operator
	// knows better why.
	toolNoSecret = "NoSecret"
	// toolConnecting is its word for a server of tools that it hasn't reached yet.
	toolConnecting = "Connecting"
	// toolsQuoted is how many tools a condition tells of.
	toolsQuoted = 5
)

// relateTools writes which tools can't be used: lack is the Secret that one needs, and the
// pods tell of the rest.
func relateTools(t *v1alpha1.Tenant, lack *verdict, answers []told) {
	if !hasTools(t) {
		t.Unmark(v1alpha1.ConditionToolsReady)
		return
	}
	broken := brokenTools(answers, lack != nil)
	switch {
	case lack != nil:
		message := lack.message
		if len(broken) > 0 {
			message += "; " + toolsTold(broken)
		}
		t.MarkFalse(v1alpha1.ConditionToolsReady, lack.reason, message)
	case len(broken) == 0:
		t.MarkTrue(v1alpha1.ConditionToolsReady, v1alpha1.ReasonToolsUsable, "every tool can be used")
	case !slices.ContainsFunc(broken, func(s tenantconfig.ToolStatus) bool { return s.Reason != toolConnecting }):
		t.MarkFalse(v1alpha1.ConditionToolsReady, v1alpha1.ReasonToolsConnecting, toolsTold(broken))
	default:
		t.MarkFalse(v1alpha1.ConditionToolsReady, v1alpha1.ReasonToolsFailing, toolsTold(broken))
	}
}

// clearTools says what is known without pods.
func clearTools(t *v1alpha1.Tenant, lack *verdict, why string) {
	switch {
	case !hasTools(t):
		t.Unmark(v1alpha1.ConditionToolsReady)
	case lack != nil:
		t.MarkFalse(v1alpha1.ConditionToolsReady, lack.reason, lack.message)
	default:
		t.MarkUnknown(v1alpha1.ConditionToolsReady, v1alpha1.ReasonNotTold, why)
	}
}

func hasTools(t *v1alpha1.Tenant) bool { return t.Spec.Tools != nil && t.Spec.Tools.Enabled }

// brokenTools are those that some pod can't use, by name, as the first that told says.
func brokenTools(answers []told, secretsTold bool) []tenantconfig.ToolStatus {
	var broken []tenantconfig.ToolStatus
	for _, a := range answers {
		if a.err != nil {
			continue
		}
		for _, s := range a.status.Tools {
			known := slices.ContainsFunc(broken, func(b tenantconfig.ToolStatus) bool { return b.Name == s.Name })
			if !known && (s.Reason != toolNoSecret || !secretsTold) {
				broken = append(broken, s)
			}
		}
	}
	slices.SortFunc(broken, func(a, b tenantconfig.ToolStatus) int { return cmp.Compare(a.Name, b.Name) })
	return broken
}

// toolsTold is one sentence about tools that can't be used, in words that stay the same
// while they can't.
func toolsTold(broken []tenantconfig.ToolStatus) string {
	var all []string
	for _, s := range broken[:min(len(broken), toolsQuoted)] {
		all = append(all, fmt.Sprintf("tool %q: %s", steady(s.Name), steady(s.Message)))
	}
	if more := len(broken) - toolsQuoted; more > 0 {
		all = append(all, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(all, "; ")
}
