package index

import (
	"strings"
	"sync"

	"github.com/crispy-enigma/crispy-enigma/runtime/rag/vectorindex"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

// batch is how many passages are indexed under one lock: a search waits a millisecond
// or two.
const batch = 32

// index takes passages in, with their fingerprints; they aren't shown yet.
func (x *Index) index(d *document, about storage.Document, passages []storage.Passage, prints []uint64) {
	for len(passages) > 0 {
		some := passages[:min(batch, len(passages))]
		passages = passages[len(some):]
		folded := make([][]float32, len(some))
		for i, p := range some {
			if x.learnt != nil { // who leads alone replaces it
				folded[i] = x.learnt.model.Fold(p.Text, surroundings(about, p)...)
			}
		}
		x.insert(d, about, some, prints, folded)
		prints = prints[len(some):]
	}
}

// insert indexes some passages under one lock: words here, vectors beside.
func (x *Index) insert(d *document, about storage.Document, some []storage.Passage, prints []uint64, folded [][]float32) {
	x.mu.Lock()
	defer x.mu.Unlock()
	slots := make([]uint32, len(some))
	for i := range some {
		slots[i] = x.place(d, prints[i])
	}
	var vectors sync.WaitGroup
	if x.options.Vectors != NoVectors {
		vectors.Go(func() {
			for i, slot := range slots {
				x.keepVector(slot, about, some[i].Vector)
				if folded[i] != nil {
					_ = x.learnt.vectors.Set(slot, folded[i]) // a unit vector of the model's dimensions
				}
			}
		})
	}
	for i, slot := range slots {
		x.text.Add(slot, some[i].Text, surroundings(about, some[i])...)
	}
	vectors.Wait()
}

// forget frees the slots of a document that isn't shown; nil is none.
func (x *Index) forget(d *document) {
	if d == nil {
		return
	}
	for slots := d.slots; len(slots) > 0; {
		some := slots[:min(batch, len(slots))]
		slots = slots[len(some):]
		x.mu.Lock()
		for _, slot := range some {
			x.text.Remove(slot)
			if x.vectors != nil {
				x.vectors.Remove(slot)
			}
			if x.learnt != nil {
				x.learnt.vectors.Remove(slot)
			}
			x.release(slot)
		}
		x.mu.Unlock()
	}
}

// surroundings are the texts that a passage is found by beside its own.
func surroundings(d storage.Document, p storage.Passage) []string {
	if d.Title == "" {
		return p.Headings
	}
	return append([]string{d.Title}, p.Headings...)
}

// keepVector keeps a stored vector, if it is one that queries can be compared with.
func (x *Index) keepVector(slot uint32, d storage.Document, v []float32) {
	if x.options.Vectors != StoredVectors || len(v) == 0 || d.EmbeddingModel != x.options.Model {
		return
	}
	if x.options.Dimensions == 0 && (x.vectors == nil || x.vectors.Len() == 0 && x.vectors.Dimensions() != len(v)) {
		made, err := vectorindex.New(len(v))
		if err != nil {
			return // more dimensions than can be scanned: found by words alone
		}
		x.vectors = made
	}
	if x.vectors.Set(slot, v) != nil {
		x.vectors.Remove(slot) // of another length: found by words alone
	}
}

// fingerprint is the same for passages that differ in white space and the case of ASCII
// letters alone.
func fingerprint(text string) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211 // FNV-1a
	h, space := uint64(offset), false
	text = strings.TrimSpace(text)
	for i := range len(text) {
		b := text[i]
		switch {
		case b <= ' ':
			space = true
			continue
		case 'A' <= b && b <= 'Z':
			b |= 'a' - 'A'
		}
		if space {
			h, space = (h^' ')*prime, false
		}
		h = (h ^ uint64(b)) * prime
	}
	return h
}
