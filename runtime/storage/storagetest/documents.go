package storagetest

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// DocumentBed is a store that nothing else uses.
type DocumentBed struct {
	storage.Store
	// Pass lets so much of the store's time go by. Nil where it can't be moved.
	Pass func(time.Duration)
}

// DocumentCheck is one promise. Run fails t if the store breaks it.
type DocumentCheck struct {
	Name string
	Run  func(t rapid.TB, b DocumentBed)
}

// DocumentChecks are all promises of storage.Documents.
func DocumentChecks() []DocumentCheck {
	return slices.Concat(documentChecks, documentReadChecks, documentChangeChecks, documentTenantChecks, documentMoveChecks)
}

// RunDocuments runs every check against a store of its own. open closes the store when
// its test ends.
func RunDocuments(t *testing.T, open func(t *testing.T) DocumentBed) {
	for _, c := range DocumentChecks() {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			c.Run(t, open(t))
		})
	}
}

var documentChecks = []DocumentCheck{
	{"Publish/what is read is what was staged", publishWhole},
	{"Publish/nobody finds what is only staged", publishHides},
	{"Publish/a missing passage is refused and changes nothing", publishIncomplete},
	{"Publish/twice is once", publishTwice},
	{"Publish/an older version, or one never given, is refused", publishOld},
	{"Publish/replaces all of the version before", publishReplaces},
	{"Publish/at once: the newest stays, and no reader sees a mixture", publishAtOnce},
	{"Stage/the same number again replaces, in any order", stageAgain},
	{"Stage/all or none", stageAllOrNone},
	{"Stage/vectors of one length, or none", stageDimensions},
	{"Remove/all of it, and what began before", removeAll},
	{"NextVersion/at once: each greater", versionsAtOnce},
}

// passage is the n-th of a document's version; its text and vector tell which it is.
func passage(doc string, version int64, n int) storage.Passage {
	v := make([]float32, 8)
	v[n%8], v[(n+1)%8] = float32(version%1000)+1, float32(n)/3
	return storage.Passage{N: n, Text: fmt.Sprintf("%s\n%d\n%d", doc, version, n), Headings: []string{doc, fmt.Sprint("§ ", n)}, Page: n, Vector: v}
}

func passages(doc string, version int64, n int) []storage.Passage {
	all := make([]storage.Passage, n)
	for i := range all {
		all[i] = passage(doc, version, i)
	}
	return all
}

func documentOf(doc string, version int64, n int) storage.Document {
	d := storage.Document{
		ID: doc, Version: version, Title: "title of " + doc, URL: "https://a.example/" + doc, Source: "test", Passages: n,
		Metadata: map[string]any{"lang": "en", "n": float64(n)}, ContentType: "text/plain", EmbeddingModel: "m", Updated: epoch.Add(time.Duration(n) * time.Second),
	}
	for _, p := range passages(doc, version, n) {
		d.Bytes += int64(len(p.Text))
	}
	return d
}

func (b DocumentBed) begin(t rapid.TB, id tenancy.ID) int64 {
	t.Helper()
	version, err := b.Documents().NextVersion(context.Background(), id)
	must(t, "NextVersion", err)
	return version
}

func (b DocumentBed) stage(t rapid.TB, id tenancy.ID, doc string, version int64, all ...storage.Passage) {
	t.Helper()
	for part := range slices.Chunk(all, storage.MaxStaged) {
		must(t, "Stage", b.Documents().Stage(context.Background(), id, doc, version, part))
	}
}

// publish stages and publishes a new version of n passages.
func (b DocumentBed) publish(t rapid.TB, id tenancy.ID, doc string, n int) storage.Document {
	t.Helper()
	version := b.begin(t, id)
	b.stage(t, id, doc, version, passages(doc, version, n)...)
	kept, err := b.Documents().Publish(context.Background(), id, documentOf(doc, version, n))
	must(t, "Publish", err)
	return kept
}

