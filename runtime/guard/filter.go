package guard

// Policy says what an answer may hold.
type Policy struct {
	// Sources were given to the model; their URLs may be linked to.
	Sources []Source
	// LinkHosts may be linked to besides: a name, or "*." and a domain for all below it.
	LinkHosts []string
	// Hidden is what an answer may not repeat, mostly the tenant's instructions; nil for
	// nothing.
	Hidden *Hidden
	// Citations tells that [n] cites Sources: those of others are taken out.
	Citations bool
}

// Filter passes an answer on as it comes, without what its Policy forbids. It is used by
// one goroutine.
type Filter struct {
	links  *links
	cited  *citations
	hidden *hiding
}

// NewFilter makes a filter of one answer.
func NewFilter(p Policy) *Filter {
	return &Filter{links: newLinks(p), cited: newCitations(p), hidden: newHiding(p.Hidden)}
}

// Write takes the next part of the answer and gives what may go out.
func (f *Filter) Write(text string) string {
	return f.hidden.write(f.cited.write(f.links.write(text)))
}

// Flush ends the answer and gives the rest.
func (f *Filter) Flush() string {
	rest := f.cited.write(f.links.flush()) + f.cited.flush()
	return f.hidden.write(rest) + f.hidden.flush()
}

// Cited are the ids of the sources that the answer has cited so far, rising.
func (f *Filter) Cited() []int { return f.cited.ids() }

// Text filters a whole answer.
func Text(p Policy, answer string) (text string, cited []int) {
	f := NewFilter(p)
	text = f.Write(answer) + f.Flush()
	return text, f.Cited()
}
