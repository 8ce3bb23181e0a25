package resources

import (
	"strings"

	metav1 "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
)

// Labels and annotations of children.
const (
	// LabelTenant is the inventory: every child and pod carries its Tenant's name.
	LabelTenant = "ai.crispy-enigma.dev/tenant"
	// StorageIdentity marks the claim with the identity whose data it holds.
	StorageIdentity = "ai.crispy-enigma.dev/storage-identity"
	// LabelEnvironment on a CloudflareBinding becomes part of the name that its thing gets.
	LabelEnvironment = "ai.crispy-enigma.dev/environment"
	// AnnotationRestart on the pod template holds the digest of what needs a restart.
	AnnotationRestart = "ai.crispy-enigma.dev/restart-digest"
	// AnnotationConfig on a pod is patched with the digest of the written document, so
	// that the kubelet refreshes the mounted Secret. It is never on the template.
	AnnotationConfig = "ai.crispy-enigma.dev/config-digest"
	// AnnotationKeys on the Secret of keys tells each key's revision and age.
	AnnotationKeys = "ai.crispy-enigma.dev/keys"

	// AnnotationLogins on the Secret that the pods mount tells of its logins to shared
	// servers how old they are, and which one they replace.
	AnnotationLogins = "ai.crispy-enigma.dev/state-logins"

	labelName      = "app.kubernetes.io/name"
	labelInstance  = "app.kubernetes.io/instance"
	labelManagedBy = "app.kubernetes.io/managed-by"
	labelPartOf    = "app.kubernetes.io/part-of"
	appName        = "crispy-enigma-runtime"
	product        = "crispy-enigma"
)

// labels of every child.
func labels(t *v1alpha1.Tenant) map[string]string {
	return map[string]string{
		labelName:      appName,
		labelInstance:  t.Name,
		labelManagedBy: product,
		labelPartOf:    product,
		LabelTenant:    t.Name,
	}
}

// Inventory are the labels by which the children of a Tenant are found.
func Inventory(tenant string) map[string]string {
	return map[string]string{labelManagedBy: product, LabelTenant: tenant}
}

// Selector of a Tenant's pods. A Deployment's selector can't change: neither may this.
func Selector(tenant string) map[string]string {
	return map[string]string{labelName: appName, LabelTenant: tenant}
}

// controller is the reference that makes the Tenant the owner of a child.
func controller(t *v1alpha1.Tenant) *metav1.OwnerReferenceApplyConfiguration {
	return metav1.OwnerReference().
		WithAPIVersion(v1alpha1.GroupVersion.String()).
		WithKind("Tenant").
		WithName(t.Name).
		WithUID(t.UID).
		WithController(true).
		WithBlockOwnerDeletion(true)
}

// reserved tells names that a pod patch may not set.
func reserved(name string) bool {
	return strings.HasPrefix(name, "ai.crispy-enigma.dev/") || strings.HasPrefix(name, "app.kubernetes.io/")
}
