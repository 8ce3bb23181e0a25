package embedded

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// passagesBytes is about how much of texts and vectors one page has.
const passagesBytes = 4 << 20

// about is what nobody looks a document up by.
type about struct {
	Title          string         `json:"title,omitempty"`
	URL            string         `json:"url,omitempty"`
	Source         string         `json:"source,omitempty"`
	Metadata       map[string]any `json:"metadata,omitempty"`
	ContentType    string         `json:"contentType,omitempty"`
	EmbeddingModel string         `json:"embeddingModel,omitempty"`
}

const documentColumns = `d.tenant, d.doc, d.version, d.change, d.created, d.updated, d.passages, d.bytes, d.about`

// scanDocument reads documentColumns, and others before them.
func scanDocument(scan func(...any) error, t tenancy.ID, others ...any) (d storage.Document, err error) {
	var owner, text string
	var created, updated int64
	if err := scan(append(others, &owner, &d.ID, &d.Version, &d.Change, &created, &updated, &d.Passages, &d.Bytes, &text)...); err != nil {
		return d, err
	}
	if owner != t.Identity() {
		return d, fmt.Errorf("%w: a document of another tenant is read", ErrCorrupt)
	}
	var a about
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		return d, fmt.Errorf("%w: a document can't be read", ErrCorrupt)
	}
	d.Title, d.URL, d.Source, d.Metadata, d.ContentType, d.EmbeddingModel = a.Title, a.URL, a.Source, a.Metadata, a.ContentType, a.EmbeddingModel
	d.Created, d.Updated = time.UnixMilli(created).UTC(), time.UnixMilli(updated).UTC()
	return d, nil
}

const oneDocument = `SELECT ` + documentColumns + ` FROM documents d WHERE d.tenant = ? AND d.doc = ?`

// document reads one on the writer's connection; there must be one.
func (t *tx) document(owner tenancy.ID, doc string) (storage.Document, error) {
	s, err := t.query(oneDocument)
	if err != nil {
		return storage.Document{}, err
	}
	return scanDocument(s.QueryRowContext(context.Background(), owner.Identity(), doc).Scan, owner)
}

func (d documents) Document(ctx context.Context, t tenancy.ID, doc string) (found storage.Document, there bool, err error) {
	if err := d.s.admit(ctx, t); err != nil {
		return found, false, err
	}
	if err := storage.CheckDocID(doc); err != nil {
		return found, false, err
	}
	err = d.s.reader.each(ctx, func(r *sql.Rows) (err error) {
		there = true
		found, err = scanDocument(r.Scan, t)
		return err
	}, oneDocument, t.Identity(), doc)
	return found, there && err == nil, err
}

