package index

import (
	"slices"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

// catalogue says which passage lies in which slot of the indexes, and which can be found.
// Passages of a version that is being read have slots and are indexed, but not shown
// until all of them are there.
type catalogue struct {
	documents map[string]*document
	// passages by slot; those of a free one have no document.
	passages []passage
	free     []uint32
	// visible has the bit of each slot that is shown, of which there are shown; used
	// counts all that aren't free.
	visible     bitmap
	shown, used int
	// names of properties, each kept once.
	names map[string]string
}

// document is one version of a document.
type document struct {
	id         string
	version    int64
	properties []property
	slots      []uint32 // by the passage's N
	round      int
}

type property struct {
	name  string
	value any
}

type passage struct {
	*document
	hash uint64
	n    int32
}

func newCatalogue() catalogue {
	return catalogue{documents: map[string]*document{}, names: map[string]string{}}
}

// describe makes a document without passages. Maps are large: metadata become a list.
func (c *catalogue) describe(d storage.Document, round int) *document {
	made := &document{id: d.ID, version: d.Version, round: round}
	for name, value := range d.Metadata {
		if _, known := c.names[name]; !known {
			c.names[name] = name
		}
		made.properties = append(made.properties, property{c.names[name], value})
	}
	return made
}

// place gives a passage a slot in which it isn't shown.
func (c *catalogue) place(d *document, hash uint64) uint32 {
	p := passage{document: d, hash: hash, n: int32(len(d.slots))}
	var slot uint32
	if last := len(c.free) - 1; last >= 0 {
		slot, c.free = c.free[last], c.free[:last]
		c.passages[slot] = p
	} else {
		slot = uint32(len(c.passages))
		c.passages = append(c.passages, p)
	}
	d.slots = append(d.slots, slot)
	c.used++
	return slot
}

// show makes d what is found of its document, and gives what was before, whose slots are
// still to be freed.
func (c *catalogue) show(d *document) *document {
	before := c.hide(d.id)
	c.documents[d.id] = d
	for _, slot := range d.slots {
		c.visible.set(slot)
	}
	c.shown += len(d.slots)
	return before
}

// hide makes a document not found; nil if it wasn't.
func (c *catalogue) hide(id string) *document {
	before := c.documents[id]
	if before == nil {
		return nil
	}
	delete(c.documents, id)
	for _, slot := range before.slots {
		c.visible.clear(slot)
	}
	c.shown -= len(before.slots)
	return before
}

// release frees a slot that isn't shown.
func (c *catalogue) release(slot uint32) {
	c.passages[slot] = passage{}
	c.free = append(c.free, slot)
	c.used--
}

// meeting gives the slots that are shown and meet the filter; all tells that those are
// all that are used.
func (c *catalogue) meeting(filter []storage.Condition) (keep bitmap, all bool) {
	if len(filter) == 0 {
		return c.visible, c.shown == c.used
	}
	keep = make(bitmap, len(c.visible))
	scratch := map[string]any{}
	for _, d := range c.documents {
		if d.meets(filter, scratch) {
			for _, slot := range d.slots {
				keep.set(slot)
			}
		}
	}
	return keep, false
}

// meets is storage.Meets of the document's metadata; a map of those that the filter names
// is made in scratch.
func (d *document) meets(filter []storage.Condition, scratch map[string]any) bool {
	clear(scratch)
	for _, p := range d.properties {
		if slices.ContainsFunc(filter, func(c storage.Condition) bool { return c.Property == p.name }) {
			scratch[p.name] = p.value
		}
	}
	return storage.Meets(scratch, filter)
}

func (c *catalogue) bytes() int {
	const perPassage, perDocument = 24 + 4, 200
	return len(c.passages)*perPassage + len(c.documents)*perDocument
}

// bitmap has a bit for each slot.
type bitmap []uint64

func (b *bitmap) set(slot uint32) {
	for int(slot/64) >= len(*b) {
		*b = append(*b, 0)
	}
	(*b)[slot/64] |= 1 << (slot % 64)
}

func (b bitmap) clear(slot uint32) {
	if int(slot/64) < len(b) {
		b[slot/64] &^= 1 << (slot % 64)
	}
}

func (b bitmap) has(slot uint32) bool {
	return int(slot/64) < len(b) && b[slot/64]>>(slot%64)&1 == 1
}
