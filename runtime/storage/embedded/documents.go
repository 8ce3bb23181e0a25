package embedded

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

const (
	// partBits is how many bits of a passage's id are its number.
	partBits = 20
	// A transaction takes this many passages or bytes of a Stage, so that a chat never
	// waits for a large one.
	stageAtOnce = 128
	stageBytes  = 512 << 10
	// stagedFor is how long a version that nothing is added to waits to be published.
	stagedFor = 24 * time.Hour
)

type documents struct{ s *Store }

// packed is a passage as it lies in the file.
type packed struct {
	n, page        int
	text, headings string
	vector         []byte
}

// pack orders passages by their numbers.
func pack(passages []storage.Passage) ([]packed, error) {
	rows := make([]packed, len(passages))
	for i, p := range passages {
		rows[i] = packed{n: p.N, page: p.Page, text: p.Text, vector: storage.PackVector(p.Vector)}
		if len(p.Headings) > 0 {
			text, err := json.Marshal(p.Headings)
			if err != nil {
				return nil, fmt.Errorf("spelling headings: %w", err)
			}
			rows[i].headings = string(text)
		}
	}
	slices.SortFunc(rows, func(a, b packed) int { return cmp.Compare(a.n, b.n) })
	return rows, nil
}

// slice is how many rows go into one transaction.
func slice(rows []packed) int {
	size := 0
	for n, r := range rows {
		if size += len(r.text) + len(r.vector); n > 0 && (n == stageAtOnce || size > stageBytes) {
			return n
		}
	}
	return len(rows)
}

func (d documents) NextVersion(ctx context.Context, t tenancy.ID) (version int64, err error) {
	if err := d.s.admit(ctx, t); err != nil {
		return 0, err
	}
	err = d.s.writer.write(ctx, &job{apply: func(tx *tx) (err error) {
		version, err = tx.nextVersion(t.Identity(), d.s.options.Now())
		return err
	}})
	return version, err
}

// nextVersion counts from the time in microseconds, so that numbers from before an erasure
// are old.
func (t *tx) nextVersion(tenant string, now time.Time) (version int64, err error) {
	_, err = t.one([]any{&version}, `INSERT INTO libraries (tenant, version, head, floor, forgotten, documents, passages)
		VALUES (?1, ?2 + 1, 0, ?2, ?2 + 1, 0, 0) ON CONFLICT (tenant) DO UPDATE SET version = version + 1 RETURNING version`, tenant, now.UnixMicro())
	return version, err
}

// Stage writes passages that none was staged in place of in several transactions: until
// the last of them the version can't be published with all of them. Those that replace
// others go in one.
func (d documents) Stage(ctx context.Context, t tenancy.ID, doc string, version int64, passages []storage.Passage) error {
	if err := d.s.admit(ctx, t); err != nil {
		return err
	}
	if err := storage.CheckStaged(doc, version, passages); err != nil {
		return err
	}
	rows, err := pack(passages)
	if err != nil {
		return err
	}
	for begun := false; len(rows) > 0; begun = true {
		took, err := d.stage(ctx, t.Identity(), doc, version, rows, begun)
		if err != nil {
			return err
		}
		rows = rows[took:]
	}
	return nil
}

// stage writes the first of rows and tells how many; all, if that is where a Stage begins
// and they replace others.
func (d documents) stage(ctx context.Context, tenant, doc string, version int64, rows []packed, begun bool) (took int, err error) {
	var refused error
	err = d.s.writer.write(ctx, &job{apply: func(tx *tx) error {
		took, refused = len(rows), nil
		at, err := tx.standing(tenant, doc)
		if err != nil || at.published == version {
			return err
		}
		if at.isOld(version) {
			refused = storage.ErrOldVersion
			return nil
		}
		next := 0
		if !begun {
			_, err = tx.one([]any{&next}, `SELECT next FROM parts WHERE tenant = ? AND doc = ? AND version = ?`, tenant, doc, version)
		}
		if err != nil {
			return err
		}
		if begun || rows[0].n >= next {
			took = slice(rows)
		}
		refused, err = tx.stage(tenant, doc, version, rows[:took], d.s.options.Now())
		return err
	}})
	if err == nil {
		err = refused
	}
	return took, err
}

// standing is what a version of a document must be held against.
type standing struct {
	given, floor, published, removed int64
	// part is what is published, passages how many that has, created when its first version
	// was; source is the version it has in the store that it was loaded from.
	part, passages, created, updated, source int64
}

