package extract_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/rag/extract"
)

// What is parsed in this process can't be made to hold it up; what is larger is parsed in
// the child, within its time.
func TestHostileMarkupIsReadInTime(t *testing.T) {
	t.Parallel()
	x := reader(func(l *extract.Limits) { l.Timeout = 500 * time.Millisecond })
	for contentType, units := range map[string][]string{
		extract.TypeMarkdown: {
			"[", "![", "](", "*a_ ", "**x*", "`", "``` ", "> ", "- ", "1. ", "<", "<!--", "&", "\\", "a\n", "|a|b\n|-|-\n",
			"[a]: b\n", "_", "[a][", "<a ", "\t", "    - a\n", "~", "#", "!\n\n", "<x>\n",
		},
		extract.TypeHTML: {
			"<a>", "<b>", "<p>", "<br>", "<table>", "<td>", "<a><p>", "<b><i></b>", "<!--", "<!", "<", "&", "<li>", "<svg>",
			"<select>", "<math><p>", "</p>", "<title>", "x<div hidden>", "<main>", "<table><tr><td>",
		},
	} {
		for _, unit := range units {
			begin := time.Now()
			_, err := x.Extract(t.Context(), extract.Input{ContentType: contentType, Data: []byte(strings.Repeat(unit, 16<<10/len(unit)))})
			if _, ok := errors.AsType[*extract.Error](err); err != nil && !ok {
				t.Errorf("%s of %q: %v", contentType, unit, err)
			}
			if took := time.Since(begin); took > 3*time.Second {
				t.Errorf("%s of %q took %v", contentType, unit, took)
			}
		}
	}
	_, err := x.Extract(t.Context(), extract.Input{ContentType: extract.TypeMarkdown, Data: []byte(strings.Repeat("*a_ ", 1<<18))})
	wantErr(t, "emphasis that never ends", err, extract.ErrTimeout)
}