func (b DocumentBed) remove(t rapid.TB, id tenancy.ID, doc string) bool {
	t.Helper()
	there, err := b.Documents().Remove(context.Background(), id, doc)
	must(t, "Remove", err)
	return there
}

// passages reads a version to its end, a page at a time.
func (b DocumentBed) passages(t rapid.TB, id tenancy.ID, doc string, version int64, limit int, vectors bool) []storage.Passage {
	t.Helper()
	var all []storage.Passage
	for {
		page, err := b.Documents().Passages(context.Background(), id, doc, version, len(all), limit, vectors)
		must(t, "Passages", err)
		if len(page) > limit {
			t.Fatalf("a page of %d has %d passages", limit, len(page))
		}
		if len(page) == 0 {
			return all
		}
		all = append(all, page...)
	}
}

// wantDocument compares all that can be read of a document with want; its change is the
// store's own.
func (b DocumentBed) wantDocument(t rapid.TB, id tenancy.ID, want storage.Document, all []storage.Passage) {
	t.Helper()
	got, there, err := b.Documents().Document(context.Background(), id, want.ID)
	must(t, "Document", err)
	if !there {
		t.Fatalf("%q isn't there", want.ID)
	}
	if got.Change == 0 {
		t.Errorf("%q has no change", want.ID)
	}
	got.Change = want.Change
	sameDocuments(t, "document", got, want)
	sameDocuments(t, "passages", b.passages(t, id, want.ID, want.Version, 100, true), all)
}

// sameDocuments compares what nil and empty mean alike.
func sameDocuments(t rapid.TB, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		t.Fatalf("%s (-want +got):\n%s", what, d)
	}
}

func (b DocumentBed) wantNone(t rapid.TB, id tenancy.ID, doc string) {
	t.Helper()
	if d, there, err := b.Documents().Document(context.Background(), id, doc); err != nil || there {
		t.Fatalf("%q is there: %+v, error %v", doc, d, err)
	}
}

func (b DocumentBed) wantTotals(t rapid.TB, id tenancy.ID, documents, passages int64) {
	t.Helper()
	d, p, err := b.Documents().Totals(context.Background(), id)
	must(t, "Totals", err)
	if d != documents || p != passages {
		t.Fatalf("totals: got %d documents, %d passages; want %d, %d", d, p, documents, passages)
	}
}

func (b DocumentBed) head(t rapid.TB, id tenancy.ID) int64 {
	t.Helper()
	head, err := b.Documents().Head(context.Background(), id)
	must(t, "Head", err)
	return head
}

