package extract

import (
	"fmt"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	table "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"

	"github.com/crispy-enigma/crispy-enigma/runtime/rag/chunk"
)

// markdown reads CommonMark with tables.
func markdown(source string) (Document, error) {
	title, body := frontMatter(source)
	w := markdownWalk{source: []byte(body), doc: Document{Title: title}}
	w.children(goldmark.New(goldmark.WithExtensions(extension.Table)).Parser().Parse(text.NewReader(w.source)), 0)
	if first := w.doc.Blocks; title == "" && len(first) > 0 && first[0].Kind == chunk.Heading && first[0].Level == 1 {
		w.doc.Title = first[0].Text
	}
	return w.doc, w.err
}

// frontMatter cuts off the data that some tools keep before the text, but for the title.
func frontMatter(source string) (title, body string) {
	rest, ok := strings.CutPrefix(source, "---\n")
	if !ok {
		return "", source
	}
	data, body, ok := strings.Cut(rest, "\n---\n")
	if !ok || len(data) > 4096 {
		return "", source
	}
	for line := range strings.SplitSeq(data, "\n") {
		if value, ok := strings.CutPrefix(line, "title:"); ok {
			title = strings.Trim(strings.TrimSpace(value), `"'`)
		}
	}
	return title, body
}

type markdownWalk struct {
	source []byte
	doc    Document
	err    error
}

func (w *markdownWalk) add(b chunk.Block) { w.doc.Blocks = append(w.doc.Blocks, b) }

func (w *markdownWalk) children(n ast.Node, depth int) {
	for c := n.FirstChild(); c != nil; c = c.NextSibling() {
		w.node(c, depth)
	}
}

func (w *markdownWalk) node(n ast.Node, depth int) {
	switch n := n.(type) {
	case *ast.Heading:
		w.add(chunk.Block{Kind: chunk.Heading, Level: n.Level, Text: tidy(w.inline(n))})
	case *ast.Paragraph, *ast.TextBlock:
		w.add(chunk.Block{Kind: chunk.Paragraph, Text: w.inline(n)})
	case *ast.CodeBlock, *ast.FencedCodeBlock:
		w.add(chunk.Block{Kind: chunk.Code, Text: string(n.Lines().Value(w.source))})
	case *ast.HTMLBlock:
		w.html(n)
	case *ast.List:
		w.list(n, depth+1)
	case *table.Table:
		w.table(n)
	case *ast.ThematicBreak:
	default:
		w.children(n, depth)
	}
}

func (w *markdownWalk) html(n *ast.HTMLBlock) {
	raw := string(n.Lines().Value(w.source))
	if n.HasClosure() {
		raw += string(n.ClosureLine.Value(w.source))
	}
	d, err := page(raw)
	if err != nil {
		w.err = err
		return
	}
	w.doc.Blocks = append(w.doc.Blocks, d.Blocks...)
}

// list makes the first block of each item the item, with its mark.
func (w *markdownWalk) list(l *ast.List, depth int) {
	number := l.Start
	for item := l.FirstChild(); item != nil; item = item.NextSibling() {
		mark := "- "
		if l.IsOrdered() {
			mark = fmt.Sprintf("%d. ", number)
			number++
		}
		from := len(w.doc.Blocks)
		w.children(item, depth)
		if from < len(w.doc.Blocks) && w.doc.Blocks[from].Kind == chunk.Paragraph {
			b := &w.doc.Blocks[from]
			b.Kind, b.Level, b.Text = chunk.ListItem, depth, mark+b.Text
		}
	}
}

func (w *markdownWalk) table(t *table.Table) {
	var rows []string
	for r := t.FirstChild(); r != nil; r = r.NextSibling() {
		var cells []string
		for c := r.FirstChild(); c != nil; c = c.NextSibling() {
			cells = append(cells, tidy(w.inline(c)))
		}
		rows = append(rows, joinCells(cells))
	}
	w.add(chunk.Block{Kind: chunk.Table, Text: strings.Join(rows, "\n"), Header: rows[0] != ""})
}

// inline gives the text below n as a reader sees it.
func (w *markdownWalk) inline(n ast.Node) string {
	var b strings.Builder
	w.write(&b, n)
	return strings.TrimSpace(b.String())
}

func (w *markdownWalk) write(b *strings.Builder, n ast.Node) {
	for c := n.FirstChild(); c != nil; c = c.NextSibling() {
		switch c := c.(type) {
		case *ast.Text:
			value := c.Segment.Value(w.source)
			if !c.IsRaw() && n.Kind() != ast.KindCodeSpan {
				value = util.ResolveEntityNames(util.ResolveNumericReferences(util.UnescapePunctuations(value)))
			}
			b.Write(value)
			switch {
			case c.HardLineBreak():
				b.WriteByte('\n')
			case c.SoftLineBreak():
				b.WriteByte(' ')
			}
		case *ast.String:
			b.Write(c.Value)
		case *ast.AutoLink:
			b.Write(c.Label(w.source))
		case *ast.RawHTML:
		default:
			w.write(b, c)
		}
	}
}
