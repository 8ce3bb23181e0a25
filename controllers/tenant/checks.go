package tenant

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
)

// check is one question about what was observed; nil says that all is well.
type check func(*observed) *verdict

// checks in the order in which a person would ask them. The first that fails is what
// the Tenant shows. None has a client or a clock.
var checks = []check{
	classExists,
	idIsFree,
	hostsAreAllowed,
	modelsAreAllowed,
	limitsAreWithinClass,
	toolsAreWithinClass,
	replicasAreWithinClass,
	resourcesAreWithinClass,
}

func firstFailure(o *observed) *verdict {
	for _, c := range checks {
		if v := c(o); v != nil {
			return v
		}
	}
	return nil
}

func classExists(o *observed) *verdict {
	if o.missingClass == "" {
		return nil
	}
	return wait("", v1alpha1.ReasonClassNotFound, fmt.Sprintf(
		"TenantClass %q doesn't exist; create it, or name another one in spec.classRef", o.missingClass), pollSettled)
}

func idIsFree(o *observed) *verdict {
	if o.claims.idOwner == nil {
		return nil
	}
	return stall("", v1alpha1.ReasonTenantIDConflict, fmt.Sprintf(
		"the tenant id %q belongs to the older Tenant %s; delete that one, or make this one with another spec.tenantID",
		o.effective.TenantID, named(o.claims.idOwner)))
}

// hostsAreFree isn't among the checks: a Tenant that loses one host serves on under its
// others, and says so.
func hostsAreFree(o *observed) *verdict {
	if len(o.claims.lost) == 0 {
		return nil
	}
	lost := make([]string, len(o.claims.lost))
	for i, l := range o.claims.lost {
		lost[i] = fmt.Sprintf("%s belongs to the older Tenant %s", l.host, named(l.owner))
	}
	return stall("", v1alpha1.ReasonHostConflict, strings.Join(lost, "; ")+
		"; remove it from spec.exposure.hosts here or there")
}

func hostsAreAllowed(o *observed) *verdict {
	if o.class == nil || len(o.class.Spec.HostSuffixes) == 0 {
		return nil
	}
	for _, host := range o.tenant.Spec.Exposure.Hosts {
		if !hostAllowed(host, o.class.Spec.HostSuffixes, o.namespaceLabels) {
			return stall("", v1alpha1.ReasonHostNotAllowed, fmt.Sprintf(
				"spec.exposure.hosts: class %q doesn't let namespace %q use %s; take a host under one of its hostSuffixes, or ask for the suffix",
				o.class.Name, o.tenant.Namespace, host))
		}
	}
	return nil
}

func hostAllowed(host string, suffixes []v1alpha1.HostSuffix, namespace map[string]string) bool {
	return slices.ContainsFunc(suffixes, func(s v1alpha1.HostSuffix) bool {
		domain := strings.TrimPrefix(s.Suffix, ".")
		under := host == domain || strings.HasSuffix(host, "."+domain)
		return under && selects(s.NamespaceSelector, namespace)
	})
}

// selects takes no selector for all namespaces, and one that can't be read for none.
func selects(selector *metav1.LabelSelector, set map[string]string) bool {
	if selector == nil {
		return true
	}
	s, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && s.Matches(labels.Set(set))
}

func modelsAreAllowed(o *observed) *verdict {
	if o.effective.Chat == "" {
		return stall("", v1alpha1.ReasonModelNotAllowed, "spec.models.chat is required: neither the Tenant nor its class names a chat model")
	}
	if o.class == nil || len(o.class.Spec.Models.Allowed) == 0 {
		return nil
	}
	for _, model := range slices.Concat([]string{o.effective.Chat}, o.effective.Fallbacks, o.effective.Allowed) {
		if !slices.Contains(o.class.Spec.Models.Allowed, model) {
			return stall("", v1alpha1.ReasonModelNotAllowed, fmt.Sprintf(
				"spec.models: class %q doesn't allow %q; take one of its spec.models.allowed", o.class.Name, model))
		}
	}
	return nil
}

