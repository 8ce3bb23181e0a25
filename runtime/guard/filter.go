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
	// In this order: what one stage takes out must not make of what stood around it what
	// an earlier one would have taken.
	visible visible
	cited   *citations
	links   *links
	hidden  *hiding
}

// NewFilter makes a filter of one answer.
func NewFilter(p Policy) *Filter {
	return &Filter{cited: newCitations(p), links: newLinks(p), hidden: newHiding(p.Hidden)}
}

// Write takes the next part of the answer and gives what may go out.
func (f *Filter) Write(text string) string {
	return f.hidden.write(f.links.write(f.cited.write(f.visible.write(text))))
}

// Flush ends the answer and gives the rest.
func (f *Filter) Flush() string {
	rest := f.cited.write(f.visible.flush()) + f.cited.flush()
	rest = f.links.write(rest) + f.links.flush()
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
