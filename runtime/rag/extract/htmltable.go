package extract

import (
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"github.com/crispy-enigma/crispy-enigma/runtime/rag/chunk"
)

// layout tells a table that holds others: it arranges a page, and its cells are read as
// the page's parts.
func layout(table *html.Node) bool {
	for c := range table.ChildNodes() {
		if !hidden(c) && find(c, atom.Table) != nil {
			return true
		}
	}
	return false
}

// tableOf gives a table with a row a line and its cells divided by bars.
func tableOf(n *html.Node) chunk.Block {
	b := chunk.Block{Kind: chunk.Table}
	var rows []string
	var walk func(*html.Node)
	walk = func(n *html.Node) {
		for c := range n.ChildNodes() {
			switch {
			case hidden(c):
			case c.DataAtom == atom.Tr:
				row, header := rowOf(c)
				if len(rows) == 0 && row != "" {
					b.Header = header
				}
				if row != "" {
					rows = append(rows, row)
				}
			case c.DataAtom == atom.Caption:
				b.Text = inlineText(c)
			case c.Type == html.ElementNode:
				walk(c)
			}
		}
	}
	walk(n)
	if b.Text != "" {
		// A caption is the table's first line, so the header isn't.
		rows, b.Header = append([]string{b.Text}, rows...), false
	}
	b.Text = strings.Join(rows, "\n")
	return b
}

// rowOf gives a row, and whether all its cells are headers.
func rowOf(tr *html.Node) (row string, header bool) {
	var cells []string
	header = true
	for c := range tr.ChildNodes() {
		if c.DataAtom != atom.Td && c.DataAtom != atom.Th || hidden(c) {
			continue
		}
		header = header && c.DataAtom == atom.Th
		cells = append(cells, inlineText(c))
	}
	return joinCells(cells), header
}

// joinCells gives one line; empty if all cells are.
func joinCells(cells []string) string {
	if strings.Join(cells, "") == "" {
		return ""
	}
	return strings.Join(cells, " | ")
}
