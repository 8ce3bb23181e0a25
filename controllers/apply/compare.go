package apply

import (
	"reflect"
	"slices"
	"strconv"
	"strings"

	utiljson "k8s.io/apimachinery/pkg/util/json"
)

// differences are what an apply would change: a field whose value differs, one that we
// want and don't own, one that we own and no longer want. set holds the wanted fields,
// want the same in canonical spelling, have the live object.
func differences(set, want, have map[string]any, own owned) diff {
	var d diff
	for name, value := range set {
		switch name {
		case "apiVersion", "kind":
		case "metadata":
			d.metadata(value, want[name], have[name], own["f:metadata"])
		default:
			d.field(name, value, want[name], have[name], own, "f:"+name)
		}
	}
	for key := range own {
		name, ok := strings.CutPrefix(key, "f:")
		if _, wanted := set[name]; ok && !wanted {
			d.metadataOr(name, own[key])
		}
	}
	slices.Sort(d.paths)
	return d
}

// diff between what is wanted and what is.
type diff struct {
	paths []string
	// renamed: in a list of ours an element is missing and a foreign one is there, which
	// is what changing an element's key leaves (a container's name, a port's number). An
	// apply would add ours beside it.
	renamed bool
}

func (d *diff) note(path string) { d.paths = append(d.paths, path) }

// metadata leaves out what names the object and is owned by nobody.
func (d *diff) metadata(set, want, have any, own owned) {
	fields, _ := set.(map[string]any)
	rest := make(map[string]any, len(fields))
	for name, value := range fields {
		switch name {
		case "name", "namespace", "resourceVersion", "uid":
		default:
			rest[name] = value
		}
	}
	if len(rest) > 0 || !own.whole() {
		d.object("metadata", rest, want, have, own)
	}
}

// metadataOr notes a top-level field that is no longer wanted.
func (d *diff) metadataOr(name string, own owned) {
	if name != "metadata" || !own.whole() {
		d.note(name)
	}
}

// field compares one field; key is its name in own.
func (d *diff) field(path string, set, want, have any, own owned, key string) {
	child, ok := own[key]
	if !ok {
		d.note(path)
		d.taken(path, set, want, have)
		return
	}
	switch set := set.(type) {
	case map[string]any:
		if child.whole() {
			d.value(path, want, have)
			return
		}
		d.object(path, set, want, have, child)
	case []any:
		if child.whole() {
			d.value(path, want, have)
			return
		}
		d.list(path, set, want, have, child)
	default:
		d.value(path, want, have)
	}
}

// taken looks for a renamed element in a list of which we own nothing any more.
func (d *diff) taken(path string, set, want, have any) {
	wants, _ := want.([]any)
	haves, _ := have.([]any)
	if _, list := set.([]any); !list || len(haves) == 0 || !strings.HasPrefix(path, "spec.") {
		return
	}
	for _, w := range wants {
		_, object := w.(map[string]any)
		if object && !slices.ContainsFunc(haves, func(h any) bool { return covers(w, h) }) {
			d.renamed = true
		}
	}
}

func (d *diff) value(path string, want, have any) {
	if !covers(want, have) {
		d.note(path)
	}
}

func (d *diff) object(path string, set map[string]any, want, have any, own owned) {
	wants, _ := want.(map[string]any)
	haves, _ := have.(map[string]any)
	for name, value := range set {
		d.field(path+"."+name, value, wants[name], haves[name], own, "f:"+name)
	}
	for key := range own {
		name, ok := strings.CutPrefix(key, "f:")
		if _, wanted := set[name]; ok && !wanted {
			d.note(path + "." + name)
		}
	}
}

// list compares a list whose elements are owned one by one.
func (d *diff) list(path string, set []any, want, have any, own owned) {
	wants, _ := want.([]any)
	haves, _ := have.([]any)
	found := make([]bool, len(set))
	matched := 0
	for key := range own {
		var i, j int
		switch {
		case strings.HasPrefix(key, "k:"):
			keys := keysOf(key[2:])
			i, j = find(set, keys, found, true), find(haves, keys, nil, false)
		case strings.HasPrefix(key, "v:"):
			value := valueOf(key[2:])
			i, j = index(set, value), index(haves, value)
		default:
			continue
		}
		switch {
		case i < 0 || j < 0 || i >= len(wants):
			d.note(path + "[" + key[2:] + "]")
		default:
			found[i] = true
			matched++
			d.field(path+"["+strconv.Itoa(i)+"]", set[i], wants[i], haves[j], own, key)
		}
	}
	for i := range found {
		if !found[i] {
			d.note(path + "[" + strconv.Itoa(i) + "]")
			d.renamed = d.renamed || matched < len(haves) && strings.HasPrefix(path, "spec.")
		}
	}
}

func keysOf(s string) map[string]any {
	keys := map[string]any{}
	if err := utiljson.Unmarshal([]byte(s), &keys); err != nil {
		return nil
	}
	return keys
}

func valueOf(s string) any {
	var v any
	if err := utiljson.Unmarshal([]byte(s), &v); err != nil {
		return nil
	}
	return v
}

// find the element that has the keys and isn't taken. A key that a wanted element leaves
// to its default (a port's protocol) fits any.
func find(list []any, keys map[string]any, taken []bool, defaults bool) int {
	for i, e := range list {
		element, ok := e.(map[string]any)
		if !ok || taken != nil && taken[i] {
			continue
		}
		fits := len(keys) > 0
		for name, value := range keys {
			got, set := element[name]
			if !set && defaults {
				continue
			}
			fits = fits && reflect.DeepEqual(got, value)
		}
		if fits {
			return i
		}
	}
	return -1
}

func index(list []any, value any) int {
	for i := range list {
		if reflect.DeepEqual(list[i], value) {
			return i
		}
	}
	return -1
}

// covers tells that have is want, but for what have holds beyond it: defaults inside a
// value that is owned whole. A foreign change to such a value takes the ownership away,
// so that it isn't missed.
func covers(want, have any) bool {
	switch want := want.(type) {
	case nil:
		return have == nil || reflect.ValueOf(have).IsZero()
	case map[string]any:
		haves, ok := have.(map[string]any)
		if !ok {
			return false
		}
		for name, value := range want {
			if value != nil && !covers(value, haves[name]) {
				return false
			}
		}
		return true
	case []any:
		haves, ok := have.([]any)
		if !ok || len(want) != len(haves) {
			return false
		}
		for i := range want {
			if !covers(want[i], haves[i]) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(want, have)
}
