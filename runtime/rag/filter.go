package rag

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

// parseFilter reads {"property": value} and {"property": {"$op": value, …}}, in one order
// whatever order it was written in. Nothing in it is ever run: names and values reach
// every store as parameters.
func parseFilter(raw json.RawMessage) ([]storage.Condition, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var properties map[string]json.RawMessage
	if json.Unmarshal(raw, &properties) != nil {
		return nil, httpapi.Invalid("filter", `must be an object such as {"lang":"en","year":{"$gte":2020}}`)
	}
	var all []storage.Condition
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		conditions, err := parseProperty(name, properties[name])
		if err != nil {
			return nil, err
		}
		all = append(all, conditions...)
	}
	for i := range all {
		// One by one first: the error then has its property's path.
		if err := storage.CheckFilter(all[i : i+1]); err != nil {
			return nil, httpapi.Invalid(pathOf(all[i].Property), why(err))
		}
	}
	if err := storage.CheckFilter(all); err != nil {
		return nil, httpapi.Invalid("filter", why(err))
	}
	return all, nil
}

func parseProperty(name string, raw json.RawMessage) ([]storage.Condition, error) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || raw[0] != '{' {
		value, err := scalar(raw)
		if err != nil {
			return nil, httpapi.Invalid(pathOf(name), err.Error())
		}
		return []storage.Condition{{Property: name, Op: storage.Equal, Values: []any{value}}}, nil
	}
	var operators map[string]json.RawMessage
	if json.Unmarshal(raw, &operators) != nil || len(operators) == 0 {
		return nil, httpapi.Invalid(pathOf(name), `must be a value, or an object such as {"$gte":2020}`)
	}
	var all []storage.Condition
	for _, op := range slices.Sorted(maps.Keys(operators)) {
		values, err := operands(op, operators[op])
		if err != nil {
			return nil, httpapi.Invalid(pathOf(name), err.Error())
		}
		all = append(all, storage.Condition{Property: name, Op: op, Values: values})
	}
	return all, nil
}

func operands(op string, raw json.RawMessage) ([]any, error) {
	switch op {
	case storage.In, storage.NotIn:
		var list []json.RawMessage
		if json.Unmarshal(raw, &list) != nil || len(list) == 0 {
			return nil, errors.New(op + " takes a list of 1 to 32 values")
		}
		values := make([]any, len(list))
		for i, item := range list {
			var err error
			if values[i], err = scalar(item); err != nil {
				return nil, err
			}
		}
		return values, nil
	case storage.Equal, storage.NotEqual, storage.Less, storage.LessOrEqual, storage.Greater, storage.GreaterOrEqual:
		value, err := scalar(raw)
		return []any{value}, err
	}
	return nil, errors.New("has an unknown operator; there are $eq, $ne, $in, $nin, $lt, $lte, $gt and $gte")
}

func scalar(raw json.RawMessage) (any, error) {
	var value any
	if json.Unmarshal(raw, &value) == nil {
		switch value.(type) {
		case string, float64, bool:
			return value, nil
		}
	}
	return nil, errors.New("values are strings, numbers or booleans")
}

// pathOf a property. A name that could be mistaken for another path is left out.
func pathOf(name string) string {
	if name == "" || len(name) > storage.MaxPropertyBytes || strings.ContainsAny(name, ".[]\"") {
		return "filter"
	}
	return "filter." + name
}

// why is what is wrong with a condition, without the property, which the path has.
func why(err error) string {
	text := err.Error()
	if at := strings.LastIndex(text, `": `); at >= 0 {
		text = text[at+len(`": `):]
	}
	return text
}
