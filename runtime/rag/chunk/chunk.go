package chunk

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds and default of a passage's size in code points.
const (
	MinChars     = 100
	MaxChars     = 10_000
	DefaultChars = 1200
)

// maxHeading bounds what one heading adds to the context of its passages, in bytes.
const maxHeading = 200

// Options of Split, in code points.
type Options struct {
	// MaxChars is how long a passage may be, MinChars to MaxChars; 0 is DefaultChars.
	MaxChars int
	// Overlap is how much of a passage at most begins the next of the same section, less
	// than half of MaxChars. Nil is an eighth of it.
	Overlap *int
}

// Chunk is one passage.
type Chunk struct {
	// Text is never empty, begins and ends with no white space, and is at most MaxChars
	// long. The first passage of a section begins with its heading.
	Text string
	// Headings lead to the passage's beginning, outermost first, its own included.
	Headings []string
	// Page that the passage begins on, from 1; 0 where there are no pages.
	Page int
	// Start and End count code points in Text(blocks). What Text repeats of the passage
	// before, or of a table's header, is not counted.
	Start, End int
}

// Split cuts a document. An error says which option is out of bounds.
func Split(blocks []Block, o Options) ([]Chunk, error) {
	size := cmp.Or(o.MaxChars, DefaultChars)
	overlap := size / 8
	if o.Overlap != nil {
		overlap = *o.Overlap
	}
	switch {
	case size < MinChars || size > MaxChars:
		return nil, fmt.Errorf("a passage of %d characters: it must be %d to %d", size, MinChars, MaxChars)
	case overlap < 0 || overlap*2 >= size:
		return nil, fmt.Errorf("an overlap of %d characters: it must be 0 or more, and less than half of %d", overlap, size)
	}
	p := packer{text: Text(blocks), max: size, overlap: overlap}
	at := 0
	for i, b := range blocks {
		at += len(between(blocks, i))
		p.block(b, at)
		at += len(b.Text)
	}
	p.flush()
	return p.chunks, nil
}

// packer fills one passage after the other. All places are byte offsets in text.
type packer struct {
	text         string
	max, overlap int
	chunks       []Chunk
	path         []title // headings that lead to here
	page         int

	naming       bool // what is added is a heading
	open         bool
	bare         bool   // the open passage holds headings alone
	from         int    // where its text begins, with what it repeats
	start, end   int    // what it holds of its own
	length       int    // of prefix and text[from:end]
	prefix       string // the header of a table that it goes on with
	first        Chunk  // of the open passage: headings and page
	rows         string // the header of the table that is being cut
	sectionStart int    // nothing before is repeated
	counted      int    // start of the code points counted so far, and
	points       int    // how many there are before
}

func (p *packer) block(b Block, at int) {
	s, e := trim(p.text, at, at+len(b.Text))
	if s == e {
		return
	}
	p.page, p.rows, p.naming = b.Page, "", b.Kind == Heading
	switch b.Kind {
	case Heading:
		p.heading(b, s)
		p.add(s, e, sentences)
	case Table:
		if b.Header {
			p.rows = headerRow(p.text[s:e], p.max)
		}
		p.add(s, e, lines)
	case ListItem, Code:
		p.add(s, e, lines)
	default:
		p.add(s, e, sentences)
	}
}

// heading begins a section, and with it a passage: unless it is below headings that
// stand alone.
func (p *packer) heading(b Block, at int) {
	deeper := len(p.path) == 0 || b.Level > p.path[len(p.path)-1].level
	if !p.bare || !deeper {
		p.flush()
		p.sectionStart = at
	}
	// Passages that are done keep the slices they have.
	p.path = slices.DeleteFunc(slices.Clone(p.path), func(h title) bool { return h.level >= b.Level })
	p.path = append(p.path, title{b.Level, short(b.Text)})
	if p.open {
		p.first.Headings = p.context().Headings
	}
}

func (p *packer) context() Chunk {
	c := Chunk{Page: p.page}
	for _, h := range p.path {
		c.Headings = append(c.Headings, h.text)
	}
	return c
}

// short gives a heading on one line, cut at a character.
func short(heading string) string {
	most := heading[:min(len(heading), 4*maxHeading)]
	line := strings.Join(strings.Fields(strings.ToValidUTF8(most, "")), " ")
	cut := min(len(line), maxHeading)
	for cut < len(line) && !utf8.RuneStart(line[cut]) {
		cut--
	}
	return line[:cut]
}

// title is a heading that leads to a place.
type title struct {
	level int
	text  string
}

// add puts text[s:e] into passages: whole if it fits, else by the next finer parts.
func (p *packer) add(s, e int, by grain) {
	if s, e = trim(p.text, s, e); s == e {
		return
	}
	if p.open && p.fits(p.length, p.end, e) {
		p.length += utf8.RuneCountInString(p.text[p.end:e])
		p.end, p.bare = e, p.bare && p.naming
		return
	}
	whole := p.fits(p.headerLength(s), s, e)
	if whole && (!p.open || !p.bare || by >= words) {
		p.flush()
		p.begin(s, e)
		return
	}
	if by == points {
		p.word(s, e)
		return
	}
	for from, to := range by.parts(p.text, s, e) {
		p.add(from, to, by+1)
	}
}

// word takes one that fits no passage: without the table's header, or cut.
func (p *packer) word(s, e int) {
	p.flush()
	rows := p.rows
	if p.fits(0, s, e) {
		p.rows = ""
	}
	for s < e {
		to := s + prefixLength(p.text[s:e], p.max-p.headerLength(s))
		p.begin(s, to)
		if s = to; s < e {
			p.flush()
		}
	}
	p.rows = rows
}

// fits tells whether length and text[s:e] are a passage's at most.
func (p *packer) fits(length, s, e int) bool {
	if e-s > (p.max-length)*utf8.UTFMax {
		return false
	}
	return length+utf8.RuneCountInString(p.text[s:e]) <= p.max
}

// headerLength is what a passage that begins at s spends on the table's header.
func (p *packer) headerLength(s int) int {
	if p.headerBefore(s) == "" {
		return 0
	}
	return utf8.RuneCountInString(p.rows) + 1
}

func (p *packer) headerBefore(s int) string {
	// The header's own row needs none.
	if strings.HasPrefix(p.text[s:], p.rows) {
		return ""
	}
	return p.rows
}

// begin opens a passage with text[s:e], which fits, and as much overlap as fits too.
func (p *packer) begin(s, e int) {
	p.prefix = p.headerBefore(s)
	p.length = p.headerLength(s)
	p.from, p.start, p.end = s, s, e
	p.open, p.bare, p.first = true, p.naming, p.context()
	own := utf8.RuneCountInString(p.text[s:e])
	if p.prefix == "" {
		// An overlap never displaces text: it takes what room is left.
		p.from = repeatFrom(p.text, p.sectionStart, s, min(p.overlap, p.max-own))
	}
	p.length += own + utf8.RuneCountInString(p.text[p.from:s])
}

// flush closes the open passage.
func (p *packer) flush() {
	if !p.open {
		return
	}
	c := p.first
	c.Text = p.text[p.from:p.end]
	if p.prefix != "" {
		c.Text = p.prefix + "\n" + c.Text
	}
	c.Start = p.points + utf8.RuneCountInString(p.text[p.counted:p.start])
	c.End = c.Start + utf8.RuneCountInString(p.text[p.start:p.end])
	p.counted, p.points = p.end, c.End
	p.chunks = append(p.chunks, c)
	p.open, p.bare = false, false
}
