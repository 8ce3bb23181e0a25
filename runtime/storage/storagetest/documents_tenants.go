package storagetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

var documentTenantChecks = []DocumentCheck{
	{"Tenants/no document's name spells another's", documentsApart},
	{"Tenants/documents in any interleaving against a model", documentsModelled},
	{"Context/an ended one changes no document", documentsEnded},
	{"Context/documents of no tenant are refused", documentsNoTenant},
	{"Erase/all documents of one tenant, and what began before", eraseDocuments},
}

func documentNames(sep string) (tenants, docs []string) {
	tenants, _, docs = spelling(sep)
	docs = slices.DeleteFunc(docs, func(doc string) bool { return storage.CheckDocID(doc) != nil })
	return tenants, docs
}

func documentsApart(t rapid.TB, b DocumentBed) {
	for _, sep := range separators {
		tenants, docs := documentNames(sep)
		kept := map[[2]string]storage.Document{}
		for _, identity := range tenants {
			id := tenant(t, sep+"/"+identity)
			for i, doc := range docs {
				b.wantNone(t, id, doc)
				kept[[2]string{identity, doc}] = b.publish(t, id, doc, 1+i%2)
			}
			b.wantNone(t, id, "another")
		}
		for at, d := range kept {
			b.wantDocument(t, tenant(t, sep+"/"+at[0]), d, passages(d.ID, d.Version, d.Passages))
		}
		gone := tenant(t, sep+"/"+tenants[0])
		for _, doc := range docs {
			if !b.remove(t, gone, doc) {
				t.Fatalf("%q of %q was removed by another", doc, tenants[0])
			}
		}
		b.wantTotals(t, gone, 0, 0)
		for at, d := range kept {
			if at[0] != tenants[0] {
				b.wantDocument(t, tenant(t, sep+"/"+at[0]), d, passages(d.ID, d.Version, d.Passages))
			}
		}
	}
}

// documentCalls are all methods, each of which touches what "d" and "e" have.
func documentCalls(ctx context.Context, s storage.Store, id tenancy.ID, version int64) map[string]func() error {
	d := s.Documents()
	return map[string]func() error{
		"NextVersion": func() error { _, err := d.NextVersion(ctx, id); return err },
		"Stage":       func() error { return d.Stage(ctx, id, "e", version, passages("e", version, 2)) },
		"Publish":     func() error { _, err := d.Publish(ctx, id, documentOf("e", version, 1)); return err },
		"Remove":      func() error { _, err := d.Remove(ctx, id, "d"); return err },
		"Document":    func() error { _, _, err := d.Document(ctx, id, "d"); return err },
		"List":        func() error { _, _, err := d.List(ctx, id, 1, ""); return err },
		"Passages":    func() error { _, err := d.Passages(ctx, id, "d", version, 0, 1, true); return err },
		"Vectors": func() error {
			_, err := d.Vectors(ctx, id, []storage.PassageKey{{Doc: "d", Version: version}})
			return err
		},
		"Head":    func() error { _, err := d.Head(ctx, id); return err },
		"Changes": func() error { _, err := d.Changes(ctx, id, 0, 1); return err },
		"Await":   func() error { _, err := d.Await(ctx, id, -1); return err },
		"Totals":  func() error { _, _, err := d.Totals(ctx, id); return err },
	}
}

func documentsEnded(t rapid.TB, b DocumentBed) {
	id := tenant(t, "a")
	d := b.publish(t, id, "d", 2)
	version := b.begin(t, id)
	b.stage(t, id, "e", version, passage("e", version, 0))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for name, call := range documentCalls(ctx, b, id, version) {
		wantErr(t, name, call(), context.Canceled)
	}
	b.wantDocument(t, id, d, passages("d", d.Version, 2))
	b.wantNone(t, id, "e")
	_, err := b.Documents().Publish(context.Background(), id, documentOf("e", version, 2))
	wantErr(t, "what the ended Stage brought", err, storage.ErrIncomplete)
}

func documentsNoTenant(t rapid.TB, b DocumentBed) {
	for name, call := range documentCalls(context.Background(), b, tenancy.ID{}, 1) {
		wantErr(t, name, call(), storage.ErrNoTenant)
	}
}

