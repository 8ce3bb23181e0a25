package resources

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
)

// Names of a Tenant's children. A Tenant's name has at most 40 characters (the schema
// says so), so that the longest stays below 63. Two Tenants of one namespace never share
// a name within a kind: each kind has one fixed set of endings, and every Secret and
// claim has one.
type Names struct {
	// Base names the ServiceAccount, Deployment, Service, NetworkPolicy,
	// PodDisruptionBudget, HorizontalPodAutoscaler, HTTPRoute and Ingress.
	Base string
	// Keys is the Secret of generated keys.
	Keys string
	// Config is the Secret that the pods mount.
	Config string
	// State is the PersistentVolumeClaim.
	State string
}

// NamesOf the children of the Tenant called name.
func NamesOf(name string) Names {
	base := "tenant-" + name
	return Names{Base: base, Keys: base + "-keys", Config: base + "-config", State: base + "-state"}
}

// Identity is the storage identity of a Tenant, under which all its data is kept. It is
// made here alone.
func Identity(ownerID string, t *v1alpha1.Tenant, e v1alpha1.Effective) string {
	return ownerID + "/" + t.Namespace + "/" + string(e.Environment) + "/" + e.TenantID
}

// IdentityMark is a storage identity in a form that a label can hold: 128 bits of its
// SHA-256.
func IdentityMark(identity string) string {
	sum := sha256.Sum256([]byte(identity))
	return hex.EncodeToString(sum[:16])
}
