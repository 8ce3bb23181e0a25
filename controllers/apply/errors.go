package apply

import (
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
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
	// Fields that are refused, by path.
	Fields []string
	// Immutable means that the live object can't become what is wanted; only a new one
	// can.
	Immutable bool
	// Err is the server's answer.
	Err error
}

// Error leaves out the server's text: it may repeat the values of a Secret.
func (e *RefusedChange) Error() string {
	fields := strings.Join(e.Fields, ", ")
	switch {
	case e.Immutable && e.Kind == "PersistentVolumeClaim":
		return fmt.Sprintf("%s %s can't be changed (%s) and holds the tenant's data; set the Tenant's state back to what it was", e.Kind, e.Name, fields)
	case e.Immutable:
		return fmt.Sprintf("%s %s can't be changed in place (%s); delete it, and the operator makes it anew", e.Kind, e.Name, fields)
	}
	return fmt.Sprintf("the API server refuses %s %s for its %s; correct the Tenant or its class", e.Kind, e.Name, fields)
}

func (e *RefusedChange) Unwrap() error { return e.Err }

// immutable fields of the kinds that we write, with what lies below them.
var immutable = map[string][]string{
	"Deployment":            {"spec.selector"},
	"PersistentVolumeClaim": {"spec"},
	"Secret":                {"data", "type"},
	"Service":               {"spec.clusterIP", "spec.clusterIPs"},
}

// translate gives an error of the API server its meaning.
func translate(doing string, want wanted, err error) error {
	kind, name := want.GetKind(), want.GetName()
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return fmt.Errorf("%s %s %s: %w", doing, kind, name, ErrNamespaceTerminating)
	}
	status := apierrors.APIStatus(nil)
	if !apierrors.IsInvalid(err) || !errors.As(err, &status) || status.Status().Details == nil {
		return fmt.Errorf("%s %s %s: %w", doing, kind, name, err)
	}
	refused := &RefusedChange{Kind: kind, Name: name, Err: err}
	for _, cause := range status.Status().Details.Causes {
		refused.Fields = append(refused.Fields, cause.Field)
		for _, field := range immutable[kind] {
			if cause.Field == field || strings.HasPrefix(cause.Field, field+".") {
				refused.Immutable = true
			}
		}
	}
	return refused
}