func eraseDocuments(t rapid.TB, b DocumentBed) {
	ctx, a, others := context.Background(), tenant(t, "a"), []tenancy.ID{tenant(t, "a:"), tenant(t, "a*"), tenant(t, "*"), tenant(t, "%")}
	kept := map[tenancy.ID]storage.Document{}
	for _, id := range append(others, a) {
		b.publish(t, id, "gone", 1)
		kept[id] = b.publish(t, id, "d", 3)
		b.remove(t, id, "gone")
	}
	before := b.begin(t, a)
	b.stage(t, a, "staged", before, passages("staged", before, 2)...)
	for range 2 {
		_, err := b.Portable().Erase(ctx, a)
		must(t, "Erase", err)
		b.wantNone(t, a, "d")
		b.wantTotals(t, a, 0, 0)
		vectors, err := b.Documents().Vectors(ctx, a, []storage.PassageKey{{Doc: "d", Version: kept[a].Version}})
		must(t, "Vectors", err)
		if b.head(t, a) != 0 || vectors[0] != nil || len(b.changes(t, a, 0, 10)) != 0 || b.passages(t, a, "d", kept[a].Version, 10, true) != nil {
			t.Fatalf("something stayed: head %d", b.head(t, a))
		}
	}
	for _, id := range others {
		b.wantDocument(t, id, kept[id], passages("d", kept[id].Version, 3))
	}
	for _, doc := range []string{"staged", "new"} {
		wantErr(t, "Stage of what began before", b.Documents().Stage(ctx, a, doc, before, passages(doc, before, 2)), storage.ErrOldVersion)
	}
	after := b.publish(t, a, "d", 1)
	if after.Version <= before || after.Change <= kept[a].Change {
		t.Errorf("after the erasure: version %d, change %d; before it: %d, %d", after.Version, after.Change, before, kept[a].Change)
	}
	_, err := b.Documents().Publish(ctx, a, documentOf("staged", before, 2))
	wantErr(t, "Publish of what began before", err, storage.ErrOldVersion)
	b.wantTotals(t, a, 1, 1)
}

// library is what a right store would hold of all tenants.
type library struct {
	b       DocumentBed
	tenants []tenancy.ID
	docs    []string
	begun   map[tenancy.ID][]int64
	staged  map[docVersion]map[int]storage.Passage
	kept    map[docName]storage.Document
	texts   map[docName][]storage.Passage
	floor   map[docName]int64
	heads   map[tenancy.ID]int64
}

type docName struct {
	tenant tenancy.ID
	doc    string
}

type docVersion struct {
	docName
	version int64
}

// documentsModelled drives tenants and documents whose names spell each other through one
// store and compares everything that can be read with the model.
func documentsModelled(t rapid.TB, b DocumentBed) {
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		l := &library{
			b: b, begun: map[tenancy.ID][]int64{}, staged: map[docVersion]map[int]storage.Passage{}, kept: map[docName]storage.Document{},
			texts: map[docName][]storage.Passage{}, floor: map[docName]int64{}, heads: map[tenancy.ID]int64{},
		}
		tenants, docs := documentNames(rapid.SampledFrom(separators).Draw(t, "separator"))
		for _, identity := range tenants[:3] {
			l.tenants = append(l.tenants, tenant(t, fmt.Sprint(run, "/", identity)))
		}
		l.docs = docs[:min(3, len(docs))]
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) { l.compare(t, rapid.SampledFrom(l.tenants).Draw(t, "compared")) }, "begin": l.begin, "stage": l.stage, "publish": l.publish, "whole": l.whole, "remove": l.remove,
		})
		l.compare(t, l.tenants...)
	})
}

func (l *library) name(t *rapid.T) docName {
	return docName{rapid.SampledFrom(l.tenants).Draw(t, "tenant"), rapid.SampledFrom(l.docs).Draw(t, "doc")}
}

func (l *library) begin(t *rapid.T) {
	id := rapid.SampledFrom(l.tenants).Draw(t, "tenant")
	version := l.b.begin(t, id)
	if n := len(l.begun[id]); n > 0 && version <= l.begun[id][n-1] {
		t.Fatalf("version %d after %d", version, l.begun[id][n-1])
	}
	l.begun[id] = append(l.begun[id], version)
}

func (l *library) version(t *rapid.T) docVersion {
	n := l.name(t)
	if len(l.begun[n.tenant]) == 0 {
		t.Skip("nothing has begun")
	}
	return docVersion{n, rapid.SampledFrom(l.begun[n.tenant]).Draw(t, "version")}
}

func (l *library) isOld(v docVersion) bool {
	return v.version < l.kept[v.docName].Version || v.version <= l.floor[v.docName]
}

func (l *library) stage(t *rapid.T) {
	v := l.version(t)
	from, n := rapid.IntRange(0, 3).Draw(t, "from"), rapid.IntRange(1, 3).Draw(t, "passages")
	l.stageSome(t, v, from, n)
}

