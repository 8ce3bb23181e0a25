package resources

import (
	corev1 "k8s.io/api/core/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
)

// claim is the volume of the embedded store; nil without one. With Retain it has no
// owner, so that it outlives the Tenant; a later Tenant finds it by its storage identity.
// What a live claim can't change stays as it is: the class, and the size downwards.
func claim(in Inputs) *corev1ac.PersistentVolumeClaimApplyConfiguration {
	p := in.Effective.Persistence
	if p == nil {
		return nil
	}
	size, class := p.Size, p.StorageClassName
	if have := in.Claim; have != nil {
		class = have.StorageClassName
		if have.Size.Cmp(size) > 0 {
			size = have.Size
		}
	}
	identity := Identity(in.Operator.OwnerID, in.Tenant, in.Effective)
	l := labels(in.Tenant)
	l[StorageIdentity] = IdentityMark(identity)
	spec := corev1ac.PersistentVolumeClaimSpec().
		WithAccessModes(corev1.ReadWriteOnce).
		WithResources(corev1ac.VolumeResourceRequirements().
			WithRequests(corev1.ResourceList{corev1.ResourceStorage: size}))
	if class != nil {
		spec.WithStorageClassName(*class)
	}
	c := corev1ac.PersistentVolumeClaim(NamesOf(in.Tenant.Name).State, in.Tenant.Namespace).
		WithLabels(l).
		WithAnnotations(map[string]string{StorageIdentity: IdentityMark(identity)}).
		WithSpec(spec)
	if in.Effective.DeletionPolicy == v1alpha1.DeletionDelete {
		c.WithOwnerReferences(controller(in.Tenant))
	}
	return c
}
