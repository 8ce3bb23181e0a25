package storagetest_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

var publishesAnyway = bend(func(in storage.Documents, out *docsBy) {
	out.publish = func(ctx context.Context, t tenancy.ID, d storage.Document) (storage.Document, error) {
		kept, err := in.Publish(ctx, t, d)
		for n := d.Passages - 1; errors.Is(err, storage.ErrIncomplete) && n > 0; n-- {
			d.Passages = n
			kept, err = in.Publish(ctx, t, d)
		}
		return kept, err
	}
})

var publishesTwice = bend(func(in storage.Documents, out *docsBy) {
	out.publish = func(ctx context.Context, t tenancy.ID, d storage.Document) (storage.Document, error) {
		if have, there, err := in.Document(ctx, t, d.ID); err != nil || !there || have.Version != d.Version {
			return in.Publish(ctx, t, d)
		}
		p, err := in.Passages(ctx, t, d.ID, d.Version, 0, 1000, true)
		if err != nil {
			return d, err
		}
		return again(ctx, in, t, d, p)
	}
})

// anyVersion gives what comes too late a version of its own.
var anyVersion = bend(func(in storage.Documents, out *docsBy) {
	out.stage = func(ctx context.Context, t tenancy.ID, doc string, version int64, p []storage.Passage) error {
		err := in.Stage(ctx, t, doc, version, p)
		if errors.Is(err, storage.ErrOldVersion) {
			return nil
		}
		return err
	}
	out.publish = func(ctx context.Context, t tenancy.ID, d storage.Document) (storage.Document, error) {
		kept, err := in.Publish(ctx, t, d)
		if errors.Is(err, storage.ErrOldVersion) {
			return again(ctx, in, t, d, slices.Repeat([]storage.Passage{{Text: "late"}}, 1))
		}
		return kept, err
	}
})

func keepsOldPassages(s storage.Store) storage.Store {
	return bend(func(in storage.Documents, out *docsBy) {
		var before sync.Map // [2]string{tenant, doc} → the passages of the version before
		out.publish = func(ctx context.Context, t tenancy.ID, d storage.Document) (storage.Document, error) {
			if have, there, err := in.Document(ctx, t, d.ID); err == nil && there && have.Version < d.Version {
				if p, err := in.Passages(ctx, t, d.ID, have.Version, 0, 1000, true); err == nil {
					before.Store([2]string{t.Identity(), d.ID}, p)
				}
			}
			return in.Publish(ctx, t, d)
		}
		out.passages = func(ctx context.Context, t tenancy.ID, doc string, version int64, from, limit int, vectors bool) ([]storage.Passage, error) {
			now, err := in.Passages(ctx, t, doc, version, from, limit, vectors)
			if old, ok := before.Load([2]string{t.Identity(), doc}); ok && err == nil {
				for _, p := range old.([]storage.Passage) {
					if p.N >= from+len(now) && len(now) < limit {
						now = append(now, p)
					}
				}
			}
			return now, err
		}
	})(s)
}

// mixesPassages reads whatever version is there.
var mixesPassages = bend(func(in storage.Documents, out *docsBy) {
	out.passages = func(ctx context.Context, t tenancy.ID, doc string, _ int64, from, limit int, vectors bool) (all []storage.Passage, err error) {
		for len(all) < limit {
			d, there, err := in.Document(ctx, t, doc)
			if err != nil || !there {
				return all, err
			}
			one, err := in.Passages(ctx, t, doc, d.Version, from+len(all), 1, vectors)
			if err != nil || len(one) == 0 {
				return all, err
			}
			all = append(all, one...)
		}
		return all, nil
	}
})

var removesFirst = bend(func(in storage.Documents, out *docsBy) {
	out.publish = func(ctx context.Context, t tenancy.ID, d storage.Document) (storage.Document, error) {
		if _, err := in.Remove(ctx, t, d.ID); err != nil {
			return d, err
		}
		return again(ctx, in, t, d, []storage.Passage{{Text: "x"}})
	}
})

func findsStaged(s storage.Store) storage.Store {
	return bend(func(in storage.Documents, out *docsBy) {
		var staged sync.Map
		out.stage = func(ctx context.Context, t tenancy.ID, doc string, version int64, p []storage.Passage) error {
			for _, one := range p {
				staged.Store(storage.PassageKey{Doc: t.Identity() + doc, Version: version, N: one.N}, one.Vector)
			}
			return in.Stage(ctx, t, doc, version, p)
		}
		out.vectors = func(ctx context.Context, t tenancy.ID, keys []storage.PassageKey) ([][]float32, error) {
			found, err := in.Vectors(ctx, t, keys)
			for i, k := range keys {
				k.Doc = t.Identity() + k.Doc
				if v, ok := staged.Load(k); ok && err == nil {
					found[i] = v.([]float32)
				}
			}
			return found, err
		}
	})(s)
}

