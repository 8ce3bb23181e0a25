package resources

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	psaapi "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// PodPatchError means that a class's podPatch doesn't give a pod that may run. No retry
// mends it.
type PodPatchError struct {
	Class  string
	Reason string
}

func (e *PodPatchError) Error() string {
	return fmt.Sprintf("spec.podPatch of TenantClass %s %s; change the class", e.Class, e.Reason)
}

// patched merges a class's patch over the template. Whatever it says, the labels and
// annotations of the operator, the ServiceAccount and its missing token stay, and the
// result passes the restricted Pod Security Standard.
func patched(base *corev1ac.PodTemplateSpecApplyConfiguration, class string, patch []byte) (*corev1ac.PodTemplateSpecApplyConfiguration, error) {
	refuse := func(format string, args ...any) error {
		return &PodPatchError{Class: class, Reason: fmt.Sprintf(format, args...)}
	}
	original, err := json.Marshal(base)
	if err != nil {
		return nil, fmt.Errorf("writing the pod template: %w", err)
	}
	merged, err := strategicpatch.StrategicMergePatch(original, patch, corev1.PodTemplateSpec{})
	if err != nil {
		return nil, refuse("can't be merged: %v", err)
	}
	if err := decodeStrictly(merged, &corev1.PodTemplateSpec{}); err != nil {
		return nil, refuse("isn't a pod template: %v", err)
	}
	var out corev1ac.PodTemplateSpecApplyConfiguration
	if err := decodeStrictly(merged, &out); err != nil {
		return nil, refuse("isn't a pod template: %v", err)
	}
	if out.Spec == nil || !hasContainer(out.Spec.Containers) {
		return nil, refuse("removes the container %q", Container)
	}
	keepOwn(base, &out)
	if why := Restricted(&out); why != "" {
		return nil, refuse("breaks the restricted Pod Security Standard: %s", why)
	}
	return &out, nil
}

func decodeStrictly(b []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

func hasContainer(all []corev1ac.ContainerApplyConfiguration) bool {
	for _, c := range all {
		if c.Name != nil && *c.Name == Container {
			return true
		}
	}
	return false
}

// keepOwn puts back what finds, guards and rolls the pods.
func keepOwn(base, out *corev1ac.PodTemplateSpecApplyConfiguration) {
	if out.ObjectMetaApplyConfiguration == nil {
		out.WithLabels(nil)
	}
	keep := func(own, patched map[string]string) map[string]string {
		maps.DeleteFunc(patched, func(name, _ string) bool { return reserved(name) })
		if patched == nil {
			patched = map[string]string{}
		}
		maps.Copy(patched, own)
		return patched
	}
	out.Labels = keep(base.Labels, out.Labels)
	out.Annotations = keep(base.Annotations, out.Annotations)
	out.Name, out.Namespace, out.GenerateName, out.OwnerReferences, out.Finalizers = nil, nil, nil, nil, nil
	out.Spec.ServiceAccountName = base.Spec.ServiceAccountName
	out.Spec.DeprecatedServiceAccount = nil
	out.Spec.AutomountServiceAccountToken = base.Spec.AutomountServiceAccountToken
}

// Restricted says what of a pod template breaks the restricted Pod Security Standard;
// empty if nothing does.
func Restricted(template *corev1ac.PodTemplateSpecApplyConfiguration) string {
	b, err := json.Marshal(template)
	if err != nil {
		return err.Error()
	}
	var pod corev1.PodTemplateSpec
	if err := json.Unmarshal(b, &pod); err != nil {
		return err.Error()
	}
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		return err.Error()
	}
	results := evaluator.EvaluatePod(psaapi.LevelVersion{Level: psaapi.LevelRestricted, Version: psaapi.LatestVersion()}, &pod.ObjectMeta, &pod.Spec)
	var why []string
	for _, r := range results {
		if !r.Allowed {
			why = append(why, strings.TrimSpace(r.ForbiddenReason+" "+r.ForbiddenDetail))
		}
	}
	// A projected token is a token too, and the standard allows it.
	for _, v := range pod.Spec.Volumes {
		if v.Projected == nil {
			continue
		}
		for _, s := range v.Projected.Sources {
			if s.ServiceAccountToken != nil {
				why = append(why, fmt.Sprintf("serviceAccountToken in volume %q", v.Name))
			}
		}
	}
	return strings.Join(why, "; ")
}
