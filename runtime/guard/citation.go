package guard

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// mostCitation is how long a mark such as "[1, 2, 3]" is at most.
const mostCitation = 48

var (
	// marks are what cites: [1], [1, 2], [^1], and the brackets of some models.
	marks = regexp.MustCompile(`(?:\[\^?|【)\s*(\d+(?:\s*[,;]\s*\d+)*)\s*(?:\]|】)`)
	// unfinished is a mark whose end may still come.
	unfinished = regexp.MustCompile(`(?:\[\^?|【)[\d\s,;]*$`)
)

// citations takes out marks of sources that weren't given.
type citations struct {
	given map[int]bool // nil: marks aren't looked at
	seen  map[int]bool
	held  string
	// code tells that an odd number of back quotes went out: in code, [5] is an index.
	code bool
}

func newCitations(p Policy) *citations {
	c := &citations{seen: map[int]bool{}}
	if p.Citations {
		c.given = make(map[int]bool, len(p.Sources))
		for _, s := range p.Sources {
			c.given[s.ID] = true
		}
	}
	return c
}

func (c *citations) write(text string) string {
	if c.given == nil || text == "" {
		return text
	}
	text = c.held + text
	c.held = ""
	if at := unfinished.FindStringIndex(text); at != nil && len(text)-at[0] <= mostCitation {
		text, c.held = text[:at[0]], text[at[0]:]
	}
	return c.pass(text)
}

func (c *citations) flush() string {
	text := c.held
	c.held = ""
	if c.given == nil {
		return text
	}
	return c.pass(text)
}

func (c *citations) pass(text string) string {
	var b strings.Builder
	at := 0
	for _, m := range marks.FindAllStringSubmatchIndex(text, -1) {
		c.plain(&b, text[at:m[0]])
		at = m[1]
		if c.code {
			b.WriteString(text[m[0]:m[1]])
			continue
		}
		c.mark(&b, text[m[2]:m[3]])
	}
	c.plain(&b, text[at:])
	return b.String()
}

func (c *citations) plain(b *strings.Builder, text string) {
	b.WriteString(text)
	c.code = c.code != (strings.Count(text, "`")%2 == 1)
}

// mark writes the citations among numbers that are of given sources.
func (c *citations) mark(b *strings.Builder, numbers string) {
	for n := range strings.FieldsFuncSeq(numbers, func(r rune) bool { return r < '0' || r > '9' }) {
		id, err := strconv.Atoi(n)
		if err != nil || !c.given[id] {
			continue
		}
		c.seen[id] = true
		b.WriteString("[" + strconv.Itoa(id) + "]")
	}
}

func (c *citations) ids() []int { return slices.Sorted(maps.Keys(c.seen)) }
