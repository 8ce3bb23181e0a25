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
	// Live reads past the cache. It is asked before an object is created, because a cache
	// that lags, or holds only labelled objects, doesn't show what is in the way. Nil
	// means that the client reads live.
	Live client.Reader
}

// Verbs of a Change.
const (
	Created = "created"
	Updated = "updated"
	Deleted = "deleted"
	// Replaced what others had added as well, where an apply can't mend it.
	Replaced = "replaced"
	// Migrated fields of FieldOwner from those of an update to those of an apply.
	Migrated = "migrated"
	// HandedOver the number of replicas to an autoscaler.
	HandedOver = "handed over"
)

// Result is what was written.
type Result struct {
	// Changes, one a write, in order.
	Changes []Change
}

// Writes is the number of API writes.
func (r Result) Writes() int { return len(r.Changes) }

// Change is one write.
type Change struct {
	// Verb is one of the constants.
	Verb string
	// Kind and Name of the object.
	Kind string
	Name string
	// Fields that differed, by path; never their values. None of what was created or
	// deleted.
	Fields []string
	// Generation of the object that was written; 0 if it has none. A cache that shows an
	// older one doesn't show the write yet.
	Generation int64
}

// All makes the objects of owner what they should be, in order, then prunes. It stops at
// the first error; what was written by then is in the result. Errors that a caller can
// act on are *ForeignObject, *RefusedChange and ErrNamespaceTerminating; a Conflict of the
// API server means that the cache lagged: try again.
//
// It reads through c: a cached reader must keep FieldOwner's managed fields (KeepOwn).
func All(ctx context.Context, c client.Client, owner Owner, objects ...Object) (Result, error) {
	w := writer{Client: c, owner: owner}
	if w.owner.Live == nil {
		w.owner.Live = c
	}
	wanted := map[child]bool{}
	for _, o := range objects {
		want, err := read(o)
		if err != nil {
			return w.result, err
		}
		wanted[want.child()] = true
		if err := w.write(ctx, want); err != nil {
			return w.result, err
		}
	}
	err := w.prune(ctx, wanted)
	return w.result, err
}

// Create makes an object that must not exist yet, for what can't be made twice such as
// a generated key. If it exists the error is AlreadyExists: read it live.
func Create(ctx context.Context, c client.Client, object Object) error {
	want, err := read(object)
	if err != nil {
		return err
	}
	if err := c.Create(ctx, want.copy(), client.FieldOwner(FieldOwner)); err != nil {
		return translate("creating", want, err)
	}
	return nil
}
