package resources

import (
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/crispy-enigma/crispy-enigma/controllers/apply"
)

// All are the children in the order in which they are applied: what a pod mounts or is
// guarded by comes before the Deployment, what leads to it after. The error is a
// *DocumentError or a *PodPatchError: no retry mends it, a change of the Tenant or its
// class does.
func All(in Inputs) ([]apply.Object, error) {
	return nil, nil
}

// Kinds are the kinds that children of this or an earlier release may have, for pruning.
// PersistentVolumeClaims aren't among them: data is never pruned.
func Kinds(c Capabilities) []schema.GroupVersionKind {
	return nil
}