func (at standing) isOld(version int64) bool {
	return version <= at.floor || version > at.given || version <= at.removed || version < at.published
}

func (t *tx) standing(tenant, doc string) (at standing, err error) {
	_, err = t.one([]any{&at.given, &at.floor, &at.removed, &at.published, &at.part, &at.passages, &at.created, &at.updated, &at.source},
		`SELECT coalesce(l.version, 0), coalesce(l.floor, 0), coalesce(r.floor, 0),
		coalesce(d.version, 0), coalesce(d.part, 0), coalesce(d.passages, 0), coalesce(d.created, 0), coalesce(d.updated, 0), coalesce(d.source, 0)
		FROM (SELECT 1) LEFT JOIN libraries l ON l.tenant = ?1
		LEFT JOIN removals r ON r.tenant = ?1 AND r.doc = ?2 LEFT JOIN documents d ON d.tenant = ?1 AND d.doc = ?2`, tenant, doc)
	return at, err
}

// stage writes rows, in the order of their numbers. What it refuses has left nothing.
func (t *tx) stage(tenant, doc string, version int64, rows []packed, now time.Time) (refused, err error) {
	var part, dimensions, passages, next int64
	_, err = t.one([]any{&part, &dimensions, &passages, &next}, `INSERT INTO parts (tenant, doc, version, dimensions, passages, next, latest)
		VALUES (?, ?, ?, ?, 0, 0, ?) ON CONFLICT (tenant, doc, version) DO UPDATE SET latest = excluded.latest
		RETURNING id, dimensions, passages, next`, tenant, doc, version, len(rows[0].vector)/4, now.UnixMilli())
	if err != nil {
		return nil, err
	}
	if int(dimensions) != len(rows[0].vector)/4 {
		return fmt.Errorf("%w: its first passages have vectors of %d dimensions", storage.ErrBadDocument, dimensions), nil
	}
	for _, r := range rows {
		id, there := part<<partBits+int64(r.n), false
		if int64(r.n) < next {
			var one int
			if there, err = t.one([]any{&one}, `SELECT 1 FROM passages WHERE id = ?`, id); err != nil {
				return nil, err
			}
		}
		if !there {
			passages++
		}
		next = max(next, int64(r.n)+1)
		if _, err := t.do(`INSERT OR REPLACE INTO passages (id, text, headings, page) VALUES (?, ?, ?, ?)`, id, r.text, r.headings, r.page); err != nil {
			return nil, err
		}
		if r.vector == nil {
			continue
		}
		if _, err := t.do(`INSERT OR REPLACE INTO vectors (id, vector) VALUES (?, ?)`, id, r.vector); err != nil {
			return nil, err
		}
	}
	_, err = t.do(`UPDATE parts SET passages = ?, next = ? WHERE id = ?`, passages, next, part)
	return nil, err
}

func (d documents) Publish(ctx context.Context, t tenancy.ID, doc storage.Document) (kept storage.Document, err error) {
	if err := d.s.admit(ctx, t); err != nil {
		return kept, err
	}
	if err := storage.CheckDocument(doc); err != nil {
		return kept, err
	}
	var refused error
	err = d.s.writer.write(ctx, &job{
		apply: func(tx *tx) error {
			kept, refused = doc, nil
			at, err := tx.standing(t.Identity(), doc.ID)
			switch {
			case err != nil:
				return err
			case at.published == doc.Version:
				kept, err = tx.document(t, doc.ID)
				return err
			case at.isOld(doc.Version):
				refused = storage.ErrOldVersion
				return nil
			}
			kept.Created = doc.Updated
			if at.published != 0 {
				kept.Created = time.UnixMilli(at.created)
			}
			refused, err = tx.publish(t.Identity(), &kept, doc.Version, at)
			return err
		},
		committed: func() { d.s.changes.tell(t.Identity()) },
	})
	if err == nil {
		err = refused
	}
	if err != nil {
		return storage.Document{}, err
	}
	return kept, nil
}

