package apply

import (
	"encoding/json"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// wanted is an apply configuration as the fields that it sets.
type wanted struct{ *unstructured.Unstructured }

// child names an object of a namespace.
type child struct{ group, kind, name string }

func (w wanted) child() child {
	gvk := w.GroupVersionKind()
	return child{gvk.Group, gvk.Kind, w.GetName()}
}

// copy is what a client may write its answer into.
func (w wanted) copy() *unstructured.Unstructured { return w.DeepCopy() }

func read(o Object) (wanted, error) {
	b, err := json.Marshal(o)
	if err != nil {
		return wanted{}, fmt.Errorf("reading an apply configuration: %w", err)
	}
	fields := map[string]any{}
	if err := utiljson.Unmarshal(b, &fields); err != nil {
		return wanted{}, fmt.Errorf("reading an apply configuration: %w", err)
	}
	w := wanted{&unstructured.Unstructured{Object: fields}}
	if w.GetKind() == "" || w.GetAPIVersion() == "" || w.GetName() == "" || w.GetNamespace() == "" {
		return wanted{}, errors.New("an apply configuration must have apiVersion, kind, namespace and name")
	}
	return w, nil
}

// empty is a new object of a kind: typed where the scheme knows it, so that a cache
// serves it from the informer that watches it.
func empty(s *runtime.Scheme, gvk schema.GroupVersionKind) client.Object {
	if o, err := s.New(gvk); err == nil {
		if typed, ok := o.(client.Object); ok {
			return typed
		}
	}
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(gvk)
	return u
}

// emptyList is empty for the list of a kind.
func emptyList(s *runtime.Scheme, gvk schema.GroupVersionKind) client.ObjectList {
	gvk.Kind += "List"
	if o, err := s.New(gvk); err == nil {
		if typed, ok := o.(client.ObjectList); ok {
			return typed
		}
	}
	u := &unstructured.UnstructuredList{}
	u.SetGroupVersionKind(gvk)
	return u
}

// canonical spells the wanted fields as the API server would: through the Go type, so
// that a quantity has one form, and what a type can't tell from omitted is omitted.
func (w wanted) canonical(s *runtime.Scheme) (map[string]any, error) {
	typed := empty(s, w.GroupVersionKind())
	if _, ok := typed.(*unstructured.Unstructured); ok {
		return w.Object, nil
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(w.Object, typed); err != nil {
		return nil, fmt.Errorf("reading %s %s: %w", w.GetKind(), w.GetName(), err)
	}
	return fieldsOf(typed)
}

// fieldsOf an object.
func fieldsOf(o client.Object) (map[string]any, error) {
	if u, ok := o.(*unstructured.Unstructured); ok {
		return u.Object, nil
	}
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		return nil, fmt.Errorf("reading the live %T %s: %w", o, o.GetName(), err)
	}
	return fields, nil
}
