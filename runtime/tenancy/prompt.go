package tenancy

import "strings"

// SystemPrompt is the document's system prompt with its variables in place.
func (t *Tenant) SystemPrompt() string { return t.systemPrompt }

// render replaces {{name}}, in one pass: a value that looks like a variable is left
// as it is, and so is a name without a value.
func render(text string, values map[string]string) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(text, "{{")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		name, after, closed := strings.Cut(rest, "}}")
		value, known := values[strings.TrimSpace(name)]
		if !closed || !known {
			b.WriteString("{{")
			text = rest
			continue
		}
		b.WriteString(value)
		text = after
	}
}
