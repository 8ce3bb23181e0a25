package extract

import (
	"regexp"
	"strings"

	"github.com/crispy-enigma/crispy-enigma/runtime/rag/chunk"
)

// plain takes each run of lines for a paragraph, and lines with marks for a list.
func plain(text string) []chunk.Block {
	var blocks []chunk.Block
	for part := range strings.SplitSeq(newlines(text), "\n\n") {
		blocks = append(blocks, listed(part, 0)...)
	}
	return blocks
}

func newlines(text string) string {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	text = strings.NewReplacer("\r", "\n", "\f", "\n\n", "\u2028", "\n", "\u2029", "\n\n").Replace(text)
	return blankLine.ReplaceAllString(text, "\n\n")
}

var (
	blankLine = regexp.MustCompile(`\n[ \t]+\n`)
	mark      = regexp.MustCompile(`^\s*([-*•‣▪◦–]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s+\S`)
)

// listed divides a paragraph at lines that begin with the mark of a list.
func listed(part string, page int) []chunk.Block {
	var blocks []chunk.Block
	b := chunk.Block{Kind: chunk.Paragraph, Page: page}
	from := 0
	for at := 0; at < len(part); {
		end := len(part)
		if i := strings.IndexByte(part[at:], '\n'); i >= 0 {
			end = at + i + 1
		}
		if mark.MatchString(part[at:min(end, at+64)]) {
			b.Text = part[from:at]
			blocks = append(blocks, b)
			b.Kind, b.Level, from = chunk.ListItem, 1, at
		}
		at = end
	}
	b.Text = part[from:]
	return append(blocks, b)
}
