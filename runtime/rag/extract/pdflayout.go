package extract

import (
	"maps"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/crispy-enigma/crispy-enigma/runtime/rag/chunk"
)

const (
	// larger than the text by this factor is a heading, if it is short.
	larger     = 1.15
	maxHeading = 150
)

// layOut makes blocks of pages: a PDF has lines and sizes of type, no paragraphs.
func layOut(pages []pdfPage) []chunk.Block {
	levels := headingSizes(pages)
	var blocks []chunk.Block
	for i, p := range pages {
		text := newlines(dehyphenate.Replace(p.text))
		l := pageLayout{page: i + 1, runs: p.sizes, levels: levels}
		for line := range strings.SplitSeq(text, "\n") {
			l.width = max(l.width, utf8.RuneCountInString(line))
		}
		for line := range strings.SplitSeq(text, "\n") {
			l.line(strings.TrimSpace(line))
		}
		l.flush()
		blocks = append(blocks, l.blocks...)
	}
	return blocks
}

// dehyphenate joins words that the engine marks as divided at the end of a line.
var dehyphenate = strings.NewReplacer("\u0002\r\n", "", "\ufffe\r\n", "", "\u0002", "", "\ufffe", "", "\u00ad\r\n", "")

// headingSizes ranks the sizes of type above the text's, which most characters have.
func headingSizes(pages []pdfPage) map[int]int {
	used := map[int]int{}
	for _, p := range pages {
		for _, r := range p.sizes {
			used[tenths(r.size)] += utf8.RuneCountInString(r.text)
		}
	}
	body, most := 0, 0
	for _, size := range slices.Sorted(maps.Keys(used)) {
		if used[size] > most {
			body, most = size, used[size]
		}
	}
	levels := map[int]int{}
	for _, size := range slices.Backward(slices.Sorted(maps.Keys(used))) {
		if float64(size) > float64(body)*larger {
			levels[size] = min(len(levels)+1, 6)
		}
	}
	return levels
}

func tenths(size float64) int { return int(math.Round(size * 10)) }

// pageLayout puts the lines of a page together.
type pageLayout struct {
	page   int
	runs   []pdfRun // not met yet
	levels map[int]int
	width  int // of the longest line in characters
	blocks []chunk.Block
	block  chunk.Block
	text   strings.Builder
	short  bool // the last line ended early, with the end of a sentence
}

func (l *pageLayout) line(line string) {
	if line == "" {
		l.flush()
		return
	}
	kind, level := chunk.Paragraph, 0
	if size := l.levels[l.sizeOf(line)]; size > 0 && utf8.RuneCountInString(line) <= maxHeading {
		kind, level = chunk.Heading, size
	} else if mark.MatchString(line) {
		kind, level = chunk.ListItem, 1
	}
	same := kind == l.block.Kind && level == l.block.Level && kind != chunk.ListItem
	if l.short || !same && (kind != chunk.Paragraph || l.block.Kind != chunk.ListItem) {
		l.flush()
	}
	if l.text.Len() == 0 {
		l.block = chunk.Block{Kind: kind, Level: level, Page: l.page}
	} else {
		l.text.WriteByte(' ')
	}
	l.text.WriteString(line)
	last, _ := utf8.DecodeLastRuneInString(line)
	l.short = utf8.RuneCountInString(line) < l.width*3/4 && (unicode.Is(unicode.STerm, last) || last == ':')
}

// sizeOf gives the size of the run that a line begins with. Runs come in the order of the
// lines; a few are looked at, for some hold white space alone.
func (l *pageLayout) sizeOf(line string) int {
	for i := range min(len(l.runs), 20) {
		text := strings.TrimSpace(l.runs[i].text)
		if text != "" && (strings.HasPrefix(line, text) || strings.HasPrefix(text, line)) {
			size := tenths(l.runs[i].size)
			l.runs = l.runs[i+1:]
			return size
		}
	}
	return 0
}

func (l *pageLayout) flush() {
	if l.text.Len() > 0 {
		l.block.Text = l.text.String()
		l.blocks = append(l.blocks, l.block)
	}
	l.text.Reset()
	l.block, l.short = chunk.Block{}, false
}
