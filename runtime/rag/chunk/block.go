package chunk

import "strings"

// Kind of a block.
type Kind string

// Kinds of blocks.
const (
	Heading   Kind = "heading"
	Paragraph Kind = "paragraph"
	// ListItem is one item with its mark.
	ListItem Kind = "item"
	// Table has a row a line.
	Table Kind = "table"
	Code  Kind = "code"
)

// Block is one part of a document in reading order.
type Block struct {
	Kind Kind `json:"kind"`
	// Level of a heading from 1, the outermost; depth of a list item from 1.
	Level int `json:"level,omitempty"`
	// Text is valid UTF-8.
	Text string `json:"text"`
	// Page from 1; 0 where there are no pages.
	Page int `json:"page,omitempty"`
	// Header tells that a table's first row names its columns.
	Header bool `json:"header,omitempty"`
}

// Text joins blocks to the text that Start and End of a Chunk count in.
func Text(blocks []Block) string {
	var b strings.Builder
	for i, block := range blocks {
		b.WriteString(between(blocks, i))
		b.WriteString(block.Text)
	}
	return b.String()
}

// between is what stands before block i.
func between(blocks []Block, i int) string {
	switch {
	case i == 0:
		return ""
	case blocks[i].Kind == ListItem && blocks[i-1].Kind == ListItem:
		return "\n"
	}
	return "\n\n"
}
