package extract

import (
	"fmt"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"github.com/crispy-enigma/crispy-enigma/runtime/rag/chunk"
)

// page reads HTML: what <main> holds if there is one, else all.
func page(text string) (Document, error) {
	root, err := html.Parse(strings.NewReader(text))
	if err != nil {
		return Document{}, ErrBroken.because("its elements are nested too deeply")
	}
	w := htmlWalk{}
	if t := find(root, atom.Title); t != nil {
		w.doc.Title = inlineText(t)
	}
	if main := find(root, atom.Main); main != nil {
		root = main
	}
	w.children(root)
	w.flush()
	return w.doc, nil
}

// find gives the first such element that is shown; the title counts as shown.
func find(n *html.Node, a atom.Atom) *html.Node {
	if n.DataAtom == a && n.Type == html.ElementNode && n.Namespace == "" {
		return n
	}
	for c := range n.ChildNodes() {
		if hidden(c) && a != atom.Title && c.DataAtom != atom.Head {
			continue
		}
		if found := find(c, a); found != nil {
			return found
		}
	}
	return nil
}

// hidden tells what isn't read: what browsers don't show, and what leads elsewhere.
func hidden(n *html.Node) bool {
	if n.Type != html.ElementNode {
		return n.Type == html.CommentNode || n.Type == html.DoctypeNode
	}
	switch n.DataAtom {
	case atom.Script, atom.Style, atom.Noscript, atom.Template, atom.Head, atom.Nav, atom.Iframe, atom.Object, atom.Embed,
		atom.Svg, atom.Canvas, atom.Video, atom.Audio, atom.Button, atom.Select, atom.Textarea, atom.Input, atom.Dialog, atom.Datalist:
		return true
	}
	for _, a := range n.Attr {
		value := strings.ToLower(strings.Join(strings.Fields(a.Val), ""))
		switch a.Key {
		case "hidden":
			return true
		case "aria-hidden":
			if value == "true" {
				return true
			}
		case "role":
			if value == "navigation" {
				return true
			}
		case "style":
			for _, way := range []string{"display:none", "visibility:hidden", "font-size:0;", "font-size:0px", "opacity:0;"} {
				if strings.Contains(value+";", way) {
					return true
				}
			}
		}
	}
	return false
}

// inline elements don't end a paragraph; all others do.
var inline = map[atom.Atom]bool{
	atom.A: true, atom.Abbr: true, atom.B: true, atom.Bdi: true, atom.Bdo: true, atom.Cite: true, atom.Code: true, atom.Data: true,
	atom.Del: true, atom.Dfn: true, atom.Em: true, atom.Font: true, atom.I: true, atom.Img: true, atom.Ins: true, atom.Kbd: true, atom.Label: true,
	atom.Mark: true, atom.Q: true, atom.Ruby: true, atom.Rb: true, atom.Rt: true, atom.Rp: true, atom.S: true, atom.Samp: true, atom.Small: true,
	atom.Span: true, atom.Strong: true, atom.Sub: true, atom.Sup: true, atom.Time: true, atom.Tt: true, atom.U: true, atom.Var: true, atom.Wbr: true,
}

var headings = map[atom.Atom]int{atom.H1: 1, atom.H2: 2, atom.H3: 3, atom.H4: 4, atom.H5: 5, atom.H6: 6}

// htmlWalk gathers blocks.
type htmlWalk struct {
	doc   Document
	text  strings.Builder
	lists []int  // the number of the next item of each open list; 0 without numbers
	mark  string // of the item that has just begun
	item  bool
}

func (w *htmlWalk) children(n *html.Node) {
	for c := range n.ChildNodes() {
		w.node(c)
	}
}

func (w *htmlWalk) node(n *html.Node) {
	switch {
	case hidden(n):
	case n.Type == html.TextNode:
		w.text.WriteString(n.Data)
	case n.Type != html.ElementNode:
		w.children(n)
	case n.DataAtom == atom.Br:
		w.text.WriteString(lineBreak)
	case headings[n.DataAtom] > 0:
		w.flush()
		w.doc.Blocks = append(w.doc.Blocks, chunk.Block{Kind: chunk.Heading, Level: headings[n.DataAtom], Text: inlineText(n)})
	case n.DataAtom == atom.Pre:
		w.flush()
		w.doc.Blocks = append(w.doc.Blocks, chunk.Block{Kind: chunk.Code, Text: rawText(n)})
	case n.DataAtom == atom.Table && !layout(n):
		w.flush()
		w.doc.Blocks = append(w.doc.Blocks, tableOf(n))
	case n.DataAtom == atom.Ul || n.DataAtom == atom.Ol || n.DataAtom == atom.Menu:
		w.list(n)
	case n.DataAtom == atom.Li:
		w.flush()
		w.begin()
		w.children(n)
		w.flush()
		w.mark, w.item = "", false
	case inline[n.DataAtom]:
		w.children(n)
	default:
		w.flush()
		w.children(n)
		w.flush()
	}
}

func (w *htmlWalk) list(n *html.Node) {
	w.flush()
	number := 0
	if n.DataAtom == atom.Ol {
		number = 1
	}
	w.lists = append(w.lists, number)
	w.children(n)
	w.flush()
	w.lists = w.lists[:len(w.lists)-1]
}

func (w *htmlWalk) begin() {
	w.mark, w.item = "- ", true
	if depth := len(w.lists); depth > 0 && w.lists[depth-1] > 0 {
		w.mark = fmt.Sprintf("%d. ", w.lists[depth-1])
		w.lists[depth-1]++
	}
}

// lineBreak stands for <br> until white space is put together.
const lineBreak = "\x00"

// flush makes a block of the text so far.
func (w *htmlWalk) flush() {
	text := collapse(w.text.String())
	w.text.Reset()
	if text == "" {
		return
	}
	b := chunk.Block{Kind: chunk.Paragraph, Text: w.mark + text}
	if w.item {
		b.Kind, b.Level = chunk.ListItem, max(len(w.lists), 1)
	}
	w.mark = ""
	w.doc.Blocks = append(w.doc.Blocks, b)
}

func collapse(text string) string {
	if !strings.Contains(text, lineBreak) {
		return tidy(text)
	}
	var lines []string
	for line := range strings.SplitSeq(text, lineBreak) {
		lines = append(lines, tidy(line))
	}
	return strings.Trim(strings.Join(lines, "\n"), "\n")
}

// rawText keeps white space.
func rawText(n *html.Node) string {
	var b strings.Builder
	writeText(&b, n, "\n", false)
	return b.String()
}

// inlineText puts all text on one line.
func inlineText(n *html.Node) string {
	var b strings.Builder
	writeText(&b, n, " ", true)
	return tidy(b.String())
}

// writeText writes the shown text below n. apart sets blocks off by white space.
func writeText(b *strings.Builder, n *html.Node, br string, apart bool) {
	for c := range n.ChildNodes() {
		switch {
		case hidden(c):
		case c.Type == html.TextNode:
			b.WriteString(c.Data)
		case c.DataAtom == atom.Br:
			b.WriteString(br)
		default:
			writeText(b, c, br, apart)
			if apart && !inline[c.DataAtom] {
				b.WriteString(" ")
			}
		}
	}
}
