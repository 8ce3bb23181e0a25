package apply

import (
	"errors"
	"fmt"
	"strings"
)

// ErrNamespaceTerminating means that nothing can be created any more; the owner goes too.
var ErrNamespaceTerminating = errors.New("the namespace is being deleted")

// ForeignObject means that an object has a child's name and isn't the owner's. It was
// not touched.
type ForeignObject struct {
	Kind string
	Name string
	// Why it isn't the owner's.
	Why string
}

func (e *ForeignObject) Error() string {
	return fmt.Sprintf("%s %s exists and %s; it was not touched: delete or rename it, or make the Tenant under another name", e.Kind, e.Name, e.Why)
}

// RefusedChange means that the API server refuses the object as invalid; no retry mends
// it.
type RefusedChange struct {
	Kind string
	Name string
	// Fields that are refused, with the server's reasons.
	Fields []string
	// Immutable means that the live object can't become what is wanted; only a new one
	// can.
	Immutable bool
	Err       error
}

func (e *RefusedChange) Error() string {
	what := strings.Join(e.Fields, "; ")
	if e.Immutable {
		return fmt.Sprintf("%s %s can't be changed in place (%s); delete it, and the operator makes it anew", e.Kind, e.Name, what)
	}
	return fmt.Sprintf("the API server refuses %s %s: %s", e.Kind, e.Name, what)
}

func (e *RefusedChange) Unwrap() error { return e.Err }