func (d documents) List(ctx context.Context, t tenancy.ID, limit int, cursor string) (page []storage.Document, next string, err error) {
	if err := d.s.admit(ctx, t); err != nil {
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
	// One row more than asked for tells whether there is a next page.
	err = d.s.reader.each(ctx, func(r *sql.Rows) error {
		found, err := scanDocument(r.Scan, t)
		if len(page) == limit {
			next = storage.DocCursor(t, page[limit-1].ID)
			return err
		}
		page = append(page, found)
		return err
	}, `SELECT `+documentColumns+` FROM documents d WHERE d.tenant = ? AND d.doc > ? ORDER BY d.doc LIMIT ?`, t.Identity(), after, limit+1)
	if err != nil {
		return nil, "", err
	}
	return page, next, nil
}

// One statement finds the version and reads its passages, so that both are of one moment.
const (
	textsOf = `SELECT p.id & 0xfffff, p.text, p.headings, p.page, NULL FROM documents d
		JOIN passages p ON p.id >= (d.part << 20) + ?4 AND p.id < (d.part + 1) << 20
		WHERE d.tenant = ?1 AND d.doc = ?2 AND d.version = ?3 ORDER BY p.id LIMIT ?5`
	textsAndVectorsOf = `SELECT p.id & 0xfffff, p.text, p.headings, p.page, v.vector FROM documents d
		JOIN passages p ON p.id >= (d.part << 20) + ?4 AND p.id < (d.part + 1) << 20 LEFT JOIN vectors v ON v.id = p.id
		WHERE d.tenant = ?1 AND d.doc = ?2 AND d.version = ?3 ORDER BY p.id LIMIT ?5`
)

func (d documents) Passages(ctx context.Context, t tenancy.ID, doc string, version int64, from, limit int, vectors bool) (found []storage.Passage, err error) {
	if err := d.s.admit(ctx, t); err != nil {
		return nil, err
	}
	if err := storage.CheckDocID(doc); err != nil {
		return nil, err
	}
	if limit < 1 {
		return nil, storage.ErrBadLimit
	}
	query := textsOf
	if vectors {
		query = textsAndVectorsOf
	}
	size := 0
	err = d.s.reader.each(ctx, func(r *sql.Rows) error {
		p, err := scanPassage(r)
		if err != nil {
			return err
		}
		found = append(found, p)
		if size += len(p.Text) + 4*len(p.Vector); size >= passagesBytes {
			return errEnough
		}
		return nil
	}, query, t.Identity(), doc, version, min(max(0, from), storage.MaxPassages), min(limit, storage.MaxPassages))
	if err != nil {
		return nil, err
	}
	return found, nil
}

func scanPassage(r *sql.Rows) (p storage.Passage, err error) {
	var headings string
	var vector sql.RawBytes
	if err := r.Scan(&p.N, &p.Text, &headings, &p.Page, &vector); err != nil {
		return p, err
	}
	if headings != "" {
		if err := json.Unmarshal([]byte(headings), &p.Headings); err != nil {
			return p, fmt.Errorf("%w: headings can't be read", ErrCorrupt)
		}
	}
	var whole bool
	if p.Vector, whole = storage.UnpackVector(vector); !whole {
		return p, fmt.Errorf("%w: half a vector", ErrCorrupt)
	}
	return p, nil
}

// Vectors asks for all keys in one statement: those are a moment of the file, and one
// statement costs what five look-ups do.
func (d documents) Vectors(ctx context.Context, t tenancy.ID, keys []storage.PassageKey) ([][]float32, error) {
	if err := d.s.admit(ctx, t); err != nil {
		return nil, err
	}
	found := make([][]float32, len(keys))
	asked := make([][3]any, 0, len(keys))
	places := make([]int, 0, len(keys))
	for i, k := range keys {
		// Another number would spell another part's passage.
		if k.N >= 0 && k.N < storage.MaxPassages && storage.CheckDocID(k.Doc) == nil {
			asked, places = append(asked, [3]any{k.Doc, k.Version, k.N}), append(places, i)
		}
	}
	if len(asked) == 0 {
		return found, nil
	}
	text, err := json.Marshal(asked)
	if err != nil {
		return nil, fmt.Errorf("asking for vectors: %w", err)
	}
	err = d.s.reader.each(ctx, func(r *sql.Rows) error {
		var at int
		var vector sql.RawBytes
		if err := r.Scan(&at, &vector); err != nil {
			return err
		}
		v, whole := storage.UnpackVector(vector)
		if !whole {
			return fmt.Errorf("%w: half a vector", ErrCorrupt)
		}
		found[places[at]] = v
		return nil
	}, `SELECT k.key, v.vector FROM json_each(?2) k
		CROSS JOIN documents d ON d.tenant = ?1 AND d.doc = k.value ->> 0 AND d.version = k.value ->> 1
		CROSS JOIN vectors v ON v.id = (d.part << 20) + (k.value ->> 2)`, t.Identity(), string(text))
	if err != nil {
		return nil, err
	}
	return found, nil
}

func (d documents) Head(ctx context.Context, t tenancy.ID) (head int64, err error) {
	if err := d.s.admit(ctx, t); err != nil {
		return 0, err
	}
	err = d.s.reader.each(ctx, func(r *sql.Rows) error { return r.Scan(&head) }, `SELECT head FROM libraries WHERE tenant = ?`, t.Identity())
	return head, err
}

func (d documents) Totals(ctx context.Context, t tenancy.ID) (documents, passages int64, err error) {
	if err := d.s.admit(ctx, t); err != nil {
		return 0, 0, err
	}
	err = d.s.reader.each(ctx, func(r *sql.Rows) error { return r.Scan(&documents, &passages) },
		`SELECT documents, passages FROM libraries WHERE tenant = ?`, t.Identity())
	return documents, passages, err
}

// changesOf gives at least one row: the head and what is forgotten belong to the moment of
// the changes.
const changesOf = `SELECT coalesce(l.head, 0), coalesce(l.forgotten, 0), coalesce(c.seq, 0), coalesce(c.name, ''), d.doc IS NOT NULL,
	?1, coalesce(d.doc, ''), coalesce(d.version, 0), coalesce(d.change, 0), coalesce(d.created, 0), coalesce(d.updated, 0),
	coalesce(d.passages, 0), coalesce(d.bytes, 0), coalesce(d.about, '{}')
	FROM (SELECT 1) LEFT JOIN libraries l ON l.tenant = ?1
	LEFT JOIN (SELECT change AS seq, doc AS name FROM documents WHERE tenant = ?1 AND change > ?2
		UNION ALL SELECT change, doc FROM removals WHERE tenant = ?1 AND change > ?2 AND ?2 <> 0 ORDER BY 1 LIMIT ?3) c
	LEFT JOIN documents d ON d.tenant = ?1 AND d.doc = c.name ORDER BY c.seq`

func (d documents) Changes(ctx context.Context, t tenancy.ID, since int64, limit int) ([]storage.Change, error) {
	if err := d.s.admit(ctx, t); err != nil {
		return nil, err
	}
	if limit < 1 {
		return nil, storage.ErrBadLimit
	}
	var found []storage.Change
	forgotten := false
	err := d.s.reader.each(ctx, func(r *sql.Rows) error {
		var head, oldest int64
		var c storage.Change
		var there bool
		doc, err := scanDocument(r.Scan, t, &head, &oldest, &c.Seq, &c.Doc, &there)
		if err != nil {
			return err
		}
		forgotten = since > head || since != 0 && since < oldest
		if there {
			c.Document = &doc
		}
		if c.Seq != 0 {
			found = append(found, c)
		}
		return nil
	}, changesOf, t.Identity(), since, limit)
	if err != nil {
		return nil, err
	}
	if forgotten {
		return nil, storage.ErrChangesForgotten
	}
	return found, nil
}

func (d documents) Await(ctx context.Context, t tenancy.ID, after int64) (int64, error) {
	for {
		changed := d.s.changes.next(t.Identity())
		head, err := d.Head(ctx, t)
		if err != nil || head != after {
			return head, err
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-d.s.writer.stopped:
			return 0, unavailable(ReasonClosed, os.ErrClosed)
		case <-changed:
		}
	}
}

// changes wakes those who wait for a tenant's documents to change.
type changes struct {
	mu      sync.Mutex
	waiting map[string]chan struct{}
}

// next is closed by the next change.
func (c *changes) next(tenant string) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting == nil {
		c.waiting = map[string]chan struct{}{}
	}
	if c.waiting[tenant] == nil {
		c.waiting[tenant] = make(chan struct{})
	}
	return c.waiting[tenant]
}

func (c *changes) tell(tenant string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if waiting := c.waiting[tenant]; waiting != nil {
		close(waiting)
		delete(c.waiting, tenant)
	}
}
