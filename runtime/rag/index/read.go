package index

import (
	"context"
	"fmt"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

// parcel is a part of a change, as it was read.
type parcel struct {
	storage.Change
	passages []storage.Passage
	prints   []uint64 // of the passages' texts
	// last of the change. One without all passages of its document tells that a later
	// change will bring the document.
	last bool
	// known: the index has this version.
	known bool
	err   error
}

// read sends all changes after since, and closes nothing. An error ends it.
func (x *Index) read(ctx context.Context, since int64, parcels chan<- parcel) {
	send := func(p parcel) bool {
		select {
		case parcels <- p:
			return p.err == nil
		case <-ctx.Done():
			return false
		}
	}
	for {
		changes, err := x.docs.Changes(ctx, x.tenant, since, changesRead)
		if err != nil {
			send(parcel{err: err})
			return
		}
		if len(changes) == 0 {
			return
		}
		for _, c := range changes {
			if !x.readOne(ctx, c, send) {
				return
			}
			since = c.Seq
		}
	}
}

// readOne sends one change and tells whether to go on.
func (x *Index) readOne(ctx context.Context, c storage.Change, send func(parcel) bool) bool {
	if c.Document == nil {
		return send(parcel{Change: c, last: true})
	}
	x.mu.RLock()
	have := x.documents[c.Doc]
	known := have != nil && have.version == c.Document.Version
	x.mu.RUnlock()
	if known {
		return send(parcel{Change: c, last: true, known: true})
	}
	for from := 0; ; {
		found, err := x.docs.Passages(ctx, x.tenant, c.Doc, c.Document.Version, from, passagesRead, x.options.Vectors == StoredVectors)
		if err != nil {
			return send(parcel{err: fmt.Errorf("reading passages: %w", err)})
		}
		from += len(found)
		last := len(found) == 0 || from >= c.Document.Passages
		prints := make([]uint64, len(found))
		for i, p := range found {
			prints[i] = fingerprint(p.Text)
		}
		if !send(parcel{Change: c, passages: found, prints: prints, last: last}) {
			return false
		}
		if last {
			return true
		}
	}
}