// publish makes what is staged as a version the document's, and sets what is the store's.
// What it refuses has left nothing.
func (t *tx) publish(tenant string, d *storage.Document, stagedAs int64, at standing) (refused, err error) {
	var part, passages, next int64
	_, err = t.one([]any{&part, &passages, &next}, `SELECT id, passages, next FROM parts WHERE tenant = ? AND doc = ? AND version = ?`, tenant, d.ID, stagedAs)
	if err != nil {
		return nil, err
	}
	end := part<<partBits + int64(d.Passages)
	if passages >= int64(d.Passages) && next > int64(d.Passages) {
		_, err = t.one([]any{&passages}, `SELECT count(*) FROM passages WHERE id >= ? AND id < ?`, part<<partBits, end)
	}
	if err != nil {
		return nil, err
	}
	if passages < int64(d.Passages) {
		return storage.ErrIncomplete, nil
	}
	if next > int64(d.Passages) {
		if err := t.dropPassages(end, (part+1)<<partBits); err != nil {
			return nil, err
		}
	}
	if err := t.dropParts(`tenant = ? AND doc = ? AND version < ? AND id <> ?`, tenant, d.ID, d.Version, part); err != nil {
		return nil, err
	}
	return nil, t.putDocument(tenant, d, part, stagedAs, at)
}

func (t *tx) putDocument(tenant string, d *storage.Document, part, stagedAs int64, at standing) error {
	d.Created, d.Updated = time.UnixMilli(d.Created.UnixMilli()).UTC(), time.UnixMilli(d.Updated.UnixMilli()).UTC()
	text, err := json.Marshal(about{d.Title, d.URL, d.Source, d.Metadata, d.ContentType, d.EmbeddingModel})
	if err != nil {
		return fmt.Errorf("spelling a document: %w", err)
	}
	isNew := 0
	if at.published == 0 {
		isNew = 1
	}
	_, err = t.one([]any{&d.Change}, `UPDATE libraries SET head = max(head, floor) + 1, documents = documents + ?, passages = passages + ?
		WHERE tenant = ? RETURNING head`, isNew, int64(d.Passages)-at.passages, tenant)
	if err != nil {
		return err
	}
	if _, err := t.do(`UPDATE parts SET version = ?, passages = ?, next = ? WHERE id = ?`, d.Version, d.Passages, d.Passages, part); err != nil {
		return err
	}
	if _, err := t.do(`INSERT INTO documents (tenant, doc, part, version, source, change, created, updated, passages, bytes, about)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (tenant, doc) DO UPDATE SET part = excluded.part, version = excluded.version,
		source = excluded.source, change = excluded.change, created = excluded.created, updated = excluded.updated,
		passages = excluded.passages, bytes = excluded.bytes, about = excluded.about`,
		tenant, d.ID, part, d.Version, max(0, -stagedAs), d.Change, d.Created.UnixMilli(), d.Updated.UnixMilli(), d.Passages, d.Bytes, string(text)); err != nil {
		return err
	}
	_, err = t.do(`DELETE FROM removals WHERE tenant = ? AND doc = ?`, tenant, d.ID)
	return err
}

func (d documents) Remove(ctx context.Context, t tenancy.ID, doc string) (there bool, err error) {
	if err := d.s.admit(ctx, t); err != nil {
		return false, err
	}
	if err := storage.CheckDocID(doc); err != nil {
		return false, err
	}
	err = d.s.writer.write(ctx, &job{
		apply: func(tx *tx) (err error) {
			there, err = tx.remove(t.Identity(), doc, d.s.options.Now())
			return err
		},
		committed: func() { d.s.changes.tell(t.Identity()) },
	})
	return there, err
}

func (t *tx) remove(tenant, doc string, now time.Time) (there bool, err error) {
	at, err := t.standing(tenant, doc)
	if err != nil || at.given == 0 {
		return false, err
	}
	change := int64(0)
	if there = at.published != 0; there {
		_, err = t.one([]any{&change}, `UPDATE libraries SET head = max(head, floor) + 1, documents = documents - 1, passages = passages - ?
			WHERE tenant = ? RETURNING head`, at.passages, tenant)
		if err == nil {
			_, err = t.do(`DELETE FROM documents WHERE tenant = ? AND doc = ?`, tenant, doc)
		}
	}
	if err == nil {
		err = t.dropParts(`tenant = ? AND doc = ?`, tenant, doc)
	}
	if err != nil {
		return false, err
	}
	_, err = t.do(`INSERT INTO removals (tenant, doc, change, floor, at) VALUES (?, ?, ?, ?, ?) ON CONFLICT (tenant, doc) DO UPDATE SET
		change = max(change, excluded.change), floor = excluded.floor, at = excluded.at`, tenant, doc, change, at.given, now.UnixMilli())
	return there, err
}
