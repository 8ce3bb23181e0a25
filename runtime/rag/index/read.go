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
	// whole ends a complete reading: all that there was at Seq has been sent.
	whole bool
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
	if since == 0 {
		var ok bool
		if since, ok = x.readAll(ctx, send); !ok {
			return
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

// readAll sends every document and gives the sequence number from which changes go on. The
// first changes of an old store can't be paged through: removals among them are forgotten.
func (x *Index) readAll(ctx context.Context, send func(parcel) bool) (head int64, ok bool) {
	head, err := x.docs.Head(ctx, x.tenant)
	if err != nil {
		return 0, send(parcel{err: fmt.Errorf("asking for the documents' latest change: %w", err)})
	}
	for cursor := ""; ; {
		found, next, err := x.docs.List(ctx, x.tenant, changesRead, cursor)
		if err != nil {
			return 0, send(parcel{err: fmt.Errorf("listing documents: %w", err)})
		}
		for i := range found {
			// Without a place among the changes: the list isn't in their order.
			if !x.readOne(ctx, storage.Change{Doc: found[i].ID, Document: &found[i]}, send) {
				return 0, false
			}
		}
		if cursor = next; cursor == "" {
			return head, send(parcel{Change: storage.Change{Seq: head}, whole: true, last: true})
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
