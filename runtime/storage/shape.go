package storage

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Shape is what an index takes. Every driver of Vectors asks it first, so that all
// refuse the same.
type Shape struct {
	// Dimensions of a vector.
	Dimensions int
	// Filterable are the properties that a filter may name.
	Filterable []string
}

// CheckChunks gives ErrDimensions, ErrBadVector or ErrBadChunk, with the chunk's place.
func (s Shape) CheckChunks(chunks []Chunk) error {
	seen := make(map[ChunkKey]bool, len(chunks))
	for n := range chunks {
		c := &chunks[n]
		if err := s.checkVector(c.Vector); err != nil {
			return fmt.Errorf("chunk %d: %w", n, err)
		}
		problem := keyProblem(c.ChunkKey)
		switch {
		case problem != "":
		case seen[c.ChunkKey]:
			problem = "its key comes twice"
		case len(c.Text) > MaxTextBytes || !utf8.ValidString(c.Text):
			problem = "its text isn't UTF-8, or longer than 1 MiB"
		default:
			problem = metadataProblem(c.Metadata)
		}
		if problem != "" {
			return fmt.Errorf("chunk %d: %w: %s", n, ErrBadChunk, problem)
		}
		seen[c.ChunkKey] = true
	}
	return nil
}

// CheckKeys gives ErrBadChunk for what can't be a chunk's key.
func CheckKeys(keys []ChunkKey) error {
	for n, k := range keys {
		if problem := keyProblem(k); problem != "" {
			return fmt.Errorf("key %d: %w: %s", n, ErrBadChunk, problem)
		}
	}
	return nil
}

// CheckQuery gives ErrDimensions, ErrBadVector, ErrBadTopK or ErrBadFilter.
func (s Shape) CheckQuery(q VectorQuery) error {
	if err := s.checkVector(q.Vector); err != nil {
		return err
	}
	if q.TopK < 1 || q.TopK > MaxTopK {
		return ErrBadTopK
	}
	size := 0
	bounds := map[string]string{}
	for _, c := range q.Filter {
		problem := s.conditionProblem(c)
		side := "both"
		switch c.Op {
		case Less, LessOrEqual:
			side = "upper"
		case Greater, GreaterOrEqual:
			side = "lower"
		}
		if other := bounds[c.Property]; other != "" && (other == side || other == "both" || side == "both") {
			problem = "a property has one condition, or a lower and an upper bound"
		}
		bounds[c.Property] += side
		if size += jsonSize(c.Property) + jsonSize(c.Values) + len(c.Op) + 8; size > MaxFilterBytes {
			problem = fmt.Sprintf("all of it has more than %d bytes", MaxFilterBytes)
		}
		if problem != "" {
			return fmt.Errorf("%w: %q: %s", ErrBadFilter, c.Property, problem)
		}
	}
	return nil
}

func (s Shape) checkVector(v []float32) error {
	if len(v) != s.Dimensions {
		return fmt.Errorf("%w: %d, not %d", ErrDimensions, len(v), s.Dimensions)
	}
	zero := true
	for _, x := range v {
		if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
			return ErrBadVector
		}
		zero = zero && x == 0
	}
	if zero {
		return ErrBadVector
	}
	return nil
}

func keyProblem(k ChunkKey) string {
	switch {
	case k.Doc == "" || len(k.Doc) > MaxDocBytes || !utf8.ValidString(k.Doc):
		return "a document's id is UTF-8 of 1 to 256 bytes"
	case k.N < 0:
		return "chunks are counted from 0"
	}
	return ""
}

func metadataProblem(m map[string]any) string {
	if len(m) > MaxProperties {
		return "it has more than 32 properties"
	}
	for name, value := range m {
		if !isProperty(name) {
			return "a property's name is UTF-8 of 1 to 64 bytes without dots, quotes and control characters, and doesn't begin with $ or _"
		}
		if !isScalar(value) {
			return "a property is a string of at most 64 bytes, a finite float64 or a bool"
		}
	}
	if jsonSize(m) > MaxMetadataBytes {
		return "its metadata has more than 6 KiB"
	}
	return ""
}

func isProperty(name string) bool {
	return name != "" && len(name) <= MaxPropertyBytes && utf8.ValidString(name) && name[0] != '$' && name[0] != '_' &&
		!strings.ContainsFunc(name, func(r rune) bool { return r == '.' || r == '"' || unicode.IsControl(r) })
}

func isScalar(value any) bool {
	switch x := value.(type) {
	case string:
		return len(x) <= MaxStringBytes && utf8.ValidString(x)
	case float64:
		return !math.IsNaN(x) && !math.IsInf(x, 0)
	case bool:
		return true
	}
	return false
}

func (s Shape) conditionProblem(c Condition) string {
	most, ordered := 1, false
	switch c.Op {
	case Equal, NotEqual:
	case In, NotIn:
		most = MaxValues
	case Less, LessOrEqual, Greater, GreaterOrEqual:
		ordered = true
	default:
		return "there is no such operator"
	}
	if !isProperty(c.Property) || !slices.Contains(s.Filterable, c.Property) {
		return "the index has no such filterable property"
	}
	if len(c.Values) < 1 || len(c.Values) > most {
		return fmt.Sprintf("%s compares with 1 to %d values", c.Op, most)
	}
	for _, v := range c.Values {
		_, isBool := v.(bool)
		if !isScalar(v) || ordered && isBool || !sameType(v, c.Values[0]) {
			return "values are strings of at most 64 bytes, finite numbers or, where order doesn't matter, bools; all of one type"
		}
	}
	return ""
}

func sameType(a, b any) bool {
	switch a.(type) {
	case string:
		_, same := b.(string)
		return same
	case float64:
		_, same := b.(float64)
		return same
	case bool:
		_, same := b.(bool)
		return same
	}
	return false
}

// jsonSize of what is made of checked scalars, which can't fail.
func jsonSize(v any) int {
	text, err := json.Marshal(v)
	if err != nil {
		return math.MaxInt32
	}
	return len(text)
}

// Meets tells whether metadata meets all conditions of a checked filter.
func Meets(metadata map[string]any, filter []Condition) bool {
	for _, c := range filter {
		value, there := metadata[c.Property]
		if !there || len(c.Values) == 0 || !sameType(value, c.Values[0]) || !c.holds(value) {
			return false
		}
	}
	return true
}

func (c Condition) holds(value any) bool {
	switch c.Op {
	case Equal, In:
		return slices.Contains(c.Values, value)
	case NotEqual, NotIn:
		return !slices.Contains(c.Values, value)
	}
	order := 0
	switch x := value.(type) {
	case string:
		order = strings.Compare(x, c.Values[0].(string))
	case float64:
		switch y := c.Values[0].(float64); {
		case x < y:
			order = -1
		case x > y:
			order = 1
		}
	default:
		return false
	}
	switch c.Op {
	case Less:
		return order < 0
	case LessOrEqual:
		return order <= 0
	case Greater:
		return order > 0
	case GreaterOrEqual:
		return order >= 0
	}
	return false
}

// CompareMatches orders matches: best first, those of one score by key.
func CompareMatches(a, b Match) int {
	switch {
	case a.Score > b.Score:
		return -1
	case a.Score < b.Score:
		return 1
	case a.Doc != b.Doc:
		return strings.Compare(a.Doc, b.Doc)
	case a.Version != b.Version:
		if a.Version < b.Version {
			return -1
		}
		return 1
	}
	return a.N - b.N
}
