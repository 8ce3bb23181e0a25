package tools

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
)

const (
	// maxSchemaBytes bounds a schema, as tenantconfig does.
	maxSchemaBytes = 64 << 10
	// maxSteps is how many times parts of a schema are applied in one validation. A large
	// honest one needs thousands; a schema that branches at every level needs 2 to the
	// power of its depth, and would hold a core for hours.
	maxSteps = 100_000
	// maxDetails bounds what one refusal tells.
	maxDetails = 20
)

// anyObject is the schema of a tool that tells none.
var anyObject = json.RawMessage(`{"type":"object"}`)

// schema checks parameters. It is made once and may be used from several goroutines.
type schema struct {
	compiled *jsonschema.Schema
	// mu guards left: what one validation may still spend.
	mu   sync.Mutex
	left int
}

var errTooCostly = errors.New("checking the parameters takes too many steps")

// compileSchema reads a schema of 2020-12, or of the draft that its $schema names.
// Formats are asserted. References beyond the schema itself are errors: nothing is
// fetched.
func compileSchema(raw json.RawMessage) (*schema, error) {
	if len(raw) > maxSchemaBytes {
		return nil, fmt.Errorf("the schema has more than %d bytes", maxSchemaBytes)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return nil, errors.New("the schema is not JSON")
	}
	if head, ok := doc.(map[string]any); !ok || head["type"] != "object" {
		return nil, errors.New(`the schema isn't one of "type": "object"`)
	}
	if !ordinaryNumbers(doc) {
		return nil, errors.New("the schema has a number beyond what a double can hold")
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	c.UseLoader(noLoader{})
	const here = "tool:///parameters"
	if err := c.AddResource(here, doc); err != nil {
		return nil, fmt.Errorf("the schema can't be used: %s", reasonOf(err))
	}
	compiled, err := c.Compile(here)
	if err != nil {
		return nil, fmt.Errorf("the schema can't be used: %s", reasonOf(err))
	}
	s := &schema{compiled: compiled}
	s.meter(reflect.ValueOf(compiled), map[*jsonschema.Schema]bool{})
	return s, nil
}

// reasonOf is the first line of a compiler's error, cut: the rest lists whole schemas.
func reasonOf(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	text = strings.ReplaceAll(text, "tool:///parameters", "")
	if len(text) > 200 {
		text = strings.ToValidUTF8(text[:200], "") + "…"
	}
	return text
}

// noLoader refuses: a schema is complete, or it isn't used.
type noLoader struct{}

func (noLoader) Load(string) (any, error) {
	return nil, errors.New("references to other documents aren't followed: put what is needed under $defs")
}

// meter makes every part of the compiled schema count how often it is applied. The
// library has no bound of its own and can't be interrupted; a part's format is asked
// before what it refers to.
func (s *schema) meter(v reflect.Value, seen map[*jsonschema.Schema]bool) {
	switch v.Kind() {
	case reflect.Interface, reflect.Pointer:
		if v.IsNil() {
			return
		}
		if part, ok := v.Interface().(*jsonschema.Schema); ok {
			if seen[part] {
				return
			}
			seen[part] = true
			part.Format = s.counting(part.Format)
		}
		s.meter(v.Elem(), seen)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				s.meter(v.Field(i), seen)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			s.meter(v.Index(i), seen)
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			s.meter(v.MapIndex(k), seen)
		}
	}
}

func (s *schema) counting(inner *jsonschema.Format) *jsonschema.Format {
	counted := &jsonschema.Format{Validate: func(any) error { return nil }}
	if inner != nil {
		*counted = *inner
	}
	validate := counted.Validate
	counted.Validate = func(v any) error {
		if s.left--; s.left < 0 {
			panic(errTooCostly)
		}
		return validate(v)
	}
	return counted
}

// check tells what is wrong with parameters, nil if nothing is. doc is from decode.
func (s *schema) check(doc any) (details []httpapi.Detail) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left = maxSteps
	defer func() {
		switch recover() {
		case nil:
		case errTooCostly:
			details = []httpapi.Detail{{Message: errTooCostly.Error() + ": send fewer or flatter ones"}}
		default: // a fault of the library ends one check
			details = []httpapi.Detail{{Message: "can't be checked against the tool's schema: send simpler values"}}
		}
	}()
	err := s.compiled.Validate(doc)
	if err == nil {
		return nil
	}
	wrong, ok := errors.AsType[*jsonschema.ValidationError](err)
	if !ok {
		return []httpapi.Detail{{Message: "doesn't fit the tool's schema"}}
	}
	details = explain(wrong, nil)
	if len(details) > maxDetails {
		details = details[:maxDetails]
	}
	return details
}