func (l *library) stageSome(t *rapid.T, v docVersion, from, n int) {
	some := passages(v.doc, v.version, from+n)[from:]
	for i := range some {
		some[i].Text += "\n" + v.tenant.Identity() + rapid.StringN(0, 4, -1).Draw(t, "text")
	}
	err := l.b.Documents().Stage(context.Background(), v.tenant, v.doc, v.version, some)
	if l.isOld(v) {
		wantErr(t, "Stage", err, storage.ErrOldVersion)
		return
	}
	must(t, "Stage", err)
	if v.version == l.kept[v.docName].Version {
		return
	}
	if l.staged[v] == nil {
		l.staged[v] = map[int]storage.Passage{}
	}
	for _, p := range some {
		l.staged[v][p.N] = p
	}
}

// whole stages all passages of a new version before it publishes, which chance rarely does.
func (l *library) whole(t *rapid.T) {
	n := l.name(t)
	v := docVersion{n, l.b.begin(t, n.tenant)}
	l.begun[n.tenant] = append(l.begun[n.tenant], v.version)
	passages := rapid.IntRange(1, 5).Draw(t, "passages")
	l.stageSome(t, v, 0, passages)
	l.publishAs(t, v, passages)
}

func (l *library) publish(t *rapid.T) {
	l.publishAs(t, l.version(t), rapid.IntRange(1, 6).Draw(t, "passages"))
}

func (l *library) publishAs(t *rapid.T, v docVersion, n int) {
	d := documentOf(v.doc, v.version, n)
	d.Updated = epoch.Add(time.Duration(rapid.IntRange(0, 5000).Draw(t, "updated")) * time.Millisecond)
	kept, err := l.b.Documents().Publish(context.Background(), v.tenant, d)
	before, was := l.kept[v.docName]
	if was && before.Version == v.version {
		must(t, "Publish again", err)
		sameDocuments(t, "what is published", kept, before)
		return
	}
	if l.isOld(v) {
		wantErr(t, "Publish", err, storage.ErrOldVersion)
		return
	}
	var all []storage.Passage
	for i := range n {
		p, ok := l.staged[v][i]
		if !ok {
			wantErr(t, "Publish", err, storage.ErrIncomplete)
			return
		}
		all = append(all, p)
	}
	must(t, "Publish", err)
	if kept.Change <= l.heads[v.tenant] {
		t.Fatalf("change %d after %d", kept.Change, l.heads[v.tenant])
	}
	d.Change, d.Created = kept.Change, d.Updated
	if was {
		d.Created = before.Created
	}
	sameDocuments(t, "what Publish returns", kept, d)
	l.kept[v.docName], l.texts[v.docName], l.heads[v.tenant] = d, all, d.Change
	delete(l.floor, v.docName)
	maps.DeleteFunc(l.staged, func(s docVersion, _ map[int]storage.Passage) bool {
		return s.docName == v.docName && s.version <= v.version
	})
}

func (l *library) remove(t *rapid.T) {
	n := l.name(t)
	_, was := l.kept[n]
	if there := l.b.remove(t, n.tenant, n.doc); there != was {
		t.Fatalf("Remove of %q: told %v, want %v", n.doc, there, was)
	}
	delete(l.kept, n)
	delete(l.texts, n)
	maps.DeleteFunc(l.staged, func(s docVersion, _ map[int]storage.Passage) bool { return s.docName == n })
	if begun := l.begun[n.tenant]; len(begun) > 0 {
		l.floor[n] = begun[len(begun)-1]
	}
	if was {
		l.heads[n.tenant] = l.b.head(t, n.tenant)
	}
}

func (l *library) compare(t *rapid.T, tenants ...tenancy.ID) {
	for _, id := range tenants {
		documents, total := int64(0), int64(0)
		for _, doc := range l.docs {
			n := docName{id, doc}
			d, ok := l.kept[n]
			if !ok {
				l.b.wantNone(t, id, doc)
				continue
			}
			documents, total = documents+1, total+int64(d.Passages)
			l.b.wantDocument(t, id, d, l.texts[n])
		}
		l.b.wantTotals(t, id, documents, total)
		if got := l.b.head(t, id); got != l.heads[id] {
			t.Fatalf("head %d, want %d", got, l.heads[id])
		}
		for _, c := range l.b.changes(t, id, 0, 100) {
			documents--
			sameDocuments(t, "a change's document", *c.Document, l.kept[docName{id, c.Doc}])
		}
		if documents != 0 {
			t.Fatalf("%d documents are missing in the changes", documents)
		}
		_, err := l.b.Documents().Changes(context.Background(), id, l.heads[id], 10)
		if err != nil && !errors.Is(err, storage.ErrChangesForgotten) {
			t.Fatalf("Changes: %v", err)
		}
	}
}
