package memory

import (
	"cmp"
	"context"
	"slices"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// read calls a function with what t has; it may be nil.
func (d *documents) read(t tenancy.ID, look func(l *library)) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if l := d.libraries[t.Identity()]; l != nil {
		look(l)
	}
}

func (d *documents) Document(ctx context.Context, t tenancy.ID, doc string) (found storage.Document, ok bool, err error) {
	if err := admit(ctx, t); err != nil {
		return found, false, err
	}
	if err := storage.CheckDocID(doc); err != nil {
		return found, false, err
	}
	d.read(t, func(l *library) {
		if have := l.docs[doc]; have != nil {
			found, ok = cloneDocument(have.Document), true
		}
	})
	return found, ok, nil
}

// after returns the documents with greater ids, in their order.
func (l *library) after(id string) []*published {
	var found []*published
	for _, have := range l.docs {
		if have.ID > id {
			found = append(found, have)
		}
	}
	slices.SortFunc(found, compareIDs)
	return found
}

func (d *documents) List(ctx context.Context, t tenancy.ID, limit int, cursor string) (page []storage.Document, next string, err error) {
	if err := admit(ctx, t); err != nil {
		return nil, "", err
	}
	if limit < 1 {
		return nil, "", storage.ErrBadLimit
	}
	after := ""
	if cursor != "" {
		if after, err = storage.ParseDocCursor(t, cursor); err != nil {
			return nil, "", err
		}
	}
	d.read(t, func(l *library) {
		for _, have := range l.after(after) {
			if len(page) == limit {
				next = storage.DocCursor(t, page[limit-1].ID)
				return
			}
			page = append(page, cloneDocument(have.Document))
		}
	})
	return page, next, nil
}

func (d *documents) Passages(ctx context.Context, t tenancy.ID, doc string, version int64, from, limit int, vectors bool) (found []storage.Passage, err error) {
	if err := admit(ctx, t); err != nil {
		return nil, err
	}
	if err := storage.CheckDocID(doc); err != nil {
		return nil, err
	}
	if limit < 1 {
		return nil, storage.ErrBadLimit
	}
	d.read(t, func(l *library) {
		if !l.isPublished(doc, version) {
			return
		}
		all := l.docs[doc].passages
		for _, p := range all[min(max(0, from), len(all)):] {
			if len(found) == limit {
				return
			}
			found = append(found, clonePassage(p, vectors))
		}
	})
	return found, nil
}

func (d *documents) Vectors(ctx context.Context, t tenancy.ID, keys []storage.PassageKey) ([][]float32, error) {
	if err := admit(ctx, t); err != nil {
		return nil, err
	}
	found := make([][]float32, len(keys))
	d.read(t, func(l *library) {
		for i, k := range keys {
			if l.isPublished(k.Doc, k.Version) && k.N >= 0 && k.N < len(l.docs[k.Doc].passages) {
				found[i] = slices.Clone(l.docs[k.Doc].passages[k.N].Vector)
			}
		}
	})
	return found, nil
}

func (d *documents) Head(ctx context.Context, t tenancy.ID) (head int64, err error) {
	if err := admit(ctx, t); err != nil {
		return 0, err
	}
	d.read(t, func(l *library) { head = l.head })
	return head, nil
}

func (d *documents) Changes(ctx context.Context, t tenancy.ID, since int64, limit int) (found []storage.Change, err error) {
	if err := admit(ctx, t); err != nil {
		return nil, err
	}
	if limit < 1 {
		return nil, storage.ErrBadLimit
	}
	head := int64(0)
	d.read(t, func(l *library) {
		head = l.head
		if since != 0 && since < l.forgotten {
			err = storage.ErrChangesForgotten
			return
		}
		for doc, have := range l.docs {
			if have.Change > since {
				now := cloneDocument(have.Document)
				found = append(found, storage.Change{Seq: have.Change, Doc: doc, Document: &now})
			}
		}
		for doc, g := range l.gone {
			if g.seq > since && since != 0 {
				found = append(found, storage.Change{Seq: g.seq, Doc: doc})
			}
		}
	})
	if err != nil || since > head {
		return nil, storage.ErrChangesForgotten
	}
	slices.SortFunc(found, func(a, b storage.Change) int { return cmp.Compare(a.Seq, b.Seq) })
	return found[:min(limit, len(found))], nil
}

func (d *documents) Await(ctx context.Context, t tenancy.ID, after int64) (int64, error) {
	if err := admit(ctx, t); err != nil {
		return 0, err
	}
	for {
		d.mu.Lock()
		l := d.library(t)
		head, changed := l.head, l.changed
		d.mu.Unlock()
		if head != after {
			return head, nil
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-changed:
		}
	}
}

func (d *documents) Totals(ctx context.Context, t tenancy.ID) (documents, passages int64, err error) {
	if err := admit(ctx, t); err != nil {
		return 0, 0, err
	}
	d.read(t, func(l *library) { documents, passages = int64(len(l.docs)), l.passages })
	return documents, passages, nil
}
