package httpapi

import (
	"bytes"
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
)

// shape is which keys of a JSON value mean a field of a Go type. A nil shape means
// none: maps keep every key as it is, and a type that decodes itself may do as it likes.
type shape struct {
	fields []shapeField
	elem   *shape
}

type shapeField struct {
	name  string
	shape *shape
}

// member finds the field that key means. spelt is the field's name if only
// encoding/json, which ignores case, would take key for it.
func (s *shape) member(key []byte) (member *shape, spelt string) {
	if s == nil {
		return nil, ""
	}
	for i := range s.fields {
		if string(key) == s.fields[i].name {
			return s.fields[i].shape, ""
		}
	}
	for i := range s.fields {
		// bytes.EqualFold is encoding/json's own rule.
		if bytes.EqualFold(key, []byte(s.fields[i].name)) {
			return nil, s.fields[i].name
		}
	}
	return s.elem, ""
}

func (s *shape) element() *shape {
	if s == nil {
		return nil
	}
	return s.elem
}

// shapeOf works out a type's shape once, when its route is added.
func shapeOf(t reflect.Type, known map[reflect.Type]*shape) *shape {
	if s, ok := known[t]; ok {
		return s
	}
	if decodesItself(t) {
		return nil
	}
	switch t.Kind() {
	case reflect.Pointer:
		return shapeOf(t.Elem(), known)
	case reflect.Slice, reflect.Array, reflect.Map:
		s := &shape{}
		known[t] = s
		s.elem = shapeOf(t.Elem(), known)
		return s
	case reflect.Struct:
		s := &shape{}
		known[t] = s
		for _, f := range reflect.VisibleFields(t) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			promoted := f.Anonymous && name == "" // its fields are visible themselves
			if !f.IsExported() || promoted || f.Tag.Get("json") == "-" {
				continue
			}
			if name == "" {
				name = f.Name
			}
			s.fields = append(s.fields, shapeField{name, shapeOf(f.Type, known)})
		}
		return s
	default:
		return nil
	}
}

func decodesItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return t.Kind() != reflect.Pointer &&
		(p.Implements(reflect.TypeFor[json.Unmarshaler]()) || p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]()))
}
