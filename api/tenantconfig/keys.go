package tenantconfig

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// maxDepth is deeper than any document of any version will be.
const maxDepth = 32

// checkKeys refuses what encoding/json lets through: a key that appears twice in one
// object (the last one would win), and a key that means a field only because
// encoding/json compares without case.
func checkKeys(b []byte) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	return checkValue(dec, reflect.TypeFor[Config](), "", 0)
}

func checkValue(dec *json.Decoder, t reflect.Type, path string, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%s: nested deeper than %d", path, maxDepth)
	}
	tok, err := dec.Token()
	if err != nil {
		return err
	}
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch tok {
	case json.Delim('{'):
		return checkObject(dec, t, path, depth)
	case json.Delim('['):
		var elem reflect.Type
		if t != nil && t.Kind() == reflect.Slice {
			elem = t.Elem()
		}
		for i := 0; dec.More(); i++ {
			if err := checkValue(dec, elem, path+"["+strconv.Itoa(i)+"]", depth+1); err != nil {
				return err
			}
		}
		_, err = dec.Token()
		return err
	}
	return nil
}

func checkObject(dec *json.Decoder, t reflect.Type, path string, depth int) error {
	seen := map[string]bool{}
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return err
		}
		key, ok := tok.(string)
		if !ok {
			return fmt.Errorf("%s: a key must be a string", path)
		}
		at := join(path, key)
		if seen[key] {
			return fmt.Errorf("%s: appears twice", at)
		}
		seen[key] = true
		field, name := fieldOf(t, key)
		if name != "" && name != key {
			return fmt.Errorf("%s: is spelt %q", at, name)
		}
		if err := checkValue(dec, field, at, depth+1); err != nil {
			return err
		}
	}
	_, err := dec.Token()
	return err
}

// fieldOf finds the field of t that key means to encoding/json, and its true name.
func fieldOf(t reflect.Type, key string) (reflect.Type, string) {
	if t == nil || t.Kind() != reflect.Struct {
		return nil, ""
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name != "" && strings.EqualFold(name, key) {
			return f.Type, name
		}
	}
	return nil, ""
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
