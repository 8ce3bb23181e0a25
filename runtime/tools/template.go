package tools

import (
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
)

// placeholder is a parameter's place in an address.
var placeholder = regexp.MustCompile(`\{([a-zA-Z_][a-zA-Z0-9_]*)\}`)

// template is an address with places for parameters in its path and query. What is put
// in is encoded for its place, so it never makes another host, segment or parameter.
type template struct {
	path  string // with scheme and host, which hold no places
	pairs []string
}

func newTemplate(address string) template {
	path, query, found := strings.Cut(address, "?")
	t := template{path: path}
	if found && query != "" {
		t.pairs = strings.Split(query, "&")
	}
	return t
}

// base is the address with harmless parameters, for its scheme, host and port.
func (t template) base() (*url.URL, error) {
	return url.Parse(placeholder.ReplaceAllString(t.path, "x"))
}

// expand puts parameters in and gives those that had no place.
func (t template) expand(params map[string]any) (address string, rest map[string]any, fault *failure) {
	rest = make(map[string]any, len(params))
	for k, v := range params {
		rest[k] = v
	}
	scheme, after, _ := strings.Cut(t.path, "://")
	segments := strings.Split(after, "/")
	for i, segment := range segments {
		var missing, used string
		filled := placeholder.ReplaceAllStringFunc(segment, func(place string) string {
			name := place[1 : len(place)-1]
			used = name
			value, ok := params[name]
			if !ok || value == nil {
				missing = name
				return ""
			}
			delete(rest, name)
			return url.PathEscape(textForm(value))
		})
		switch plain, err := url.PathUnescape(filled); {
		case missing != "":
			return "", nil, wrongParameter(missing, "is needed in the address")
		case used != "" && (err != nil || plain == "" || climbs(plain)):
			return "", nil, wrongParameter(used, "can't be empty, or hold . or .. between slashes: it is a part of a path")
		}
		segments[i] = filled
	}
	var pairs []string
	for _, pair := range t.pairs {
		present := true
		filled := placeholder.ReplaceAllStringFunc(pair, func(place string) string {
			value, ok := params[place[1:len(place)-1]]
			if !ok || value == nil {
				present = false
				return ""
			}
			delete(rest, place[1:len(place)-1])
			return url.QueryEscape(textForm(value))
		})
		if present {
			pairs = append(pairs, filled)
		}
	}
	address = scheme + "://" + strings.Join(segments, "/")
	if len(pairs) > 0 {
		address += "?" + strings.Join(pairs, "&")
	}
	return address, rest, nil
}

func wrongParameter(name, message string) *failure {
	return &failure{code: CodeInvalid, message: "the tool's parameters are wrong: " + name + " " + message, details: []httpapi.Detail{{Path: name, Message: message}}}
}

// climbs tells a part of a path that leads elsewhere on servers that decode it before they
// look at its dots.
func climbs(part string) bool {
	for segment := range strings.FieldsFuncSeq(part, func(r rune) bool { return r == '/' || r == '\\' }) {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

// textForm writes a value into an address: texts, numbers and truth values as they are,
// lists with commas, all else as JSON.
func textForm(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		if v {
			return "true"
		}
		return "false"
	case []any:
		if !slices.ContainsFunc(v, nested) {
			parts := make([]string, len(v))
			for i := range v {
				parts[i] = textForm(v[i])
			}
			return strings.Join(parts, ",")
		}
	}
	return string(marshal(v))
}

func nested(v any) bool {
	switch v.(type) {
	case map[string]any, []any, nil:
		return true
	}
	return false
}

// withQuery adds parameters to an address: each entry of a list by itself. What the tenant
// wrote into the query isn't said twice: services differ in which of the two counts.
func (t template) withQuery(address string, params map[string]any) (string, *failure) {
	q := url.Values{}
	for name, value := range params {
		if slices.ContainsFunc(t.pairs, func(pair string) bool { return nameOf(pair) == name }) {
			return "", wrongParameter(name, "is set by the tool's address")
		}
		switch v := value.(type) {
		case nil:
		case []any:
			for _, entry := range v {
				q.Add(name, textForm(entry))
			}
		default:
			q.Set(name, textForm(v))
		}
	}
	switch {
	case len(q) == 0:
		return address, nil
	case strings.Contains(address, "?"):
		return address + "&" + q.Encode(), nil
	}
	return address + "?" + q.Encode(), nil
}

// nameOf is the parameter that a pair of a query sets.
func nameOf(pair string) string {
	name, _, _ := strings.Cut(pair, "=")
	if plain, err := url.QueryUnescape(name); err == nil {
		return plain
	}
	return name
}
