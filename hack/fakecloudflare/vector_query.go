package fakecloudflare

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
)

type vectorQuery struct {
	Vector         []float32       `json:"vector"`
	VectorID       string          `json:"vectorId"`
	Namespace      *string         `json:"namespace"`
	TopK           *int            `json:"topK"`
	ReturnValues   bool            `json:"returnValues"`
	ReturnMetadata string          `json:"returnMetadata"`
	Filter         json.RawMessage `json:"filter"`
}

func queryIndex(c *call, i *item[vectorIndex]) answer {
	v := &i.Value
	var q vectorQuery
	if err := decode(c.body, &q); err != nil {
		return fail(http.StatusBadRequest, codeMalformed, "%s", err)
	}
	if problem := q.complete(v); problem != nil {
		return fail(http.StatusBadRequest, codeQuery, "%s", problem)
	}
	filter, err := parseFilter(q.Filter)
	if err != nil {
		return fail(http.StatusBadRequest, codeQuery, "filter: %s", err)
	}
	type match struct {
		v     *vector
		score float64
	}
	var found []match
	for _, x := range v.Vectors {
		if q.Namespace != nil && x.Namespace != *q.Namespace || !filter.holds(x.Indexed) {
			continue
		}
		found = append(found, match{v: x, score: score(v.Metric, q.Vector, x.Values)})
	}
	slices.SortFunc(found, func(a, b match) int {
		order := cmp.Compare(b.score, a.score)
		if v.Metric == "euclidean" {
			order = -order // the nearest has the least
		}
		return cmp.Or(order, strings.Compare(a.v.ID, b.v.ID))
	})
	matches := []map[string]any{}
	for _, m := range found[:min(*q.TopK, len(found))] {
		line := map[string]any{"id": m.v.ID, "score": m.score}
		if m.v.Namespace != "" {
			line["namespace"] = m.v.Namespace
		}
		if q.ReturnValues {
			line["values"] = m.v.Values
		}
		switch {
		case q.ReturnMetadata == "all" && m.v.Metadata != nil:
			line["metadata"] = m.v.Metadata
		case q.ReturnMetadata == "indexed":
			line["metadata"] = m.v.Indexed
		}
		matches = append(matches, line)
	}
	return ok(map[string]any{"count": len(matches), "matches": matches})
}

// complete sets what was left out and judges the rest.
func (q *vectorQuery) complete(v *vectorIndex) error {
	if q.TopK == nil {
		five := 5
		q.TopK = &five
	}
	if q.ReturnMetadata == "" {
		q.ReturnMetadata = "none"
	}
	switch {
	case (q.Vector == nil) == (q.VectorID == ""):
		return errors.New("exactly one of vector and vectorId is required")
	case *q.TopK < 1 || *q.TopK > 100:
		return errors.New("topK must be 1 to 100")
	case *q.TopK > 50 && (q.ReturnValues || q.ReturnMetadata == "all"):
		return errors.New("topK must be at most 50 with values or all metadata")
	case !slices.Contains([]string{"none", "indexed", "all"}, q.ReturnMetadata):
		return errors.New("returnMetadata must be none, indexed or all")
	case q.Namespace != nil && len(*q.Namespace) > 64:
		return errors.New("a namespace has at most 64 bytes")
	}
	if q.VectorID != "" {
		x := v.Vectors[q.VectorID]
		if x == nil {
			return errors.New("there is no vector of this id")
		}
		q.Vector = x.Values
	}
	if len(q.Vector) != v.Dimensions {
		return dimensionError{want: v.Dimensions, have: len(q.Vector)}
	}
	return nil
}

func score(metric string, a, b []float32) float64 {
	var dot, aa, bb, distance float64
	for n := range a {
		x, y := float64(a[n]), float64(b[n])
		dot, aa, bb, distance = dot+x*y, aa+x*x, bb+y*y, distance+(x-y)*(x-y)
	}
	switch metric {
	case "dot-product":
		return dot
	case "euclidean":
		return math.Sqrt(distance)
	}
	if aa == 0 || bb == 0 {
		return 0
	}
	return dot / math.Sqrt(aa*bb)
}

// condition is one comparison; all of a filter's must hold.
type condition struct {
	property, op string
	value        any
}

type conditions []condition

func parseFilter(raw json.RawMessage) (conditions, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	if len(raw) >= 2048 {
		return nil, errors.New("it must have less than 2048 bytes")
	}
	var doc map[string]any
	if json.Unmarshal(raw, &doc) != nil {
		return nil, errors.New("it must be an object")
	}
	if len(doc) == 0 {
		return nil, errors.New("it must not be empty")
	}
	var all conditions
	for property, value := range doc {
		if problem := propertyProblem(property); problem != "" {
			return nil, errors.New(problem)
		}
		ops, isObject := value.(map[string]any)
		if !isObject {
			ops = map[string]any{"$eq": value}
		}
		for op, operand := range ops {
			if err := checkOperand(op, operand); err != nil {
				return nil, fmt.Errorf("%s of %s: %w", op, property, err)
			}
			all = append(all, condition{property: property, op: op, value: operand})
		}
	}
	return all, nil
}

func checkOperand(op string, operand any) error {
	list, isList := operand.([]any)
	_, isObject := operand.(map[string]any)
	switch op {
	case "$in", "$nin":
		if !isList || len(list) == 0 {
			return errors.New("a list is required")
		}
	case "$eq", "$ne":
		if isList || isObject {
			return errors.New("a scalar is required")
		}
	case "$lt", "$lte", "$gt", "$gte":
		switch operand.(type) {
		case string, float64:
		default:
			return errors.New("a number or text is required")
		}
	default:
		return errors.New("it is no operator")
	}
	return nil
}

func propertyProblem(name string) string {
	switch {
	case name == "":
		return "a key must not be empty"
	case len([]rune(name)) > 512:
		return "a key has at most 512 characters"
	case strings.ContainsRune(name, '"') || strings.HasPrefix(name, "$"):
		return "a key must not hold \" or begin with $"
	}
	return ""
}

// holds sees only what was indexed when the vector was written.
func (all conditions) holds(indexed map[string]any) bool {
	for _, c := range all {
		value, there := indexed[c.property]
		if !there || !c.holds(value) {
			return false
		}
	}
	return true
}

func (c condition) holds(value any) bool {
	equal := func(x any) bool { return clipped(x) == value }
	switch c.op {
	case "$eq":
		return equal(c.value)
	case "$ne":
		return !equal(c.value)
	case "$in":
		return slices.ContainsFunc(c.value.([]any), equal)
	case "$nin":
		return !slices.ContainsFunc(c.value.([]any), equal)
	}
	order, comparable := compare(value, clipped(c.value))
	if !comparable {
		return false
	}
	switch c.op {
	case "$lt":
		return order < 0
	case "$lte":
		return order <= 0
	case "$gt":
		return order > 0
	}
	return order >= 0
}

func compare(a, b any) (int, bool) {
	switch x := a.(type) {
	case string:
		y, isText := b.(string)
		return strings.Compare(x, y), isText
	case float64:
		y, isNumber := b.(float64)
		return cmp.Compare(x, y), isNumber
	}
	return 0, false
}

// at follows a.b into nested metadata.
func at(metadata map[string]any, path string) (any, bool) {
	head, rest, deeper := strings.Cut(path, ".")
	value, there := metadata[head]
	if !deeper || !there {
		return value, there
	}
	inner, isObject := value.(map[string]any)
	if !isObject {
		return nil, false
	}
	return at(inner, rest)
}
