package postgres

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

const (
	// passagesBytes is how much text one page has, passagesAtOnce how many passages.
	passagesBytes  = 4 << 20
	passagesAtOnce = 1000
)

// about is what nobody looks a document up by.
type about struct {
	Title          string         `json:"title,omitempty"`
	URL            string         `json:"url,omitempty"`
	Source         string         `json:"source,omitempty"`
	Metadata       map[string]any `json:"metadata,omitempty"`
	ContentType    string         `json:"contentType,omitempty"`
	EmbeddingModel string         `json:"embeddingModel,omitempty"`
}

const (
	documentColumns = `d.tenant, d.doc, d.version, d.change, d.created, d.updated, d.passages, d.bytes, d.about`
	oneDocument     = `SELECT ` + documentColumns + ` FROM enigma.documents d WHERE d.tenant = $1 AND d.doc = $2`
)

// scanDocument reads documentColumns, and others before them.
func scanDocument(scan func(...any) error, tag string, others ...any) (d storage.Document, err error) {
	var got string
	var id, text []byte
	var created, updated int64
	if err := scan(append(others, &got, &id, &d.Version, &d.Change, &created, &updated, &d.Passages, &d.Bytes, &text)...); err != nil {
		return d, err
	}
	if err := mine(tag, got); err != nil {
		return d, err
	}
	var a about
	if err := json.Unmarshal(text, &a); err != nil {
		return d, fmt.Errorf("%w: a document", errUnreadable)
	}
	d.ID, d.Title, d.URL, d.Source, d.Metadata, d.ContentType, d.EmbeddingModel = string(id), a.Title, a.URL, a.Source, a.Metadata, a.ContentType, a.EmbeddingModel
	d.Created, d.Updated = fromMillis(created), fromMillis(updated)
	return d, nil
}

