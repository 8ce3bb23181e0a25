package storagetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

var documentMoveChecks = []DocumentCheck{
	{"Dump/a document comes after its passages, from any position on", dumpDocuments},
	{"Dump/only what is published, and of one tenant", dumpPublished},
	{"Load/documents twice is once", loadDocumentsTwice},
	{"Load/a document replaces the one that is there", loadDocumentReplaces},
	{"Load/a document of which passages are missing is refused", loadIncomplete},
}

// libraryRecords are two small documents and one of several records.
func libraryRecords() []storage.Record {
	var all []storage.Record
	for i, doc := range []string{"a", "a/b", "big"} {
		n, version := 3, int64(100+i)
		if doc == "big" {
			n = 40
		}
		texts := passages(doc, version, n)
		if doc == "big" {
			for i := range texts {
				texts[i].Text += strings.Repeat("x", 100<<10)
			}
		}
		for part := range slices.Chunk(texts, 10) {
			all = append(all, storage.Record{Passages: storage.NewPassagesRecord(doc, version, part)})
		}
		d := documentOf(doc, version, n)
		d.Created, d.Change = d.Updated.Add(-time.Hour), int64(i+1)
		all = append(all, storage.Record{Document: &d})
	}
	return all
}

func loadEach(t rapid.TB, b DocumentBed, id tenancy.ID, records []storage.Record) {
	t.Helper()
	for part := range slices.Chunk(records, 2) {
		must(t, "Load", b.Portable().Load(context.Background(), id, part))
	}
}

// wantLibrary compares what is there with records, but for the numbers that are the
// store's own.
func (b DocumentBed) wantLibrary(t rapid.TB, id tenancy.ID, records []storage.Record) {
	t.Helper()
	texts := map[string][]storage.Passage{}
	documents, total := int64(0), int64(0)
	for _, r := range records {
		if r.Passages != nil {
			some, err := r.Passages.Unpack()
			must(t, "Unpack", err)
			texts[r.Passages.Doc] = append(texts[r.Passages.Doc], some...)
			continue
		}
		got, there, err := b.Documents().Document(context.Background(), id, r.Document.ID)
		if err != nil || !there {
			t.Fatalf("%q isn't there, error %v", r.Document.ID, err)
		}
		want := *r.Document
		want.Version, want.Change = got.Version, got.Change
		b.wantDocument(t, id, want, texts[want.ID])
		documents, total = documents+1, total+int64(want.Passages)
	}
	b.wantTotals(t, id, documents, total)
}

func dumpDocuments(t rapid.TB, b DocumentBed) {
	id := tenant(t, "a")
	loadEach(t, b, id, libraryRecords())
	all, positions := dump(t, b, id, "")
	open := map[string]int{}
	last := ""
	for _, r := range all {
		must(t, "Validate", r.Validate())
		if r.Passages != nil {
			for _, p := range r.Passages.Passages {
				if p.N != open[r.Passages.Doc] {
					t.Fatalf("passage %d of %q comes where %d should", p.N, r.Passages.Doc, open[r.Passages.Doc])
				}
				open[r.Passages.Doc]++
			}
			continue
		}
		if open[r.Document.ID] != r.Document.Passages || r.Document.ID <= last {
			t.Fatalf("%q comes after %q and %d of its %d passages", r.Document.ID, last, open[r.Document.ID], r.Document.Passages)
		}
		last = r.Document.ID
	}
	if len(all) < 6 || len(open) != 3 {
		t.Fatalf("got %d records of %d documents; a large one comes in parts", len(all), len(open))
	}
	for i := range positions {
		rest, _ := dump(t, b, id, positions[i])
		same(t, fmt.Sprint("from position ", i), spelled(t, rest), spelled(t, all[i+1:]))
	}
	// What is dumped can be loaded.
	other := tenant(t, "b")
	loadEach(t, b, other, all)
	b.wantLibrary(t, other, libraryRecords())
	// One that was replaced meanwhile comes whole, and later ones too.
	b.publish(t, id, "a", 2)
	rest, _ := dump(t, b, id, positions[0])
	third := tenant(t, "c")
	loadEach(t, b, third, slices.Concat(all[:1], rest))
	b.wantTotals(t, third, 3, 2+3+40)
}