func publishWhole(t rapid.TB, b DocumentBed) {
	ctx, id := context.Background(), tenant(t, "a")
	all := []storage.Passage{
		{Text: "</script>\"'\\ \u2028 \x00\x01 {{x}} \r\n\t", Headings: []string{"日本語", "", "a\x00b"}, Page: 1},
		{N: 1, Text: "🙂 é 日本語", Page: math.MaxInt32},
		{N: 2, Text: strings.Repeat("m", storage.MaxTextBytes)},
		{N: 3, Text: " ", Headings: slices.Repeat([]string{"h"}, 8)},
	}
	d := storage.Document{
		ID: "a/b 'c' \"d\"%_*?.ü", Title: strings.Repeat("t", storage.MaxTitleBytes), URL: "https://a.example/?q=ü", Source: "upload", Passages: len(all), Bytes: 1 << 40,
		Metadata:    map[string]any{"s": "ß", "n": -0.1, "b": true, "big": 1e300, "no": false, "empty": "", "größe": 7.0},
		ContentType: "text/html; charset=utf-8", EmbeddingModel: "@cf/baai/bge-base-en-v1.5", Updated: epoch.Add(123 * time.Millisecond),
	}
	extremes := []float32{math.MaxFloat32, math.SmallestNonzeroFloat32, -1, 0.1, float32(math.Copysign(0, -1)), 1.0 / 3, -math.MaxFloat32, 1e-30}
	for _, vectors := range []bool{false, true} {
		if vectors {
			for i := range all {
				all[i].Vector = append(slices.Clone(extremes[i:]), extremes[:i]...)
			}
			d.ID += "v"
		}
		d.Version = b.begin(t, id)
		b.stage(t, id, d.ID, d.Version, all...)
		kept, err := b.Documents().Publish(ctx, id, d)
		must(t, "Publish", err)
		want := d
		want.Created, want.Change = d.Updated, kept.Change
		sameDocuments(t, "what Publish returns", kept, want)
		b.wantDocument(t, id, want, all)
	}
	// What the caller does with its own later changes nothing, nor what a reader does.
	d.Metadata["s"], all[0].Text, all[0].Vector[0], all[0].Headings[0] = "changed", "changed", 42, "changed"
	read := b.passages(t, id, d.ID, d.Version, 10, true)
	read[1].Vector[0] = 42
	again := b.passages(t, id, d.ID, d.Version, 10, true)
	got, _, err := b.Documents().Document(ctx, id, d.ID)
	must(t, "Document", err)
	if got.Metadata["s"] != "ß" || again[0].Vector[0] == 42 || again[0].Headings[0] != "日本語" || again[1].Vector[0] == 42 {
		t.Errorf("the store shares what it keeps: %+v", got)
	}
}

func publishHides(t rapid.TB, b DocumentBed) {
	ctx, id := context.Background(), tenant(t, "a")
	version := b.begin(t, id)
	b.stage(t, id, "d", version, passages("d", version, 3)...)
	hidden := func() {
		t.Helper()
		b.wantNone(t, id, "d")
		b.wantTotals(t, id, 0, 0)
		list, next, err := b.Documents().List(ctx, id, 10, "")
		must(t, "List", err)
		changes, err := b.Documents().Changes(ctx, id, 0, 10)
		must(t, "Changes", err)
		vectors, err := b.Documents().Vectors(ctx, id, []storage.PassageKey{{Doc: "d", Version: version, N: 1}})
		must(t, "Vectors", err)
		if len(list) != 0 || next != "" || len(changes) != 0 || b.head(t, id) != 0 || vectors[0] != nil || b.passages(t, id, "d", version, 10, true) != nil {
			t.Fatalf("found: %v, %v, %v", list, changes, vectors)
		}
	}
	hidden()
	_, err := b.Documents().Publish(ctx, id, documentOf("d", version, 4))
	wantErr(t, "Publish", err, storage.ErrIncomplete)
	hidden()
	// Beside a published version the staged one is hidden too.
	first := b.publish(t, id, "e", 2)
	version = b.begin(t, id)
	b.stage(t, id, "e", version, passages("e", version, 3)...)
	b.wantDocument(t, id, first, passages("e", first.Version, 2))
	if got := b.passages(t, id, "e", version, 10, false); got != nil {
		t.Errorf("found %v", got)
	}
	b.wantTotals(t, id, 1, 2)
}

