package embedded

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
)

// quotePassages answers from passages: their closest sentences as they stand, in the order
// of the passages, each with the number that cites it.
func quotePassages(g *ai.Grounds) []string {
	var quotes []quote
	asked := terms(g.Question)
	for i, p := range g.Passages {
		for j, s := range sentences(untabled(p.Text)) {
			s = strings.TrimLeft(s, "# ")
			if utf8.RuneCountInString(s) <= maxChars && len(quotes) < maxSentences {
				q := newQuote(s, "", i, j == 0)
				q.cite = p.ID
				if !heads(q, asked) {
					quotes = append(quotes, q)
				}
			}
		}
	}
	chosen := closest(g.Question, quotes)
	slices.SortStableFunc(chosen, func(x, y quote) int { return cmp.Compare(x.ago, y.ago) })
	if len(chosen) == 0 {
		return []string{ai.Ungrounded}
	}
	parts := make([]string, len(chosen))
	for i, q := range chosen {
		parts[i] = q.text
		if q.cite > 0 {
			parts[i] += " [" + strconv.Itoa(q.cite) + "]"
		}
		if i > 0 {
			parts[i] = "\n" + parts[i]
		}
	}
	return parts
}

// heads tells a heading: it ends like none of the sentences, and has no word that the
// question hasn't, so it says nothing that was asked for.
func heads(q quote, asked []string) bool {
	last, _ := utf8.DecodeLastRuneInString(q.text)
	if strings.ContainsRune(".!?…:;。！？؟।\"')]”’»」』）】", last) {
		return false
	}
	for t := range q.terms {
		if !slices.Contains(asked, t) {
			return false
		}
	}
	return true
}

// untabled takes out the rules of Markdown's tables, with the row of names above.
func untabled(text string) string {
	if !strings.Contains(text, "--") {
		return text
	}
	var kept []string
	for line := range strings.Lines(text) {
		if strings.Contains(line, "--") && strings.Contains(line, "|") && strings.Trim(line, "|-: \t\r\n") == "" {
			kept = kept[:max(0, len(kept)-1)]
			continue
		}
		kept = append(kept, line)
	}
	return strings.Join(kept, "")
}
