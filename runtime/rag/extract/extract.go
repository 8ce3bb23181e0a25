package extract

import (
	"cmp"
	"context"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/crispy-enigma/crispy-enigma/runtime/rag/chunk"
)

// Content types of what is read.
const (
	TypeText     = "text/plain"
	TypeMarkdown = "text/markdown"
	TypeHTML     = "text/html"
	TypePDF      = "application/pdf"
	TypeDOCX     = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
)

// maxTitle bounds a title in bytes.
const maxTitle = 500

// Input is one file.
type Input struct {
	// Name of the file or the last part of its address; may be empty.
	Name string
	// ContentType as it was declared, with its charset; may be empty.
	ContentType string
	Data        []byte
}

// Limits of one file. Zero values are the defaults.
type Limits struct {
	// MaxText in bytes, 32 MiB.
	MaxText int64
	// MaxPages of a PDF, 2,000.
	MaxPages int
	// Memory of the child in bytes, 512 MiB. Compiling the PDF engine takes 320 MiB, which
	// the first PDF does, and each one without CacheDir; later ones begin with 70 MiB.
	Memory int64
	// Timeout of reading the file, a minute. The child may take as long to begin with it.
	Timeout time.Duration
	// CacheDir keeps the PDF engine's compiled code, 21 MiB: with it a child starts in 0.1
	// instead of 2.7 s. It must be writable by nobody else. Empty keeps none.
	CacheDir string
	// Command runs Child; nil is this program with the argument "extract".
	Command []string
}

func (l Limits) withDefaults() Limits {
	l.MaxText = cmp.Or(l.MaxText, 32<<20)
	l.MaxPages = cmp.Or(l.MaxPages, 2000)
	l.Memory = cmp.Or(l.Memory, defaultMemory)
	l.Timeout = cmp.Or(l.Timeout, time.Minute)
	return l
}

// Document is what was read.
type Document struct {
	// Title that the file itself has; may be empty.
	Title string `json:"title,omitempty"`
	// ContentType is what the file was read as.
	ContentType string `json:"contentType"`
	// Blocks in reading order; at least one has text.
	Blocks []chunk.Block `json:"blocks"`
}

// Extractor reads files, PDF and DOCX one at a time: a child's memory is spent once.
type Extractor struct {
	limits Limits
	turn   chan struct{}
}

// New makes an Extractor.
func New(l Limits) *Extractor {
	return &Extractor{limits: l.withDefaults(), turn: make(chan struct{}, 1)}
}

// Extract reads one file. An error is an *Error if the file is to blame, else ctx's or
// ErrUnavailable.
func (x *Extractor) Extract(ctx context.Context, in Input) (Document, error) {
	if err := ctx.Err(); err != nil {
		return Document{}, err
	}
	if len(in.Data) == 0 {
		return Document{}, ErrEmpty
	}
	kind, err := sniff(in)
	if err != nil {
		return Document{}, err
	}
	data := in.Data
	if kind != TypePDF && kind != TypeDOCX {
		text, err := decode(in)
		if err != nil {
			return Document{}, err
		}
		data = []byte(text)
	}
	parse := x.inChild
	if kind == TypeText || kind != TypePDF && kind != TypeDOCX && len(data) <= safe {
		parse = func(_ context.Context, kind string, data []byte) (Document, error) {
			return read(kind, data, x.limits, func() {})
		}
	}
	d, err := parse(ctx, kind, data)
	if err != nil {
		return Document{}, err
	}
	d.ContentType = kind
	if err := d.finish(x.limits.MaxText); err != nil {
		return Document{}, err
	}
	return d, nil
}

// safe is the largest Markdown or HTML, in bytes, that is parsed here. The time of some
// Markdown grows with the square of its size, 0.1 s at this one and 22 s at 16 times it,
// and a page of HTML can take a hundred times its size in memory.
const safe = 16 << 10

// read parses a file whose type is known; text is in UTF-8. It calls begun when all is
// ready and the file comes in.
func read(kind string, data []byte, l Limits, begun func()) (Document, error) {
	if kind == TypePDF {
		return pdf(data, l, begun)
	}
	begun()
	switch kind {
	case TypeMarkdown:
		return markdown(newlines(string(data)))
	case TypeHTML:
		return page(string(data))
	case TypeDOCX:
		return docx(data, l)
	}
	return Document{Blocks: plain(string(data))}, nil
}

// finish makes what a parser gave what Document promises.
func (d *Document) finish(maxText int64) error {
	d.Title = tidy(d.Title)
	for cut := maxTitle; len(d.Title) > maxTitle; cut-- {
		if utf8.RuneStart(d.Title[cut]) {
			d.Title = d.Title[:cut]
		}
	}
	var total int64
	kept := d.Blocks[:0]
	for _, b := range d.Blocks {
		b.Text = strings.Trim(strings.ToValidUTF8(strings.Map(visible, b.Text), "\ufffd"), "\n")
		if strings.TrimSpace(b.Text) == "" {
			continue
		}
		total += int64(len(b.Text))
		kept = append(kept, b)
	}
	d.Blocks = kept
	switch {
	case total > maxText:
		return ErrTooLarge.because("it has more than %d bytes of text", maxText)
	case total == 0:
		return ErrEmpty
	}
	return nil
}

// visible drops control characters, which no store and no model wants.
func visible(r rune) rune {
	if r < ' ' && r != '\n' && r != '\t' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '\ufeff' || r == '\ufffe' {
		return -1
	}
	return r
}

// tidy puts text on one line.
func tidy(text string) string {
	return strings.Join(strings.Fields(strings.ToValidUTF8(text, "\ufffd")), " ")
}