func publishIncomplete(t rapid.TB, b DocumentBed) {
	ctx, id := context.Background(), tenant(t, "a")
	first := b.publish(t, id, "d", 3)
	head := b.head(t, id)
	for what, staged := range map[string][]int{"none": nil, "the first": {1, 2, 3, 4}, "the last": {0, 1, 2, 3}, "one between": {0, 1, 3, 4}, "one, with one beyond": {0, 1, 2, 3, 9}} {
		version := b.begin(t, id)
		for _, n := range staged {
			b.stage(t, id, "d", version, passage("d", version, n))
		}
		_, err := b.Documents().Publish(ctx, id, documentOf("d", version, 5))
		wantErr(t, what+" is missing", err, storage.ErrIncomplete)
		b.wantDocument(t, id, first, passages("d", first.Version, 3))
		// What was missing can still come.
		if len(staged) > 0 {
			continue
		}
		b.stage(t, id, "e", version, passages("e", version, 5)...)
		_, err = b.Documents().Publish(ctx, id, documentOf("d", version, 5))
		wantErr(t, "another document's are staged", err, storage.ErrIncomplete)
	}
	if got := b.head(t, id); got != head {
		t.Errorf("head went from %d to %d", head, got)
	}
	version := b.begin(t, id)
	b.stage(t, id, "d", version, passage("d", version, 1))
	_, err := b.Documents().Publish(ctx, id, documentOf("d", version, 2))
	wantErr(t, "one is missing", err, storage.ErrIncomplete)
	b.stage(t, id, "d", version, passage("d", version, 0))
	kept, err := b.Documents().Publish(ctx, id, documentOf("d", version, 2))
	must(t, "Publish", err)
	b.wantDocument(t, id, kept, passages("d", version, 2))
}

func publishTwice(t rapid.TB, b DocumentBed) {
	ctx, id := context.Background(), tenant(t, "a")
	first := b.publish(t, id, "d", 3)
	head := b.head(t, id)
	again := documentOf("d", first.Version, 3)
	again.Title = "another title"
	kept, err := b.Documents().Publish(ctx, id, again)
	must(t, "Publish again", err)
	sameDocuments(t, "what it returns", kept, first)
	other := passages("d", first.Version+1, 3)
	must(t, "Stage of what is published", b.Documents().Stage(ctx, id, "d", first.Version, other))
	kept, err = b.Documents().Publish(ctx, id, again)
	must(t, "Publish again", err)
	sameDocuments(t, "what it returns", kept, first)
	b.wantDocument(t, id, first, passages("d", first.Version, 3))
	if got := b.head(t, id); got != head {
		t.Errorf("head went from %d to %d", head, got)
	}
	b.wantTotals(t, id, 1, 3)
}

func publishOld(t rapid.TB, b DocumentBed) {
	ctx, id := context.Background(), tenant(t, "a")
	old := b.begin(t, id)
	b.stage(t, id, "d", old, passages("d", old, 2)...)
	first := b.publish(t, id, "d", 3)
	refused := func(what string, version int64) {
		t.Helper()
		wantErr(t, "Stage of "+what, b.Documents().Stage(ctx, id, "d", version, passages("d", version, 2)), storage.ErrOldVersion)
		_, err := b.Documents().Publish(ctx, id, documentOf("d", version, 2))
		wantErr(t, "Publish of "+what, err, storage.ErrOldVersion)
	}
	refused("an older version", old)
	refused("a version never given", first.Version+1)
	refused("one of far away", math.MaxInt64)
	b.wantDocument(t, id, first, passages("d", first.Version, 3))
	// Another document may still have it.
	b.stage(t, id, "e", old, passages("e", old, 1)...)
	kept, err := b.Documents().Publish(ctx, id, documentOf("e", old, 1))
	must(t, "Publish", err)
	b.wantDocument(t, id, kept, passages("e", old, 1))
	if kept.Change <= first.Change {
		t.Errorf("change %d comes after %d", kept.Change, first.Change)
	}
}

func publishReplaces(t rapid.TB, b DocumentBed) {
	ctx, id := context.Background(), tenant(t, "a")
	first := b.publish(t, id, "d", 5)
	version := b.begin(t, id)
	b.stage(t, id, "d", version, passages("d", version, 4)...) // two more than are published
	kept, err := b.Documents().Publish(ctx, id, documentOf("d", version, 2))
	must(t, "Publish", err)
	want := documentOf("d", version, 2)
	want.Created, want.Change = first.Created, kept.Change
	b.wantDocument(t, id, want, passages("d", version, 2))
	b.wantTotals(t, id, 1, 2)
	if got := b.passages(t, id, "d", first.Version, 10, false); got != nil {
		t.Errorf("of the version before stayed %v", got)
	}
	vectors, err := b.Documents().Vectors(ctx, id, []storage.PassageKey{
		{Doc: "d", Version: first.Version, N: 0}, {Doc: "d", Version: version, N: 1}, {Doc: "d", Version: version, N: 2},
	})
	must(t, "Vectors", err)
	sameDocuments(t, "vectors", vectors, [][]float32{nil, passage("d", version, 1).Vector, nil})
	if kept.Change <= first.Change || version <= first.Version {
		t.Errorf("change %d, version %d after %d, %d", kept.Change, version, first.Change, first.Version)
	}
}

