package extract

import (
	"encoding/xml"
	"strconv"
	"strings"

	"github.com/crispy-enigma/crispy-enigma/runtime/rag/chunk"
)

func (r *docxReader) start(t xml.StartElement) {
	switch t.Name.Local {
	case "p":
		// A text box has paragraphs within a paragraph.
		r.paragraph()
	case "pStyle":
		if level := r.styles[val(t)]; level > 0 {
			r.level = level
		} else if level := headingLevel(val(t)); level > 0 && r.styles == nil {
			r.level = level
		}
	case "outlineLvl":
		if n, err := strconv.Atoi(val(t)); err == nil && n >= 0 && n < 9 {
			r.level = n + 1
		}
	case "numPr":
		r.item = max(r.item, 1)
	case "ilvl":
		if n, err := strconv.Atoi(val(t)); err == nil && n >= 0 && n < 9 {
			r.item = n + 1
		}
	case "r":
		r.hidden = false
	case "vanish":
		v := val(t)
		r.hidden = v != "0" && v != "false" && v != "off"
	case "t":
		r.inText = !r.hidden
	case "tab":
		r.text.WriteByte('\t')
	case "br", "cr":
		r.text.WriteByte('\n')
	case "noBreakHyphen":
		r.text.WriteByte('-')
	case "tbl":
		r.paragraph()
		r.tables = append(r.tables, &docxTable{})
	case "tblHeader":
		if n := len(r.tables); n > 0 && len(r.tables[n-1].rows) == 0 {
			r.tables[n-1].header = true
		}
	}
}

// val gives the value that most elements of WordprocessingML have.
func val(t xml.StartElement) string {
	for _, a := range t.Attr {
		if a.Name.Local == "val" {
			return a.Value
		}
	}
	return ""
}

func (r *docxReader) chars(text []byte) {
	if r.inText {
		r.size += int64(len(text))
		r.text.Write(text)
	}
}

func (r *docxReader) end(name string) {
	n := len(r.tables)
	switch {
	case name == "t":
		r.inText = false
	case name == "p":
		r.paragraph()
	case n == 0:
	case name == "tc":
		t := r.tables[n-1]
		t.cells = append(t.cells, tidy(strings.Join(t.cell, " ")))
		t.cell = nil
	case name == "tr":
		t := r.tables[n-1]
		if row := joinCells(t.cells); row != "" {
			t.rows = append(t.rows, row)
		}
		t.cells = nil
	case name == "tbl":
		r.table()
	}
}

// paragraph ends one: in a table it is part of a cell.
func (r *docxReader) paragraph() {
	text := strings.TrimSpace(r.text.String())
	r.text.Reset()
	level, item := r.level, r.item
	r.level, r.item = 0, 0
	switch n := len(r.tables); {
	case text == "":
	case n > 0:
		r.tables[n-1].cell = append(r.tables[n-1].cell, text)
	case level > 0:
		r.blocks = append(r.blocks, chunk.Block{Kind: chunk.Heading, Level: level, Text: tidy(text)})
	case item > 0:
		r.blocks = append(r.blocks, chunk.Block{Kind: chunk.ListItem, Level: item, Text: "- " + text})
	default:
		r.blocks = append(r.blocks, chunk.Block{Kind: chunk.Paragraph, Text: text})
	}
}

// table ends one: within another it is text of a cell.
func (r *docxReader) table() {
	n := len(r.tables)
	t := r.tables[n-1]
	r.tables = r.tables[:n-1]
	switch {
	case len(t.rows) == 0:
	case n > 1:
		r.tables[n-2].cell = append(r.tables[n-2].cell, strings.Join(t.rows, "; "))
	default:
		r.blocks = append(r.blocks, chunk.Block{Kind: chunk.Table, Text: strings.Join(t.rows, "\n"), Header: t.header})
	}
}