func dumpPublished(t rapid.TB, b DocumentBed) {
	ctx, id := context.Background(), tenant(t, "a")
	d := b.publish(t, id, "d", 2)
	b.publish(t, tenant(t, "a:"), "another's", 1)
	b.publish(t, id, "gone", 2)
	b.remove(t, id, "gone")
	version := b.begin(t, id)
	b.stage(t, id, "d", version, passages("d", version, 2)...)
	b.stage(t, id, "new", version, passages("new", version, 2)...)
	got, _ := dump(t, b, id, "")
	same(t, "dump", spelled(t, got), spelled(t, []storage.Record{
		{Passages: storage.NewPassagesRecord("d", d.Version, passages("d", d.Version, 2))}, {Document: &d},
	}))
	_, positions := dump(t, b, id, "")
	err := b.Portable().Dump(ctx, tenant(t, "a:"), positions[0], func(storage.Record, string) error { return nil })
	wantErr(t, "another's position", err, storage.ErrBadCursor)
}

func loadDocumentsTwice(t rapid.TB, b DocumentBed) {
	id := tenant(t, "a")
	records := libraryRecords()
	loadEach(t, b, id, records)
	b.wantLibrary(t, id, records)
	loadEach(t, b, id, records)
	b.wantLibrary(t, id, records)
	head := b.head(t, id)
	// The last part again, as after a crash between a load and its journal.
	for i := range records {
		loadEach(t, b, id, records[i:min(i+2, len(records))])
		b.wantLibrary(t, id, records)
	}
	if got := b.head(t, id); got < head {
		t.Errorf("the head went back from %d to %d", head, got)
	}
	// Loaded ones are replaced and removed as any other.
	b.publish(t, id, "a", 1)
	if !b.remove(t, id, "big") {
		t.Errorf("a loaded document can't be removed")
	}
	b.wantTotals(t, id, 2, 4)
}

func loadDocumentReplaces(t rapid.TB, b DocumentBed) {
	ctx, id := context.Background(), tenant(t, "a")
	before := b.publish(t, id, "a", 7)
	began := b.begin(t, id)
	b.stage(t, id, "a", began, passages("a", began, 1)...)
	other := b.publish(t, id, "other", 1)
	loadEach(t, b, id, libraryRecords()[:2])
	got, _, err := b.Documents().Document(ctx, id, "a")
	must(t, "Document", err)
	if got.Version <= began || got.Change <= other.Change || got.Version <= before.Version {
		t.Errorf("loaded as version %d, change %d; before it there were %d and %d", got.Version, got.Change, began, other.Change)
	}
	want := *libraryRecords()[1].Document
	want.Version, want.Change = got.Version, got.Change
	b.wantDocument(t, id, want, passages("a", 100, 3))
	b.wantTotals(t, id, 2, 4)
	_, err = b.Documents().Publish(ctx, id, documentOf("a", began, 1))
	wantErr(t, "Publish of what began before", err, storage.ErrOldVersion)
	same(t, "changes", told(b.changes(t, id, other.Change, 10)), []string{"a"})
}

func loadIncomplete(t rapid.TB, b DocumentBed) {
	ctx, id := context.Background(), tenant(t, "a")
	records := libraryRecords()
	audited := ran(1)
	wantErr(t, "without passages", b.Portable().Load(ctx, id, []storage.Record{{Audit: &audited}, records[1]}), storage.ErrIncomplete)
	bad := *records[0].Passages
	bad.Passages = slices.Clone(bad.Passages)
	bad.Passages[1].Vector = []byte{1, 2, 3}
	wantErr(t, "half a vector", b.Portable().Load(ctx, id, []storage.Record{{Audit: &audited}, {Passages: &bad}}), storage.ErrBadRecord)
	wantErr(t, "no passages", b.Portable().Load(ctx, id, []storage.Record{{Passages: &storage.PassagesRecord{Doc: "d", Version: 1}}}), storage.ErrBadRecord)
	wantErr(t, "two things", b.Portable().Load(ctx, id, []storage.Record{{Passages: records[0].Passages, Document: records[1].Document}}), storage.ErrBadRecord)
	nameless := *records[1].Document
	nameless.ID = "a/../b"
	wantErr(t, "a bad id", b.Portable().Load(ctx, id, []storage.Record{{Document: &nameless}}), storage.ErrBadRecord)
	b.wantTotals(t, id, 0, 0)
	if got, _ := dump(t, b, id, ""); len(got) != 0 {
		t.Errorf("of refused loads stayed %d records", len(got))
	}
	// Passages alone are found by nobody.
	must(t, "Load", b.Portable().Load(ctx, id, records[:1]))
	b.wantNone(t, id, "a")
	b.wantTotals(t, id, 0, 0)
	must(t, "Load", b.Portable().Load(ctx, id, records[1:2]))
	b.wantLibrary(t, id, records[:2])
}