func stageAgain(t rapid.TB, b DocumentBed) {
	ctx, id := context.Background(), tenant(t, "a")
	version := b.begin(t, id)
	for _, n := range []int{4, 0, 2, 1, 3} {
		wrong := passage("wrong", version, n)
		b.stage(t, id, "d", version, wrong)
	}
	mixed := passages("d", version, 5)
	slices.Reverse(mixed)
	b.stage(t, id, "d", version, mixed[:3]...)
	b.stage(t, id, "d", version, mixed[1:]...)
	must(t, "Stage of nothing", b.Documents().Stage(ctx, id, "d", version, nil))
	kept, err := b.Documents().Publish(ctx, id, documentOf("d", version, 5))
	must(t, "Publish", err)
	b.wantDocument(t, id, kept, passages("d", version, 5))
	b.wantTotals(t, id, 1, 5)
}

func stageAllOrNone(t rapid.TB, b DocumentBed) {
	ctx, id := context.Background(), tenant(t, "a")
	version := b.begin(t, id)
	long := passage("d", version, 1)
	long.Text = strings.Repeat("x", storage.MaxTextBytes+1)
	for what, bad := range map[string][]storage.Passage{
		"too long":                  {long},
		"a number twice":            {passage("d", version, 1), passage("d", version, 1)},
		"a number below 0":          {{N: -1, Text: "x"}},
		"a number beyond":           {{N: storage.MaxPassages, Text: "x"}},
		"no text":                   {{N: 1}},
		"not UTF-8":                 {{N: 1, Text: "\xff"}},
		"a heading not UTF-8":       {{N: 1, Text: "x", Headings: []string{"\xff"}}},
		"vectors of two lengths":    {{N: 1, Text: "x", Vector: []float32{1, 2}}, {N: 2, Text: "x", Vector: []float32{1}}},
		"a vector that isn't one":   {{N: 1, Text: "x", Vector: []float32{float32(math.NaN())}}},
		"a vector without a length": {{N: 1, Text: "x", Vector: []float32{0, 0}}},
		"too many":                  make([]storage.Passage, storage.MaxStaged+1),
	} {
		all := append([]storage.Passage{{Text: "x", Vector: bad[0].Vector}}, bad...)
		wantErr(t, what, b.Documents().Stage(ctx, id, "d", version, all), storage.ErrBadDocument)
	}
	_, err := b.Documents().Publish(ctx, id, documentOf("d", version, 1))
	wantErr(t, "nothing was staged", err, storage.ErrIncomplete)
	for what, doc := range badDocIDs() {
		wantErr(t, what, b.Documents().Stage(ctx, id, doc, version, passages("d", version, 1)), storage.ErrBadDocument)
	}
	wantErr(t, "version 0", b.Documents().Stage(ctx, id, "d", 0, passages("d", 0, 1)), storage.ErrBadDocument)
	// A thousand at once are taken.
	b.stage(t, id, "d", version, passages("d", version, storage.MaxStaged)...)
	kept, err := b.Documents().Publish(ctx, id, documentOf("d", version, storage.MaxStaged))
	must(t, "Publish", err)
	b.wantDocument(t, id, kept, passages("d", version, storage.MaxStaged))
}