func limitsAreWithinClass(o *observed) *verdict {
	if o.class == nil {
		return nil
	}
	have, most := o.effective.Limits, o.class.Spec.MaxLimits
	// A class bounds requests in a minute: a shorter window mustn't get around it.
	perMinute := int64(have.PerMinute) * 60 / int64(min(max(have.WindowSec, 1), 60))
	var bodyBytes *int64
	if most.BodyBytes != nil {
		bodyBytes = new(most.BodyBytes.Value())
	}
	bounds := []struct {
		field string
		have  int64
		most  *int64
	}{
		{"spec.limits.requests.perMinute", perMinute, widen(most.PerMinute)},
		{"spec.limits.requests.burst", int64(have.Burst), widen(most.Burst)},
		{"spec.limits.tokens.daily", have.DailyTokens, most.DailyTokens},
		{"spec.limits.tokens.monthly", have.MonthlyTokens, most.MonthlyTokens},
		{"spec.limits.bodyBytes", have.BodyBytes, bodyBytes},
		{"spec.documents.maxPassages", int64(have.Passages), widen(most.Passages)},
	}
	for _, b := range bounds {
		if b.most == nil || b.have <= *b.most {
			continue
		}
		return stall("", v1alpha1.ReasonLimitAboveClass, fmt.Sprintf(
			"%s comes to %d and class %q allows at most %d; lower it", b.field, b.have, o.class.Name, *b.most))
	}
	return nil
}

func widen(n *int32) *int64 {
	if n == nil {
		return nil
	}
	return new(int64(*n))
}

// toolsAreWithinClass asks only where there is a class: without one nothing is bounded.
func toolsAreWithinClass(o *observed) *verdict {
	if o.class == nil || o.class.Spec.AllowPrivateTools {
		return nil
	}
	field := privateTool(o.tenant.Spec.Tools)
	if field == "" {
		return nil
	}
	return stall("", v1alpha1.ReasonToolNotAllowed, fmt.Sprintf(
		"%s: class %q lets no tool reach private networks; remove it, or have spec.allowPrivateTools of the class set", field, o.class.Name))
}

// privateTool is the field of the first tool that reaches private networks; empty if none
// does.
func privateTool(tools *v1alpha1.Tools) string {
	if tools == nil || !tools.Enabled {
		return ""
	}
	for _, t := range tools.HTTP {
		if t.Private {
			return fmt.Sprintf("spec.tools.http[%s].private", t.Name)
		}
	}
	for _, s := range tools.MCP {
		if s.Private {
			return fmt.Sprintf("spec.tools.mcp[%s].private", s.Name)
		}
	}
	return ""
}

func replicasAreWithinClass(o *observed) *verdict {
	if o.class == nil || o.class.Spec.MaxReplicas == nil {
		return nil
	}
	field, replicas := "spec.runtime.replicas", o.effective.Replicas
	if o.effective.Autoscaling != nil {
		field, replicas = "spec.runtime.autoscaling.max", o.effective.Autoscaling.Max
	}
	if replicas <= *o.class.Spec.MaxReplicas {
		return nil
	}
	return stall("", v1alpha1.ReasonReplicasAboveClass, fmt.Sprintf(
		"%s is %d and class %q allows at most %d; lower it", field, replicas, o.class.Name, *o.class.Spec.MaxReplicas))
}

func resourcesAreWithinClass(o *observed) *verdict {
	if o.class == nil {
		return nil
	}
	for _, name := range sortedNames(o.class.Spec.MaxResources) {
		most := o.class.Spec.MaxResources[name]
		for _, asked := range []struct {
			field string
			list  corev1.ResourceList
		}{
			{"limits", o.effective.Resources.Limits},
			{"requests", o.effective.Resources.Requests},
		} {
			if have := asked.list[name]; have.Cmp(most) > 0 {
				return stall("", v1alpha1.ReasonResourcesAbove, fmt.Sprintf(
					"spec.runtime.resources.%s.%s is %s and class %q allows at most %s; lower it",
					asked.field, name, have.String(), o.class.Name, most.String()))
			}
		}
	}
	return nil
}

func sortedNames(list corev1.ResourceList) []corev1.ResourceName {
	names := make([]corev1.ResourceName, 0, len(list))
	for name := range list {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func named(t *v1alpha1.Tenant) string { return t.Namespace + "/" + t.Name }