var english = message.NewPrinter(language.English)

// explain tells the leaves of an error: what a person can mend.
func explain(e *jsonschema.ValidationError, into []httpapi.Detail) []httpapi.Detail {
	for _, cause := range e.Causes {
		into = explain(cause, into)
	}
	if len(e.Causes) > 0 {
		return into
	}
	path := e.InstanceLocation
	var text string
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		for _, name := range k.Missing {
			into = append(into, httpapi.Detail{Path: pathOf(append(slices.Clone(path), name)), Message: "is required"})
		}
		return into
	case *kind.AdditionalProperties:
		for _, name := range k.Properties {
			into = append(into, httpapi.Detail{Path: pathOf(append(slices.Clone(path), name)), Message: "is not a parameter of this tool"})
		}
		return into
	case *kind.Type:
		text = "must be " + strings.Join(k.Want, " or ") + ", is " + k.Got
	case *kind.Format:
		// The library quotes the value; whoever sent it knows it.
		text = "must be a valid " + k.Want
	case *kind.Pattern:
		text = "must match the pattern " + k.Want
	case *kind.MinLength:
		text = "must have at least " + strconv.Itoa(k.Want) + " characters"
	case *kind.MaxLength:
		text = "must have at most " + strconv.Itoa(k.Want) + " characters"
	case *kind.FalseSchema:
		text = "is not allowed here"
	default:
		text = e.ErrorKind.LocalizedString(english)
	}
	return append(into, httpapi.Detail{Path: pathOf(path), Message: text})
}

// pathOf writes a place as the rest of the API does: items[0].name.
func pathOf(parts []string) string {
	var b strings.Builder
	for _, p := range parts {
		switch _, err := strconv.Atoi(p); {
		case err == nil:
			b.WriteString("[" + p + "]")
		case b.Len() > 0:
			b.WriteString("." + p)
		default:
			b.WriteString(p)
		}
	}
	return b.String()
}

// maxParameters bounds a tool's parameters in bytes; what models write has no other bound.
const maxParameters = 2 << 20

// decode reads parameters: an object, or nothing for an empty one. Numbers stay as they
// are written.
func decode(raw json.RawMessage) (map[string]any, []httpapi.Detail) {
	wrong := func(message string) (map[string]any, []httpapi.Detail) {
		return nil, []httpapi.Detail{{Message: message}}
	}
	trimmed := bytes.TrimSpace(raw)
	switch {
	case len(trimmed) == 0 || string(trimmed) == "null":
		return map[string]any{}, nil
	case len(trimmed) > maxParameters:
		return wrong(fmt.Sprintf("must have at most %d bytes", maxParameters))
	case trimmed[0] != '{':
		return wrong("must be a JSON object")
	}
	if err := httpapi.CheckJSON(trimmed); err != nil {
		return wrong("must be JSON: " + err.Error())
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(trimmed))
	if err != nil {
		return wrong("must be a JSON object")
	}
	params, ok := doc.(map[string]any)
	switch {
	case !ok:
		return wrong("must be a JSON object")
	case !ordinaryNumbers(params):
		return wrong("must hold no number beyond what a double can hold")
	}
	return params, nil
}

// ordinaryNumbers tells that no number is so large, so small or so long that exact
// arithmetic, which the library does, takes megabytes for it, or fails.
func ordinaryNumbers(v any) bool {
	const mostDigits, mostExponent = 400, 400
	switch v := v.(type) {
	case json.Number:
		i := strings.IndexAny(string(v), "eE")
		if i < 0 {
			return len(v) <= mostDigits
		}
		e, err := strconv.Atoi(string(v[i+1:]))
		return err == nil && len(v) <= mostDigits && e <= mostExponent && e >= -mostExponent
	case []any:
		for _, inner := range v {
			if !ordinaryNumbers(inner) {
				return false
			}
		}
	case map[string]any:
		for _, inner := range v {
			if !ordinaryNumbers(inner) {
				return false
			}
		}
	}
	return true
}

// canonical is the one form of parameters that means the same, up to how numbers are
// written: keys in order, no white space.
func canonical(params map[string]any) []byte {
	b, err := json.Marshal(params)
	if err != nil { // maps, slices, strings, numbers as text: there is nothing to fail
		return nil
	}
	return b
}
