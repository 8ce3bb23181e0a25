package apply

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// claim tells whether a live object is the owner's to write.
//
//	controlled by the owner            → its own
//	controlled by another              → foreign
//	by nobody, may outlive its owner   → its own if it carries the wanted identity
//	by nobody, applied by us           → its own: someone removed the reference
//	by nobody                          → foreign
func (w *writer) claim(want wanted, live client.Object) error {
	foreign := func(format string, args ...any) error {
		return &ForeignObject{Kind: want.GetKind(), Name: want.GetName(), Why: fmt.Sprintf(format, args...)}
	}
	if c := metav1.GetControllerOf(live); c != nil {
		if c.UID == w.owner.Object.GetUID() {
			return nil
		}
		return Foreign(want.GetKind(), live, w.owner.Object)
	}
	if identity, ok := want.GetLabels()[w.owner.IdentityKey]; ok && w.owner.IdentityKey != "" {
		if live.GetLabels()[w.owner.IdentityKey] == identity || live.GetAnnotations()[w.owner.IdentityKey] == identity {
			return nil
		}
		return foreign("doesn't hold the data of this Tenant (its %s is another; if the operator was installed anew, give it the ownerID it had)", w.owner.IdentityKey)
	}
	_, applied, err := ownedBy(live.GetManagedFields())
	if err != nil {
		return err
	}
	if applied || updatedBy(live.GetManagedFields()) {
		return nil
	}
	return Foreign(want.GetKind(), live, w.owner.Object)
}

// Foreign says why an object isn't the owner's. A controller that is a Tenant of the
// same name was there before: what it left is collected as garbage.
func Foreign(kind string, live, owner client.Object) *ForeignObject {
	e := &ForeignObject{Kind: kind, Name: live.GetName(), Why: "isn't controlled by this Tenant"}
	c := metav1.GetControllerOf(live)
	if c == nil {
		return e
	}
	e.Why = fmt.Sprintf("is controlled by %s %s", c.Kind, c.Name)
	if c.Kind == "Tenant" && c.Name == owner.GetName() {
		e.Leaving = true
		e.Why = fmt.Sprintf("belongs to an earlier %s %s, whose garbage collection will remove it", c.Kind, c.Name)
	}
	return e
}
