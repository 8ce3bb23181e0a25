package valkey

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	valkeygo "github.com/valkey-io/valkey-go"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

const (
	// passagesBytes is about how much of texts and vectors one page has, passagesAtOnce how
	// many passages: a script holds the server up for no longer.
	passagesBytes  = 2 << 20
	passagesAtOnce = 500
	// pollEvery is how often a head that is awaited is read: a tenant's login hears no
	// channel.
	pollEvery = time.Second
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

// shelf is what records.lua tells of all documents.
type shelf struct{ head, forgotten, documents, passages int64 }

// records reads documents, nil for those that aren't there, and what counts over all, of
// one moment.
func (s *Store) records(ctx context.Context, n *names, docs []string) (shelf, []*storage.Document, error) {
	keys := []string{n.key("library")}
	for _, doc := range docs {
		keys = append(keys, n.key("document", doc))
	}
	var all shelf
	reply, err := s.run(ctx, n, recordsScript, keys, n.mark)
	if err != nil {
		return all, nil, err
	}
	if len(reply) != 4+len(docs) {
		return all, nil, unreadable(errShort)
	}
	for i, to := range []*int64{&all.head, &all.forgotten, &all.documents, &all.passages} {
		if *to, err = integer(&reply[i]); err != nil {
			return all, nil, err
		}
	}
	found := make([]*storage.Document, len(docs))
	for i, doc := range docs {
		if found[i], err = s.document(n, doc, &reply[4+i]); err != nil {
			return all, nil, err
		}
	}
	return all, found, nil
}

func (s *Store) document(n *names, doc string, m *valkeygo.ValkeyMessage) (*storage.Document, error) {
	if m.IsString() {
		return nil, nil // that there is none is no error
	}
	fields, err := m.AsStrSlice()
	if err != nil || len(fields) != 8 {
		return nil, unreadable(errShort)
	}
	if fields[0] != n.mark {
		return nil, s.foreign()
	}
	d := &storage.Document{ID: doc}
	var created, updated, passages int64
	for i, to := range []*int64{&d.Version, &d.Change, &created, &updated, &passages, &d.Bytes} {
		if *to, err = strconv.ParseInt(fields[1+i], 10, 64); err != nil {
			return nil, unreadable(err)
		}
	}
	var a about
	if err := json.Unmarshal([]byte(fields[7]), &a); err != nil {
		return nil, unreadable(err)
	}
	d.Title, d.URL, d.Source, d.Metadata, d.ContentType, d.EmbeddingModel = a.Title, a.URL, a.Source, a.Metadata, a.ContentType, a.EmbeddingModel
	d.Created, d.Updated, d.Passages = time.UnixMilli(created).UTC(), time.UnixMilli(updated).UTC(), int(passages)
	return d, nil
}

func (d documents) Document(ctx context.Context, t tenancy.ID, doc string) (storage.Document, bool, error) {
	if err := d.s.admit(ctx, t); err != nil {
		return storage.Document{}, false, err
	}
	if err := storage.CheckDocID(doc); err != nil {
		return storage.Document{}, false, err
	}
	_, found, err := d.s.records(ctx, d.s.namesOf(t), []string{doc})
	if err != nil || found[0] == nil {
		return storage.Document{}, false, err
	}
	return *found[0], true, nil
}

// List reads ids, and then what they name: one that was removed between is left out.
func (d documents) List(ctx context.Context, t tenancy.ID, limit int, cursor string) ([]storage.Document, string, error) {
	if err := d.s.admit(ctx, t); err != nil {
		return nil, "", err
	}
	if limit < 1 {
		return nil, "", storage.ErrBadLimit
	}
	from := "-"
	if cursor != "" {
		after, err := storage.ParseDocCursor(t, cursor)
		if err != nil {
			return nil, "", err
		}
		from = "(" + after
	}
	n := d.s.namesOf(t)
	limit = min(limit, atOnce)
	for {
		ids, err := d.s.membersOf(ctx, n, n.key("documents"), from, "+", limit+1)
		if err != nil || len(ids) == 0 {
			return nil, "", err
		}
		next := ""
		if len(ids) > limit {
			ids = ids[:limit]
			next, from = storage.DocCursor(t, ids[limit-1]), "("+ids[limit-1]
		}
		_, found, err := d.s.records(ctx, n, ids)
		if err != nil {
			return nil, "", err
		}
		var page []storage.Document
		for _, doc := range found {
			if doc != nil {
				page = append(page, *doc)
			}
		}
		// A page whose documents have all gone meanwhile isn't the end.
		if len(page) > 0 || next == "" {
			return page, next, nil
		}
	}
}

func (d documents) Passages(ctx context.Context, t tenancy.ID, doc string, version int64, from, limit int, vectors bool) ([]storage.Passage, error) {
	if err := d.s.admit(ctx, t); err != nil {
		return nil, err
	}
	if err := storage.CheckDocID(doc); err != nil {
		return nil, err
	}
	if limit < 1 {
		return nil, storage.ErrBadLimit
	}
	n, from := d.s.namesOf(t), max(0, from)
	vectorsAt := ""
	if vectors {
		vectorsAt = n.vectors(doc)
	}
	args := []string{
		n.mark, n.passages(doc), vectorsAt, strconv.FormatInt(version, 10),
		strconv.Itoa(from), strconv.Itoa(min(limit, passagesAtOnce)), strconv.Itoa(passagesBytes),
	}
	replies, err := d.s.runAllWithin(ctx, loadTimeout, n, passagesScript, []call{{[]string{n.key("document", doc)}, args}})
	if err != nil {
		return nil, err
	}
	reply := replies[0]
	var found []storage.Passage
	for i := 0; i+1 < len(reply); i += 2 {
		text, err := reply[i].ToString()
		if err != nil {
			return nil, unreadable(err)
		}
		p, err := decodePassage(text)
		if err != nil {
			return nil, err
		}
		p.N = from + len(found)
		if p.Vector, err = vector(&reply[i+1]); err != nil {
			return nil, err
		}
		found = append(found, p)
	}
	return found, nil
}

// vector reads one; nil is none.
func vector(m *valkeygo.ValkeyMessage) ([]float32, error) {
	if m.IsNil() {
		return nil, nil
	}
	text, err := m.ToString()
	if err != nil {
		return nil, unreadable(err)
	}
	v, whole := storage.UnpackVector([]byte(text))
	if !whole {
		return nil, unreadable(errShort)
	}
	return v, nil
}

// Vectors asks for a hundred a script.
func (d documents) Vectors(ctx context.Context, t tenancy.ID, keys []storage.PassageKey) ([][]float32, error) {
	if err := d.s.admit(ctx, t); err != nil {
		return nil, err
	}
	n := d.s.namesOf(t)
	found := make([][]float32, len(keys))
	var places []int
	for i, k := range keys {
		if k.N >= 0 && k.N < storage.MaxPassages && storage.CheckDocID(k.Doc) == nil {
			places = append(places, i)
		}
	}
	var calls []call
	for some := range slices.Chunk(places, atOnce) {
		c := call{args: []string{n.mark}}
		for _, i := range some {
			k := keys[i]
			c.keys = append(c.keys, n.key("document", k.Doc))
			c.args = append(c.args, n.vectors(k.Doc), strconv.FormatInt(k.Version, 10), strconv.Itoa(k.N))
		}
		calls = append(calls, c)
	}
	if len(calls) == 0 {
		return found, nil
	}
	replies, err := d.s.runAll(ctx, n, vectorsScript, calls)
	if err != nil {
		return nil, err
	}
	for i, place := range places {
		reply := replies[i/atOnce]
		if i%atOnce >= len(reply) {
			return nil, unreadable(errShort)
		}
		if found[place], err = vector(&reply[i%atOnce]); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func (d documents) Head(ctx context.Context, t tenancy.ID) (int64, error) {
	if err := d.s.admit(ctx, t); err != nil {
		return 0, err
	}
	all, _, err := d.s.records(ctx, d.s.namesOf(t), nil)
	return all.head, err
}

func (d documents) Totals(ctx context.Context, t tenancy.ID) (documents, passages int64, err error) {
	if err := d.s.admit(ctx, t); err != nil {
		return 0, 0, err
	}
	all, _, err := d.s.records(ctx, d.s.namesOf(t), nil)
	return all.documents, all.passages, err
}

func (d documents) Await(ctx context.Context, t tenancy.ID, after int64) (int64, error) {
	for {
		head, err := d.Head(ctx, t)
		if err != nil || head != after {
			return head, err
		}
		wait := time.NewTimer(pollEvery)
		select {
		case <-wait.C:
		case <-d.s.link.stop:
			err = unavailable(ReasonClosed)
		case <-ctx.Done():
			err = ctx.Err()
		}
		wait.Stop()
		if err != nil {
			return 0, err
		}
	}
}