var stagesOneByOne = bend(func(in storage.Documents, out *docsBy) {
	out.stage = func(ctx context.Context, t tenancy.ID, doc string, version int64, p []storage.Passage) error {
		for i := range p {
			if err := in.Stage(ctx, t, doc, version, p[i:i+1]); err != nil {
				return err
			}
		}
		return nil
	}
})

func stagesOnce(s storage.Store) storage.Store {
	return bend(func(in storage.Documents, out *docsBy) {
		var staged sync.Map
		out.stage = func(ctx context.Context, t tenancy.ID, doc string, version int64, p []storage.Passage) error {
			p = slices.DeleteFunc(slices.Clone(p), func(one storage.Passage) bool {
				_, there := staged.LoadOrStore(storage.PassageKey{Doc: t.Identity() + doc, Version: version, N: one.N}, nil)
				return there
			})
			return in.Stage(ctx, t, doc, version, p)
		}
	})(s)
}

// removalForgotten takes what began before a removal as if there had been none.
var removalForgotten = bend(func(in storage.Documents, out *docsBy) {
	out.stage = func(ctx context.Context, t tenancy.ID, doc string, version int64, p []storage.Passage) error {
		err := in.Stage(ctx, t, doc, version, p)
		if _, there, _ := in.Document(ctx, t, doc); errors.Is(err, storage.ErrOldVersion) && !there {
			return nil
		}
		return err
	}
})

var clockVersions = bend(func(_ storage.Documents, out *docsBy) {
	out.next = func(context.Context, tenancy.ID) (int64, error) { return time.Now().UnixMilli(), nil }
})

var cutList = bend(func(in storage.Documents, out *docsBy) {
	out.list = func(ctx context.Context, t tenancy.ID, limit int, cursor string) ([]storage.Document, string, error) {
		return in.List(ctx, t, min(limit, 10), "")
	}
})

var anyDocCursor = bend(func(in storage.Documents, out *docsBy) {
	out.list = func(ctx context.Context, t tenancy.ID, limit int, cursor string) ([]storage.Document, string, error) {
		page, next, err := in.List(ctx, t, limit, cursor)
		if errors.Is(err, storage.ErrBadCursor) {
			return in.List(ctx, t, limit, "")
		}
		return page, next, err
	}
})

var laterPassages = bend(func(in storage.Documents, out *docsBy) {
	out.passages = func(ctx context.Context, t tenancy.ID, doc string, version int64, from, limit int, vectors bool) ([]storage.Passage, error) {
		if from > 0 {
			from++
		}
		return in.Passages(ctx, t, doc, version, from, limit, vectors)
	}
})

var alwaysVectors = bend(func(in storage.Documents, out *docsBy) {
	out.passages = func(ctx context.Context, t tenancy.ID, doc string, version int64, from, limit int, _ bool) ([]storage.Passage, error) {
		return in.Passages(ctx, t, doc, version, from, limit, true)
	}
})

var sortedVectors = bend(func(in storage.Documents, out *docsBy) {
	out.vectors = func(ctx context.Context, t tenancy.ID, keys []storage.PassageKey) ([][]float32, error) {
		keys = slices.Clone(keys)
		slices.SortFunc(keys, func(a, b storage.PassageKey) int { return strings.Compare(a.Doc, b.Doc)*2 + a.N - b.N })
		return in.Vectors(ctx, t, keys)
	}
})

var tellsRemovalsTwice = bend(func(in storage.Documents, out *docsBy) {
	out.changes = func(ctx context.Context, t tenancy.ID, since int64, limit int) ([]storage.Change, error) {
		found, err := in.Changes(ctx, t, since, limit)
		for i := range found {
			if found[i].Document == nil {
				found = slices.Insert(found, i, found[i])
				break
			}
		}
		return found, err
	}
})

var tellsNoRemovals = bend(func(in storage.Documents, out *docsBy) {
	out.changes = func(ctx context.Context, t tenancy.ID, since int64, limit int) ([]storage.Change, error) {
		found, err := in.Changes(ctx, t, since, limit)
		return slices.DeleteFunc(found, func(c storage.Change) bool { return c.Document == nil }), err
	}
})

// silently tells what there is when changes are forgotten.
func silently(ctx context.Context, in storage.Documents, t tenancy.ID, since int64, limit int) ([]storage.Change, error) {
	found, err := in.Changes(ctx, t, since, limit)
	if !errors.Is(err, storage.ErrChangesForgotten) {
		return found, err
	}
	found, err = in.Changes(ctx, t, 0, 1000)
	found = slices.DeleteFunc(found, func(c storage.Change) bool { return c.Seq <= since })
	return found[:min(limit, len(found))], err
}

var forgetsSilently = bend(func(in storage.Documents, out *docsBy) {
	out.changes = func(ctx context.Context, t tenancy.ID, since int64, limit int) ([]storage.Change, error) {
		return silently(ctx, in, t, since, limit)
	}
})

var anySince = forgetsSilently

var neverWakes = bend(func(in storage.Documents, out *docsBy) {
	out.await = func(ctx context.Context, t tenancy.ID, after int64) (int64, error) {
		ctx, cancel := context.WithTimeout(ctx, 0)
		defer cancel()
		return in.Await(ctx, t, after)
	}
})