// each calls row for every row of a query.
func each(ctx context.Context, c *pgx.Conn, row func(scan func(...any) error) error, sql string, args ...any) error {
	rows, err := c.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (d documents) Document(ctx context.Context, t tenancy.ID, doc string) (found storage.Document, there bool, err error) {
	if err := d.s.admit(ctx, t); err != nil {
		return found, false, err
	}
	if err := storage.CheckDocID(doc); err != nil {
		return found, false, err
	}
	err = d.s.do(ctx, t, reads, func(ctx context.Context, c *pgx.Conn, tag string) error {
		there = false
		return each(ctx, c, func(scan func(...any) error) (err error) {
			there = true
			found, err = scanDocument(scan, tag)
			return err
		}, oneDocument, tag, []byte(doc))
	})
	if err != nil {
		return storage.Document{}, false, err
	}
	return found, there, nil
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
	err = d.s.do(ctx, t, reads, func(ctx context.Context, c *pgx.Conn, tag string) error {
		page = nil
		// One row more than asked for tells whether there is a next page.
		return each(ctx, c, func(scan func(...any) error) error {
			found, err := scanDocument(scan, tag)
			page = append(page, found)
			return err
		}, `SELECT `+documentColumns+` FROM enigma.documents d WHERE d.tenant = $1 AND d.doc > $2 ORDER BY d.doc LIMIT $3`, tag, []byte(after), int64(limit)+1)
	})
	if err != nil {
		return nil, "", err
	}
	if len(page) > limit {
		page = page[:limit]
		next = storage.DocCursor(t, page[limit-1].ID)
	}
	return page, next, nil
}

// One statement finds the version and reads its passages, so that both are of one moment.
// Each vector is looked up by itself: without statistics a join may read the whole table.
const (
	textsOf = `SELECT p.tenant, p.n, p.page, p.text, p.headings, %s FROM (
		SELECT x.*, sum(octet_length(x.text)) OVER (ORDER BY x.n) - octet_length(x.text) AS before FROM (
			SELECT * FROM enigma.passages WHERE tenant = $1 AND n >= $4
			AND part = (SELECT d.part FROM enigma.documents d WHERE d.tenant = $1 AND d.doc = $2 AND d.version = $3) ORDER BY n LIMIT $5) x
		) p WHERE p.before < $6 ORDER BY p.n`
	vectorOf = `(SELECT v.vector FROM enigma.vectors v WHERE v.tenant = $1 AND v.part = p.part AND v.n = p.n)`
)

var (
	textsAlone      = fmt.Sprintf(textsOf, `NULL::bytea`)
	textsAndVectors = fmt.Sprintf(textsOf, vectorOf)
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
	sql := textsAlone
	if vectors {
		sql = textsAndVectors
	}
	err = d.s.doLong(ctx, t, reads, func(ctx context.Context, c *pgx.Conn, tag string) error {
		found = nil
		return each(ctx, c, func(scan func(...any) error) error {
			p, err := scanPassage(scan, tag)
			found = append(found, p)
			return err
		}, sql, tag, []byte(doc), version, min(max(0, from), storage.MaxPassages), min(limit, passagesAtOnce), passagesBytes)
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

func scanPassage(scan func(...any) error, tag string) (p storage.Passage, err error) {
	var got string
	// What is read into these is the connection's: it is copied out of them.
	var text, headings, vector pgtype.DriverBytes
	if err := scan(&got, &p.N, &p.Page, &text, &headings, &vector); err != nil {
		return p, err
	}
	if err := mine(tag, got); err != nil {
		return p, err
	}
	p.Text = string(text)
	if len(headings) > 0 {
		if err := json.Unmarshal(headings, &p.Headings); err != nil {
			return p, fmt.Errorf("%w: headings", errUnreadable)
		}
	}
	var whole bool
	if p.Vector, whole = storage.UnpackVector(vector); !whole {
		return p, fmt.Errorf("%w: a vector", errUnreadable)
	}
	return p, nil
}

func (d documents) Vectors(ctx context.Context, t tenancy.ID, keys []storage.PassageKey) ([][]float32, error) {
	if err := d.s.admit(ctx, t); err != nil {
		return nil, err
	}
	found := make([][]float32, len(keys))
	var docs [][]byte
	var versions []int64
	var numbers, places []int32
	for i, k := range keys {
		if k.N >= 0 && k.N < storage.MaxPassages && storage.CheckDocID(k.Doc) == nil {
			docs, versions = append(docs, []byte(k.Doc)), append(versions, k.Version)
			numbers, places = append(numbers, int32(k.N)), append(places, int32(i))
		}
	}
	if len(docs) == 0 {
		return found, nil
	}
	err := d.s.do(ctx, t, reads, func(ctx context.Context, c *pgx.Conn, tag string) error {
		return each(ctx, c, func(scan func(...any) error) error {
			var got string
			var place int
			var vector pgtype.DriverBytes
			if err := scan(&got, &place, &vector); err != nil {
				return err
			}
			v, whole := storage.UnpackVector(vector)
			if !whole {
				return fmt.Errorf("%w: a vector", errUnreadable)
			}
			found[place] = v
			return mine(tag, got)
		}, `SELECT v.tenant, k.place, v.vector FROM unnest($2::bytea[], $3::bigint[], $4::int[], $5::int[]) k (doc, version, n, place)
			CROSS JOIN LATERAL (SELECT x.tenant, x.vector FROM enigma.vectors x WHERE x.tenant = $1 AND x.n = k.n AND x.part =
				(SELECT d.part FROM enigma.documents d WHERE d.tenant = $1 AND d.doc = k.doc AND d.version = k.version) LIMIT 1) v`,
			tag, docs, versions, numbers, places)
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

func (d documents) Totals(ctx context.Context, t tenancy.ID) (documents, passages int64, err error) {
	err = d.s.do(ctx, t, reads, func(ctx context.Context, c *pgx.Conn, tag string) error {
		documents, passages = 0, 0
		return each(ctx, c, func(scan func(...any) error) error {
			var got string
			if err := scan(&got, &documents, &passages); err != nil {
				return err
			}
			return mine(tag, got)
		}, `SELECT tenant, documents, passages FROM enigma.libraries WHERE tenant = $1`, tag)
	})
	return documents, passages, err
}

// changesOf gives at least one row: the head and what is forgotten belong to the moment of
// the changes.
const changesOf = `SELECT coalesce(l.head, 0), coalesce(l.forgotten, 0), coalesce(c.seq, 0), coalesce(c.name, ''), d.doc IS NOT NULL,
	$1, coalesce(d.doc, ''), coalesce(d.version, 0), coalesce(d.change, 0), coalesce(d.created, 0), coalesce(d.updated, 0),
	coalesce(d.passages, 0), coalesce(d.bytes, 0), coalesce(d.about, '{}')
	FROM (SELECT 1) one LEFT JOIN enigma.libraries l ON l.tenant = $1
	LEFT JOIN ((SELECT x.change AS seq, x.doc AS name FROM enigma.documents x WHERE x.tenant = $1 AND x.change > $2 ORDER BY x.change LIMIT $3)
		UNION ALL (SELECT r.change, r.doc FROM enigma.removals r WHERE r.tenant = $1 AND r.change > $2 AND $2 <> 0 ORDER BY r.change LIMIT $3)
		ORDER BY 1 LIMIT $3) c ON true
	LEFT JOIN LATERAL (SELECT * FROM enigma.documents x WHERE x.tenant = $1 AND x.doc = c.name LIMIT 1) d ON true ORDER BY c.seq`

func (d documents) Changes(ctx context.Context, t tenancy.ID, since int64, limit int) (found []storage.Change, err error) {
	if err := d.s.admit(ctx, t); err != nil {
		return nil, err
	}
	if limit < 1 {
		return nil, storage.ErrBadLimit
	}
	forgotten := false
	err = d.s.do(ctx, t, reads, func(ctx context.Context, c *pgx.Conn, tag string) error {
		found = nil
		return each(ctx, c, func(scan func(...any) error) error {
			var head, oldest int64
			var change storage.Change
			var name []byte
			var there bool
			doc, err := scanDocument(scan, tag, &head, &oldest, &change.Seq, &name, &there)
			if err != nil {
				return err
			}
			forgotten = since > head || since != 0 && since < oldest
			if there {
				change.Document = &doc
			}
			if change.Doc = string(name); change.Seq != 0 {
				found = append(found, change)
			}
			return nil
		}, changesOf, tag, since, int64(limit))
	})
	if err != nil {
		return nil, err
	}
	if forgotten {
		return nil, storage.ErrChangesForgotten
	}
	return found, nil
}
