package apply

import (
	"errors"
	"fmt"
	"slices"
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
	// Leaving means that it belongs to an earlier owner of the same kind and name, and
	// will be gone by itself.
	Leaving bool
}

func (e *ForeignObject) Error() string {
	if e.Leaving {
		return fmt.Sprintf("%s %s exists and %s", e.Kind, e.Name, e.Why)
	}
	return fmt.Sprintf("%s %s exists and %s; it was not touched: delete or rename it, or make the Tenant under another name", e.Kind, e.Name, e.Why)
}

// RefusedChange means that the API server refuses the object as invalid; no retry mends
// it.
type RefusedChange struct {
	Kind string
	Name string
	// Fields that are refused, by path; only the immutable ones if there are any.
	Fields []string
	// Reasons of the server, one a field; none for a Secret, whose values they may repeat.
	Reasons []string
	// Immutable means that the live object can't become what is wanted; only a new one
	// can.
	Immutable bool
	// Err is the server's answer; nil for a Secret.
	Err error
}

func (e *RefusedChange) Error() string {
	fields := strings.Join(e.Fields, ", ")
	switch {
	case e.Immutable && e.Kind == "PersistentVolumeClaim":
		return fmt.Sprintf("%s %s can't be changed (%s) and holds the tenant's data; set the Tenant's state back to what it was", e.Kind, e.Name, fields)
	case e.Immutable:
		return fmt.Sprintf("%s %s can't be changed in place (%s); delete it, and the operator makes it anew", e.Kind, e.Name, fields)
	}
	if len(e.Reasons) > 0 {
		fields = strings.Join(e.Reasons, "; ")
	}
	return fmt.Sprintf("the API server refuses %s %s: %s; correct the Tenant or its class", e.Kind, e.Name, fields)
}

// Unwrap gives the server's answer, but not of a Secret.
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
	if !apierrors.IsInvalid(err) || !errors.As(err, &status) || status.Status().Details == nil || len(status.Status().Details.Causes) == 0 {
		return fmt.Errorf("%s %s %s: %w", doing, kind, name, err)
	}
	refused := &RefusedChange{Kind: kind, Name: name}
	if kind != "Secret" {
		refused.Err = err
	}
	var fixed []string
	for _, cause := range status.Status().Details.Causes {
		refused.Fields = append(refused.Fields, cause.Field)
		if kind != "Secret" {
			refused.Reasons = append(refused.Reasons, cause.Field+": "+cause.Message)
		}
		if isImmutable(kind, cause.Field) {
			fixed = append(fixed, cause.Field)
		}
	}
	if len(fixed) > 0 {
		refused.Immutable, refused.Fields = true, fixed
	}
	return refused
}

func isImmutable(kind, path string) bool {
	return slices.ContainsFunc(immutable[kind], func(field string) bool {
		return path == field || strings.HasPrefix(path, field+".")
	})
}
