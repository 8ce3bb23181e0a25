package tools

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

const (
	entityTokens = 1000
	// maxEntities bounds what is returned.
	maxEntities = 1000
)

// entity is a name in a text. Start and End count its characters (Unicode code points)
// from 0; End is where the text goes on.
type entity struct {
	Text  string `json:"text"`
	Type  string `json:"type"`
	Start int    `json:"start"`
	End   int    `json:"end"`
}

// named is what the model tells: which names, never where they stand. Models count badly.
type named struct {
	Entities []struct {
		Text string `json:"text"`
		Type string `json:"type"`
	} `json:"entities"`
}

func entityTypes(params map[string]any) []string {
	list, _ := params["entity_types"].([]any)
	types := make([]string, 0, len(list))
	for _, v := range list {
		if s, ok := v.(string); ok {
			types = append(types, s)
		}
	}
	return types
}

func entityMessages(types []string, text string) []ai.Message {
	which := "of persons, organizations, locations, dates, amounts, products, events and addresses"
	if len(types) > 0 {
		which = "of these types and no others: " + strings.Join(types, ", ")
	}
	return instruct("List the named entities in the text that you are given, "+which+`. Copy each exactly as it is written there. `+
		`Answer with a JSON object alone: {"entities":[{"text":"…","type":"…"}]}`, text)
}

func entityParts(cfg *tenantconfig.Config, text string) []string {
	return cutText(text, fits(cfg, mayGenerate(cfg, entityTokens)))
}

func firstEntities(t *tenancy.Tenant, params map[string]any) ([]ai.Message, int) {
	if t.Config.Upstream.Type == tenantconfig.UpstreamEmbedded {
		return nil, 0
	}
	part := entityParts(t.Config, textOf(params, "text"))[0]
	return entityMessages(entityTypes(params), part), mayGenerate(t.Config, entityTokens)
}

// extractEntities is the tool. What the model names and the text doesn't hold is dropped.
func extractEntities(ctx context.Context, j *job, params map[string]any) (any, error) {
	cfg := j.c.Tenant.Config
	if err := needsModel(cfg); err != nil {
		return nil, err
	}
	text, types := textOf(params, "text"), entityTypes(params)
	found := []entity{}
	seen := map[[2]string]bool{}
	for _, part := range entityParts(cfg, text) {
		var told named
		if _, err := j.generateObject(ctx, entityMessages(types, part), mayGenerate(cfg, entityTokens), &told); err != nil {
			return nil, err
		}
		for _, e := range told.Entities {
			kind, ok := allowedType(types, e.Type)
			key := [2]string{e.Text, kind}
			if name := strings.TrimSpace(e.Text); ok && name != "" && !seen[key] {
				seen[key] = true
				found = append(found, occurrences(text, name, kind)...)
			}
		}
	}
	slices.SortFunc(found, func(a, b entity) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(b.End, a.End), cmp.Compare(a.Type, b.Type))
	})
	found = slices.Compact(found)
	if len(found) > maxEntities {
		found = found[:maxEntities]
	}
	return map[string]any{"entities": found}, nil
}

// allowedType gives the type as it was asked for.
func allowedType(types []string, told string) (string, bool) {
	told = strings.TrimSpace(told)
	if len(types) == 0 {
		return strings.ToLower(told), told != ""
	}
	for _, t := range types {
		if strings.EqualFold(t, told) {
			return t, true
		}
	}
	return "", false
}

// occurrences finds a name wherever it stands as a word of its own.
func occurrences(text, name, kind string) []entity {
	var found []entity
	length := utf8.RuneCountInString(name)
	chars, counted := 0, 0 // code points before byte counted
	for from := 0; len(found) < maxEntities; {
		i := strings.Index(text[from:], name)
		if i < 0 {
			return found
		}
		at := from + i
		if standsAlone(text, at, at+len(name)) {
			chars += utf8.RuneCountInString(text[counted:at])
			counted = at
			found = append(found, entity{Text: name, Type: kind, Start: chars, End: chars + length})
		}
		from = at + len(name)
	}
	return found
}

// standsAlone tells whether no word goes on over the borders. Scripts without spaces have
// no such borders.
func standsAlone(text string, start, end int) bool {
	before, _ := utf8.DecodeLastRuneInString(text[:start])
	first, _ := utf8.DecodeRuneInString(text[start:])
	last, _ := utf8.DecodeLastRuneInString(text[:end])
	after, _ := utf8.DecodeRuneInString(text[end:])
	return (start == 0 || !joins(before, first)) && (end == len(text) || !joins(last, after))
}

func joins(a, b rune) bool {
	word := func(r rune) bool {
		return (unicode.IsLetter(r) || unicode.IsDigit(r)) && !unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar, unicode.Hangul)
	}
	return word(a) && word(b)
}
