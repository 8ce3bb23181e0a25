package apply

import (
	"context"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// FieldOwner is the one field manager of every child.
const FieldOwner = "crispy-enigma"

// Object is a typed apply configuration of client-go or of the Gateway API.
type Object = interface {
	runtime.ApplyConfiguration
	GetAPIVersion() *string
	GetKind() *string
	GetName() *string
	GetNamespace() *string
}

// Owner says whose the objects are.
type Owner struct {
	// Object is the owner; its children carry a controller reference to its UID.
	Object client.Object
	// Inventory labels are on every child, and on nothing else in the namespace.
	Inventory map[string]string
	// IdentityKey is a label and annotation of objects that may outlive their owner. Where
	// the wanted object carries it, a live one without a controller is the owner's if one
	// of the two has the wanted value.
	IdentityKey string
	// Prune are the kinds among which objects with the Inventory labels and a controller
	// reference to the owner, which aren't wanted any more, are deleted.
	Prune []schema.GroupVersionKind
}

// Result counts what was written.
type Result struct {
	Changes []Change
}

// Writes is the number of API writes.
func (r Result) Writes() int { return len(r.Changes) }

// Change is one write.
type Change struct {
	// Verb is created, updated, deleted, migrated or handed over.
	Verb string
	Kind string
	Name string
	// Fields that differed, by path; never their values. Of a created object none.
	Fields []string
}

// All makes the objects of owner what they should be, in order, then prunes. It stops at
// the first error; what was written by then is in the result. Errors that a caller can
// act on are *ForeignObject, *RefusedChange and ErrNamespaceTerminating.
//
// It reads through c: a cached reader must keep FieldOwner's managed fields (KeepOwn).
func All(ctx context.Context, c client.Client, owner Owner, objects ...Object) (Result, error) {
	return Result{}, nil
}

// Create makes an object that must not exist yet, for what can't be made twice such as
// a generated key. If it exists the error is AlreadyExists: read it live.
func Create(ctx context.Context, c client.Client, object Object) error { return nil }