func badDocIDs() map[string]string {
	return map[string]string{
		"none": "", "too long": strings.Repeat("x", storage.MaxDocBytes+1), "not UTF-8": "\xff", "a control character": "a\x00b",
		"a dot segment": "a/../b", "an empty segment": "a//b", "a leading slash": "/a",
	}
}

func stageDimensions(t rapid.TB, b DocumentBed) {
	ctx, id := context.Background(), tenant(t, "a")
	with, without := storage.Passage{N: 1, Text: "x", Vector: []float32{1, 2, 3}}, storage.Passage{N: 1, Text: "x"}
	for what, c := range map[string]struct{ first, second storage.Passage }{
		"vectors after none": {storage.Passage{Text: "x"}, with}, "none after vectors": {storage.Passage{Text: "x", Vector: []float32{1, 2, 3}}, without},
		"of another length": {storage.Passage{Text: "x", Vector: []float32{1, 2}}, with},
	} {
		version := b.begin(t, id)
		b.stage(t, id, "d", version, c.first)
		wantErr(t, what, b.Documents().Stage(ctx, id, "d", version, []storage.Passage{c.second}), storage.ErrBadDocument)
		_, err := b.Documents().Publish(ctx, id, documentOf("d", version, 2))
		wantErr(t, what, err, storage.ErrIncomplete)
	}
	// Another version may have others.
	version := b.begin(t, id)
	b.stage(t, id, "d", version, storage.Passage{Text: "x", Vector: []float32{1}})
	d, err := b.Documents().Publish(ctx, id, documentOf("d", version, 1))
	must(t, "Publish", err)
	b.wantDocument(t, id, d, []storage.Passage{{Text: "x", Vector: []float32{1}}})
}

func removeAll(t rapid.TB, b DocumentBed) {
	ctx, id := context.Background(), tenant(t, "a")
	if b.remove(t, id, "d") {
		t.Errorf("what never was is removed")
	}
	first := b.publish(t, id, "d", 3)
	other := b.publish(t, id, "d2", 2)
	before := b.begin(t, id)
	staged := b.begin(t, id)
	b.stage(t, id, "d", staged, passages("d", staged, 2)...)
	if !b.remove(t, id, "d") {
		t.Errorf("what was there isn't told")
	}
	b.wantNone(t, id, "d")
	b.wantTotals(t, id, 1, 2)
	b.wantDocument(t, id, other, passages("d2", other.Version, 2))
	if got := b.passages(t, id, "d", first.Version, 10, true); got != nil {
		t.Errorf("stayed: %v", got)
	}
	for what, version := range map[string]int64{"begun before": before, "staged before": staged, "published before": first.Version} {
		wantErr(t, "Stage of one "+what, b.Documents().Stage(ctx, id, "d", version, passages("d", version, 2)), storage.ErrOldVersion)
		_, err := b.Documents().Publish(ctx, id, documentOf("d", version, 2))
		wantErr(t, "Publish of one "+what, err, storage.ErrOldVersion)
	}
	head := b.head(t, id)
	if b.remove(t, id, "d") || b.head(t, id) != head {
		t.Errorf("removed twice; head went from %d to %d", head, b.head(t, id))
	}
	// The first version of a document can be forestalled as well.
	early := b.begin(t, id)
	b.stage(t, id, "new", early, passages("new", early, 1)...)
	b.remove(t, id, "new")
	_, err := b.Documents().Publish(ctx, id, documentOf("new", early, 1))
	wantErr(t, "Publish after the removal", err, storage.ErrOldVersion)
	again := b.publish(t, id, "d", 1)
	want := documentOf("d", again.Version, 1)
	want.Created, want.Change = want.Updated, again.Change
	b.wantDocument(t, id, want, passages("d", again.Version, 1))
	b.wantTotals(t, id, 2, 3)
	for what, doc := range badDocIDs() {
		_, err := b.Documents().Remove(ctx, id, doc)
		wantErr(t, what, err, storage.ErrBadDocument)
	}
}
