package extract

import (
	"archive/zip"
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"

	"github.com/crispy-enigma/crispy-enigma/runtime/rag/chunk"
)

const (
	// maxPart is what one part of a DOCX may unpack to: the text of 2,000 full pages has
	// about 20 MiB of XML.
	maxPart = 64 << 20
	// maxRatio is how far a part may unpack once it is larger than a mebibyte: XML of
	// Word stays below 40.
	maxRatio = 200
	// maxEntries bounds what an archive lists.
	maxEntries = 10_000
)

// docx reads a Word document.
func docx(data []byte, l Limits) (Document, error) {
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return Document{}, ErrBroken
	}
	if len(z.File) > maxEntries {
		return Document{}, ErrBomb
	}
	a := archive{z: z, left: 2 * maxPart}
	if !a.has("word/document.xml") {
		return Document{}, ErrUnsupported.because("this archive is no Word document")
	}
	styles, err := a.styles()
	if err != nil {
		return Document{}, err
	}
	var d Document
	for _, name := range []string{"word/document.xml", "word/footnotes.xml", "word/endnotes.xml"} {
		if !a.has(name) {
			continue
		}
		text, err := a.part(name)
		if err != nil {
			return Document{}, err
		}
		r := docxReader{styles: styles, maxText: l.MaxText}
		if err := r.read(text); err != nil {
			return Document{}, err
		}
		d.Blocks = append(d.Blocks, r.blocks...)
	}
	d.Title, err = a.title()
	return d, err
}

// archive unpacks parts and counts what they come to.
type archive struct {
	z    *zip.Reader
	left int64
}

func (a *archive) file(name string) *zip.File {
	for _, f := range a.z.File {
		if f.Name == name {
			return f
		}
	}
	return nil
}

func (a *archive) has(name string) bool { return a.file(name) != nil }

// part counts what really comes out: what the archive says of sizes may be a lie.
func (a *archive) part(name string) ([]byte, error) {
	f := a.file(name)
	if f == nil {
		return nil, nil
	}
	if f.Flags&1 != 0 {
		return nil, ErrEncrypted
	}
	limit := min(maxPart, a.left, max(1<<20, int64(min(f.CompressedSize64, maxPart))*maxRatio))
	r, err := f.Open()
	if err != nil {
		return nil, ErrBroken
	}
	defer func() { _ = r.Close() }()
	text, err := io.ReadAll(io.LimitReader(r, limit+1))
	switch {
	case int64(len(text)) > limit:
		return nil, ErrBomb
	case err != nil:
		return nil, ErrBroken
	}
	a.left -= int64(len(text))
	return text, nil
}

func (a *archive) title() (string, error) {
	text, err := a.part("docProps/core.xml")
	if err != nil || text == nil {
		return "", err
	}
	var core struct {
		Title string `xml:"title"`
	}
	if err := xml.Unmarshal(text, &core); err != nil {
		return "", ErrBroken
	}
	return core.Title, nil
}

// styles gives the level of those styles that make headings.
func (a *archive) styles() (map[string]int, error) {
	text, err := a.part("word/styles.xml")
	if err != nil || text == nil {
		return nil, err
	}
	var sheet struct {
		Styles []struct {
			ID    string `xml:"styleId,attr"`
			Based value  `xml:"basedOn"`
			Name  value  `xml:"name"`
			Level *value `xml:"pPr>outlineLvl"`
		} `xml:"style"`
	}
	if err := xml.Unmarshal(text, &sheet); err != nil {
		return nil, ErrBroken
	}
	levels := map[string]int{}
	based := map[string]string{}
	for _, s := range sheet.Styles {
		based[s.ID] = s.Based.Val
		level := headingLevel(s.Name.Val)
		if s.Level != nil && len(s.Level.Val) == 1 && s.Level.Val < "9" {
			level = int(s.Level.Val[0]-'0') + 1
		}
		if level > 0 {
			levels[s.ID] = level
		}
	}
	for id := range based {
		// A style has what it is based on; ten steps end a circle.
		for at, n := based[id], 0; levels[id] == 0 && at != "" && n < 10; at, n = based[at], n+1 {
			if levels[at] > 0 {
				levels[id] = levels[at]
			}
		}
	}
	return levels, nil
}

type value struct {
	Val string `xml:"val,attr"`
}

// headingLevel reads the names of built-in styles, which are the same in all languages.
func headingLevel(name string) int {
	name = strings.ToLower(strings.ReplaceAll(name, " ", ""))
	if name == "title" {
		return 1
	}
	if n, ok := strings.CutPrefix(name, "heading"); ok && len(n) == 1 && n >= "1" && n <= "9" {
		return int(n[0] - '0')
	}
	return 0
}

// read walks one part's XML.
func (r *docxReader) read(text []byte) error {
	x := xml.NewDecoder(bytes.NewReader(text))
	depth := 0
	for {
		token, err := x.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return ErrBroken
		}
		switch t := token.(type) {
		case xml.StartElement:
			if depth++; depth > 400 {
				return ErrBroken.because("its elements are nested too deeply")
			}
			if skipped[t.Name.Local] {
				if err := x.Skip(); err != nil {
					return ErrBroken
				}
				depth--
				continue
			}
			r.start(t)
		case xml.EndElement:
			depth--
			r.end(t.Name.Local)
		case xml.CharData:
			r.chars(t)
		}
		if r.size > r.maxText {
			return ErrTooLarge.because("it has more than %d bytes of text", r.maxText)
		}
	}
}

// skipped are elements whose text isn't the document's: what was deleted, the code of
// fields, and the second form of what newer versions draw otherwise.
var skipped = map[string]bool{"del": true, "moveFrom": true, "instrText": true, "delText": true, "Fallback": true, "sectPr": true}

// docxReader makes blocks of paragraphs and tables.
type docxReader struct {
	styles  map[string]int
	maxText int64
	size    int64
	blocks  []chunk.Block
	text    strings.Builder
	inText  bool
	hidden  bool // the run isn't shown
	level   int  // of the heading that the paragraph is
	item    int  // depth of the list item that the paragraph is, from 1
	tables  []*docxTable
}

type docxTable struct {
	rows   []string
	cells  []string
	cell   []string
	header bool
}
