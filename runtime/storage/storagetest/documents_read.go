package storagetest

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

var documentReadChecks = []DocumentCheck{
	{"List/in the order of ids, page by page", listDocuments},
	{"List/a foreign cursor is refused", listDocumentCursors},
	{"Passages/page by page, vectors only if asked for", passagePages},
	{"Vectors/in the order of keys, none for what isn't there", vectorsOfKeys},
	{"Documents/what can't be kept is refused", documentsRefused},
}

func listDocuments(t rapid.TB, b DocumentBed) {
	ctx, id := context.Background(), tenant(t, "a")
	ids := []string{"b", "a", "a/b", "a b", "A", "ä", "z", "a'--", "%", "_", "*", "a/b/c", "\U0001F642", "～", "10", "9", strings.Repeat("x", storage.MaxDocBytes)}
	want := map[string]storage.Document{}
	for i, doc := range ids {
		want[doc] = b.publish(t, id, doc, 1+i%3)
	}
	b.publish(t, tenant(t, "b"), "another's", 1)
	b.publish(t, id, "gone", 1)
	b.remove(t, id, "gone")
	slices.Sort(ids)
	for _, limit := range []int{1, 2, 5, len(ids), 100} {
		var got []storage.Document
		for cursor := ""; ; {
			page, next, err := b.Documents().List(ctx, id, limit, cursor)
			must(t, "List", err)
			if len(page) > limit || next != "" && len(page) == 0 || len(got) > len(ids) {
				t.Fatalf("by %d: a page of %d, next %q, after %d", limit, len(page), next, len(got))
			}
			got = append(got, page...)
			if cursor = next; cursor == "" {
				break
			}
		}
		if len(got) != len(ids) {
			t.Fatalf("by %d: got %d documents, want %d", limit, len(got), len(ids))
		}
		for i, d := range got {
			sameDocuments(t, fmt.Sprintf("document %d by %d", i, limit), d, want[ids[i]])
		}
	}
	for _, limit := range []int{0, -1} {
		_, _, err := b.Documents().List(ctx, id, limit, "")
		wantErr(t, fmt.Sprint("limit ", limit), err, storage.ErrBadLimit)
	}
}

func listDocumentCursors(t rapid.TB, b DocumentBed) {
	ctx, a, other := context.Background(), tenant(t, "a"), tenant(t, "b")
	for i := range 4 {
		b.publish(t, a, fmt.Sprint("d", i), 1)
		b.publish(t, other, fmt.Sprint("d", i), 1)
	}
	_, cursor, err := b.Documents().List(ctx, a, 2, "")
	must(t, "List", err)
	for what, bad := range map[string]string{"another tenant's": cursor, "one made up": "d1", "one altered": cursor + "A", "SQL": "' OR 1=1 --"} {
		got, _, err := b.Documents().List(ctx, other, 2, bad)
		wantErr(t, what, err, storage.ErrBadCursor)
		if len(got) != 0 {
			t.Errorf("%s cursor: got %v", what, got)
		}
	}
}

func passagePages(t rapid.TB, b DocumentBed) {
	ctx, id := context.Background(), tenant(t, "a")
	const n = 23
	d := b.publish(t, id, "d", n)
	b.publish(t, id, "e", 5)
	for _, limit := range []int{1, 4, n, 1000} {
		sameDocuments(t, fmt.Sprint("by ", limit), b.passages(t, id, "d", d.Version, limit, true), passages("d", d.Version, n))
	}
	for _, c := range []struct{ from, limit, want int }{{0, 3, 3}, {20, 10, 3}, {22, 1, 1}, {23, 5, 0}, {math.MaxInt32, 5, 0}, {-5, 3, 3}} {
		got, err := b.Documents().Passages(ctx, id, "d", d.Version, c.from, c.limit, false)
		must(t, "Passages", err)
		if len(got) != c.want {
			t.Fatalf("from %d, up to %d: got %d passages, want %d", c.from, c.limit, len(got), c.want)
		}
		for i, p := range got {
			want := passage("d", d.Version, max(0, c.from)+i)
			want.Vector = nil
			sameDocuments(t, "passage without vector", p, want)
		}
	}
	for what, version := range map[string]int64{"an older": d.Version - 1, "a newer": d.Version + 1, "0": 0, "the least": math.MinInt64} {
		got, err := b.Documents().Passages(ctx, id, "d", version, 0, 10, true)
		if err != nil || len(got) != 0 {
			t.Errorf("%s version: got %v, error %v", what, got, err)
		}
	}
	_, err := b.Documents().Passages(ctx, id, "d", d.Version, 0, 0, false)
	wantErr(t, "limit 0", err, storage.ErrBadLimit)
	// The largest passages come too, one at least a page.
	version := b.begin(t, id)
	for i := range 6 {
		b.stage(t, id, "big", version, storage.Passage{N: i, Text: strings.Repeat(fmt.Sprint(i), storage.MaxTextBytes)})
	}
	_, err = b.Documents().Publish(ctx, id, documentOf("big", version, 6))
	must(t, "Publish", err)
	big := b.passages(t, id, "big", version, 1000, true)
	if len(big) != 6 || big[5].N != 5 || big[5].Text != strings.Repeat("5", storage.MaxTextBytes) {
		t.Errorf("of 6 of a MiB: got %d", len(big))
	}
}