var waitsOn = bend(func(in storage.Documents, out *docsBy) {
	out.await = func(ctx context.Context, t tenancy.ID, after int64) (int64, error) {
		head, err := in.Await(ctx, t, after)
		if errors.Is(err, context.DeadlineExceeded) {
			return in.Head(context.WithoutCancel(ctx), t)
		}
		return head, err
	}
})

// joinedDocuments keeps all tenants' documents as one's, under ids that are joined.
func joinedDocuments(s storage.Store) storage.Store {
	return bend(func(in storage.Documents, out *docsBy) {
		join := func(t tenancy.ID, doc string) string { return t.Identity() + ":" + doc }
		plain := func(t tenancy.ID, d storage.Document) storage.Document {
			d.ID = strings.TrimPrefix(d.ID, t.Identity()+":")
			return d
		}
		out.next = func(ctx context.Context, _ tenancy.ID) (int64, error) { return in.NextVersion(ctx, everybody()) }
		out.stage = func(ctx context.Context, t tenancy.ID, doc string, version int64, p []storage.Passage) error {
			return in.Stage(ctx, everybody(), join(t, doc), version, p)
		}
		out.publish = func(ctx context.Context, t tenancy.ID, d storage.Document) (storage.Document, error) {
			d.ID = join(t, d.ID)
			d, err := in.Publish(ctx, everybody(), d)
			return plain(t, d), err
		}
		out.remove = func(ctx context.Context, t tenancy.ID, doc string) (bool, error) {
			return in.Remove(ctx, everybody(), join(t, doc))
		}
		out.document = func(ctx context.Context, t tenancy.ID, doc string) (storage.Document, bool, error) {
			d, there, err := in.Document(ctx, everybody(), join(t, doc))
			return plain(t, d), there, err
		}
		out.passages = func(ctx context.Context, t tenancy.ID, doc string, version int64, from, limit int, vectors bool) ([]storage.Passage, error) {
			return in.Passages(ctx, everybody(), join(t, doc), version, from, limit, vectors)
		}
	})(s)
}

func keepsDocuments(s storage.Store) storage.Store {
	p, in := plant(s), s.Portable()
	p.portable = portableBy{Portable: in, erase: func(ctx context.Context, t tenancy.ID) (int, error) {
		if _, _, err := s.Documents().Totals(ctx, t); err != nil {
			return 0, err
		}
		return 0, nil
	}}
	return p
}

func dumpsNoDocuments(s storage.Store) storage.Store {
	p, in := plant(s), s.Portable()
	p.portable = portableBy{Portable: in, dump: func(ctx context.Context, t tenancy.ID, from string, y yield) error {
		return in.Dump(ctx, t, from, func(r storage.Record, next string) error {
			if r.Document != nil || r.Passages != nil {
				return nil
			}
			return y(r, next)
		})
	}}
	return p
}

func dumpsDocumentsFirst(s storage.Store) storage.Store {
	p, in := plant(s), s.Portable()
	p.portable = portableBy{Portable: in, dump: func(ctx context.Context, t tenancy.ID, from string, y yield) error {
		type held struct {
			r    storage.Record
			next string
		}
		var parts []held
		return in.Dump(ctx, t, from, func(r storage.Record, next string) error {
			if r.Passages != nil {
				parts = append(parts, held{r, next})
				return nil
			}
			err := y(r, next)
			for _, h := range parts {
				err = errors.Join(err, y(h.r, h.next))
			}
			parts = nil
			return err
		})
	}}
	return p
}

func loadsAnyway(s storage.Store) storage.Store {
	p, in := plant(s), s.Portable()
	p.portable = portableBy{Portable: in, load: func(ctx context.Context, t tenancy.ID, records []storage.Record) error {
		err := in.Load(ctx, t, records)
		if errors.Is(err, storage.ErrIncomplete) {
			return nil
		}
		return err
	}}
	return p
}

// loadsOldVersions publishes at a version that others begun later may go over.
func loadsOldVersions(s storage.Store) storage.Store {
	p, in := plant(s), s.Portable()
	versions := map[string]int64{}
	var mu sync.Mutex
	p.docs = docsBy{Documents: s.Documents(), document: func(ctx context.Context, t tenancy.ID, doc string) (storage.Document, bool, error) {
		d, there, err := s.Documents().Document(ctx, t, doc)
		mu.Lock()
		defer mu.Unlock()
		if v, loaded := versions[doc]; loaded {
			d.Version = v
		}
		return d, there, err
	}}
	p.portable = portableBy{Portable: in, load: func(ctx context.Context, t tenancy.ID, records []storage.Record) error {
		mu.Lock()
		found := map[string]int64{}
		for _, r := range records {
			if r.Document != nil {
				found[r.Document.ID] = r.Document.Version
			}
		}
		maps.Copy(versions, found)
		mu.Unlock()
		return in.Load(ctx, t, records)
	}}
	return p
}
