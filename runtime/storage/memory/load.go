package memory

import (
	"fmt"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// part names what is staged of one document of the store that it comes from.
type part struct {
	doc     string
	version int64
}

// load takes the documents among records in, or refuses them all.
func (d *documents) load(t tenancy.ID, records []storage.Record) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.library(t)
	if err := d.loadable(l, records); err != nil {
		return err
	}
	for _, r := range records {
		switch {
		case r.Passages != nil:
			passages, err := r.Passages.Unpack()
			if err != nil {
				return err
			}
			if err := d.stage(l, r.Passages.Doc, -r.Passages.Version, passages); err != nil {
				return err
			}
		case r.Document != nil:
			doc := *r.Document
			if l.isLoaded(doc) {
				d.unstage(l, doc.ID, func(version int64) bool { return version == -doc.Version })
				continue
			}
			from := -doc.Version
			doc.Version = l.next(d.now())
			if err := d.publish(l, doc, from); err != nil {
				return err
			}
		}
	}
	return nil
}

// isLoaded tells whether what is published is this very version of the other store.
func (l *library) isLoaded(doc storage.Document) bool {
	have := l.docs[doc.ID]
	return have != nil && have.source == doc.Version && have.Updated.Equal(millis(doc.Updated)) && have.Passages == doc.Passages
}

// loadable tells, before anything is done, whether all can be taken in.
func (d *documents) loadable(l *library, records []storage.Record) error {
	staged, vectors, bytes := map[part]map[int]bool{}, map[part]int{}, int64(0)
	of := func(p part) map[int]bool {
		if staged[p] == nil {
			staged[p] = map[int]bool{}
			if have := l.staged[p.doc][-p.version]; have != nil {
				vectors[p] = have.vector
				for n := range have.passages {
					staged[p][n] = true
				}
			}
		}
		return staged[p]
	}
	for _, r := range records {
		switch {
		case r.Passages != nil:
			p := part{r.Passages.Doc, r.Passages.Version}
			for _, passage := range r.Passages.Passages {
				if len(of(p)) > 0 && vectors[p] != len(passage.Vector)/4 {
					return fmt.Errorf("%w: passages of one version have vectors of different lengths", storage.ErrBadRecord)
				}
				vectors[p] = len(passage.Vector) / 4
				of(p)[passage.N] = true
				bytes += int64(passageBytes + len(passage.Text) + len(passage.Vector))
			}
		case r.Document != nil:
			p := part{r.Document.ID, r.Document.Version}
			for n := range r.Document.Passages {
				if !l.isLoaded(*r.Document) && !of(p)[n] {
					return fmt.Errorf("loading document: %w", storage.ErrIncomplete)
				}
			}
		}
	}
	if bytes > 0 && d.bytes+bytes > d.max {
		return fmt.Errorf("%w: documents in memory have %d bytes at most", storage.ErrUnavailable, d.max)
	}
	return nil
}
