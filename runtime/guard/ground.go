package guard

import (
	"fmt"
	"strings"
)

// GroundRules go into the system prompt of a question that is to be answered from
// passages.
const GroundRules = "Answer from the quoted passages of the documents alone. Cite each passage that you use by its number in brackets, as [1]. " +
	"If they don't answer the question, say that the documents don't answer it; don't guess."

// Passages fences sources for a prompt, each under the number that cites it.
func Passages(sources []Source) string {
	var b strings.Builder
	for i := range sources {
		s := &sources[i]
		label := strings.Join(append([]string{s.Title}, s.Headings...), " > ")
		b.WriteString(Fence("passage", fmt.Sprintf("[%d] %s", s.ID, label), s.Text))
	}
	return b.String()
}
