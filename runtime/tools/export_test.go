package tools

import (
	"context"
	"encoding/json"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// Schema is a compiled schema.
type Schema struct{ s *schema }

func CompileSchema(raw string) (Schema, error) {
	s, err := compileSchema(json.RawMessage(raw))
	return Schema{s}, err
}

// Check decodes and checks parameters as a run does.
func (s Schema) Check(params string) []httpapi.Detail {
	doc, details := decode(json.RawMessage(params))
	if details != nil {
		return details
	}
	return s.s.check(doc)
}

var (
	FunctionName = functionName
	Matches      = matches
	HashOf       = hashOf
	PointTo      = pointTo
	CutText      = cutText
	Extract      = extract
)

// Expand fills an address and adds what has no place in it as a query.
func Expand(address, params string) (string, map[string]any, error) {
	doc, _ := decode(json.RawMessage(params))
	out, rest, fault := newTemplate(address).expand(doc)
	if fault != nil {
		return "", nil, fault
	}
	return out, rest, nil
}

// Plant adds a tool to a tenant's own.
func (f *Feature) Plant(t *tenancy.Tenant, name string, timeout time.Duration, run func(ctx context.Context, params map[string]any) (any, error)) {
	r := f.registry(t, false)
	r.add(&tool{name: name, description: "planted", parameters: anyObject, timeout: timeout,
		run: func(ctx context.Context, _ *job, params map[string]any) (any, error) { return run(ctx, params) }})
	r.publish()
}

// Canonical is the canonical form of parameters.
func Canonical(params string) string {
	doc, _ := decode(json.RawMessage(params))
	return string(canonical(doc))
}