func vectorsOfKeys(t rapid.TB, b DocumentBed) {
	ctx, id := context.Background(), tenant(t, "a")
	d, e := b.publish(t, id, "d", 5), b.publish(t, id, "e's \"\\", 3)
	version := b.begin(t, id)
	b.stage(t, id, "staged", version, passages("staged", version, 1)...)
	b.stage(t, id, "bare", version, storage.Passage{Text: "x"})
	_, err := b.Documents().Publish(ctx, id, documentOf("bare", version, 1))
	must(t, "Publish", err)
	keys := []storage.PassageKey{
		{Doc: "e's \"\\", Version: e.Version, N: 2}, {Doc: "d", Version: d.Version, N: 4}, {Doc: "d", Version: d.Version, N: 0}, {Doc: "d", Version: d.Version, N: 4},
		{Doc: "d", Version: d.Version, N: 5}, {Doc: "d", Version: d.Version, N: -1}, {Doc: "d", Version: d.Version, N: math.MaxInt}, {Doc: "d", Version: d.Version, N: math.MinInt},
		{Doc: "d", Version: d.Version, N: storage.MaxPassages}, {Doc: "d", Version: d.Version + 1, N: 0}, {Doc: "x", Version: d.Version, N: 0}, {}, {Doc: "\xff\x00", Version: 1},
		{Doc: "staged", Version: version, N: 0}, {Doc: "bare", Version: version, N: 0}, {Doc: "d", Version: d.Version, N: 1},
	}
	want := make([][]float32, len(keys))
	want[0], want[1], want[2], want[3] = passage("e", e.Version, 2).Vector, passage("d", d.Version, 4).Vector, passage("d", d.Version, 0).Vector, passage("d", d.Version, 4).Vector
	want[15] = passage("d", d.Version, 1).Vector
	got, err := b.Documents().Vectors(ctx, id, keys)
	must(t, "Vectors", err)
	sameDocuments(t, "vectors", got, want)
	got, err = b.Documents().Vectors(ctx, tenant(t, "b"), keys)
	must(t, "Vectors of another", err)
	sameDocuments(t, "another's vectors", got, make([][]float32, len(keys)))
	if got, err := b.Documents().Vectors(ctx, id, nil); err != nil || len(got) != 0 {
		t.Errorf("of no keys: got %v, error %v", got, err)
	}
}

func documentsRefused(t rapid.TB, b DocumentBed) {
	ctx, id := context.Background(), tenant(t, "a")
	version := b.begin(t, id)
	b.stage(t, id, "d", version, passages("d", version, 1)...)
	for what, change := range map[string]func(*storage.Document){
		"a title too long":      func(d *storage.Document) { d.Title = strings.Repeat("x", storage.MaxTitleBytes+1) },
		"a URL not UTF-8":       func(d *storage.Document) { d.URL = "\xff" },
		"no passages":           func(d *storage.Document) { d.Passages = 0 },
		"too many passages":     func(d *storage.Document) { d.Passages = storage.MaxPassages + 1 },
		"no version":            func(d *storage.Document) { d.Version = 0 },
		"no time":               func(d *storage.Document) { d.Updated = time.Time{} },
		"bytes below 0":         func(d *storage.Document) { d.Bytes = -1 },
		"metadata of a list":    func(d *storage.Document) { d.Metadata = map[string]any{"x": []any{"y"}} },
		"metadata of no number": func(d *storage.Document) { d.Metadata = map[string]any{"x": math.NaN()} },
		"a property's name":     func(d *storage.Document) { d.Metadata = map[string]any{"$x": "y"} },
	} {
		d := documentOf("d", version, 1)
		change(&d)
		_, err := b.Documents().Publish(ctx, id, d)
		wantErr(t, what, err, storage.ErrBadDocument)
	}
	for what, doc := range badDocIDs() {
		d := documentOf("d", version, 1)
		d.ID = doc
		_, err := b.Documents().Publish(ctx, id, d)
		wantErr(t, what, err, storage.ErrBadDocument)
		_, _, err = b.Documents().Document(ctx, id, doc)
		wantErr(t, "Document of "+what, err, storage.ErrBadDocument)
		_, err = b.Documents().Passages(ctx, id, doc, version, 0, 1, false)
		wantErr(t, "Passages of "+what, err, storage.ErrBadDocument)
	}
	b.wantTotals(t, id, 0, 0)
	kept, err := b.Documents().Publish(ctx, id, documentOf("d", version, 1))
	must(t, "Publish", err)
	b.wantDocument(t, id, kept, passages("d", version, 1))
}
