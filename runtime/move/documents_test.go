package move_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/runtime/move"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/memory"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

var update = flag.Bool("update", false, "write the snapshot of this version")

// withDocuments publishes n documents, of which every third has many large passages.
func withDocuments(t testing.TB, id tenancy.ID, n int) *memory.Store {
	t.Helper()
	s := memory.New(memory.Options{})
	for i := range n {
		doc := fmt.Sprintf("dir/%03d", i)
		version, err := s.Documents().NextVersion(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		passages := []storage.Passage{
			{Text: "c4nary <first> \u2028\n", Headings: []string{"a", "b"}, Page: 1, Vector: []float32{1, -0.5, 1e-30}},
			{N: 1, Text: fmt.Sprintf("c4nary %d", i), Vector: []float32{0.1, 0, 3}},
		}
		for n := 2; i%3 == 2 && n < 40; n++ {
			passages = append(passages, storage.Passage{N: n, Text: strings.Repeat("long ", 20<<10), Vector: []float32{1, 2, float32(n)}})
		}
		err = s.Documents().Stage(t.Context(), id, doc, version, passages)
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Documents().Publish(t.Context(), id, storage.Document{
			ID: doc, Version: version, Title: "c4nary", Metadata: map[string]any{"n": float64(i), "draft": true}, Passages: len(passages), Bytes: int64(i), Updated: noon,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// library is what can be read of all documents; their versions and changes are a store's
// own.
func library(t testing.TB, s *memory.Store, id tenancy.ID) (all []any) {
	t.Helper()
	docs, next, err := s.Documents().List(t.Context(), id, 1000, "")
	if err != nil || next != "" {
		t.Fatalf("%q, %v", next, err)
	}
	for _, d := range docs {
		passages, err := s.Documents().Passages(t.Context(), id, d.ID, d.Version, 0, 1000, true)
		if err != nil || len(passages) != d.Passages {
			t.Fatalf("%q: %d passages of %d, %v", d.ID, len(passages), d.Passages, err)
		}
		d.Version, d.Change = 0, 0
		all = append(all, d, passages)
	}
	return all
}

func TestASnapshotHoldsDocuments(t *testing.T) {
	t.Parallel()
	id := acme(t)
	from := withDocuments(t, id, 7)
	var b bytes.Buffer
	c, err := move.Snapshot(t.Context(), &b, from.Portable(), id, move.Pace{})
	if err != nil || c.Documents != 7 || c.Passages != 5*2+2*40 || c.Parts < 7+2*3 || c.Records() != c.Documents+c.Parts {
		t.Fatalf("%+v, %v", c, err)
	}
	to := memory.New(memory.Options{})
	for range 2 {
		if got, err := move.Restore(t.Context(), bytes.NewReader(b.Bytes()), to.Portable(), id, move.Taking{}); err != nil || got != c {
			t.Fatalf("%+v, %v", got, err)
		}
		if d := cmp.Diff(library(t, from, id), library(t, to, id)); d != "" {
			t.Errorf("not the same (-want +got):\n%s", d)
		}
	}
}

// TestDocumentsMoveWholeHoweverOftenCutOff: a run that ends between a load and the journal
// loads the end of a document again whose beginning was published with it.
func TestDocumentsMoveWholeHoweverOftenCutOff(t *testing.T) {
	t.Parallel()
	id := acme(t)
	from := withDocuments(t, id, 9)
	for _, after := range []bool{false, true} {
		dir, store := t.TempDir(), memory.New(memory.Options{})
		to := &frail{Portable: store.Portable(), after: after}
		var c move.Counts
		for cut := 1; ; cut++ {
			j, err := move.OpenJournal(dir, id, "valkey://a")
			if err != nil {
				t.Fatal(err)
			}
			// Each run does one load more than the one before.
			to.failAt = to.loads + 2
			if c, err = move.Copy(t.Context(), from.Portable(), to, id, j, move.Pace{}); err == nil {
				break
			}
			if !errors.Is(err, errCrash) || cut > 100 {
				t.Fatalf("cut %d: %v", cut, err)
			}
		}
		if c.Documents != 9 || to.loads < 10 {
			t.Errorf("%+v in %d loads", c, to.loads)
		}
		if d := cmp.Diff(library(t, from, id), library(t, store, id)); d != "" {
			t.Errorf("not the same (-want +got):\n%s", d)
		}
	}
}

// TestSnapshotsOfThisVersionStayReadable: the file is written once, by -update.
func TestSnapshotsOfThisVersionStayReadable(t *testing.T) {
	t.Parallel()
	const file = "testdata/v2.jsonl"
	id := acme(t)
	from := withDocuments(t, id, 2)
	if err := from.Portable().Load(t.Context(), id, belongings(1)); err != nil {
		t.Fatal(err)
	}
	if *update {
		var b bytes.Buffer
		if _, err := move.Snapshot(t.Context(), &b, from.Portable(), id, move.Pace{}); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	to := memory.New(memory.Options{})
	c, err := move.Restore(t.Context(), f, to.Portable(), id, move.Taking{})
	if want := (move.Counts{Sessions: 1, Messages: 2, Budgets: 1, Usage: 1, Audit: 1, Documents: 2, Passages: 4, Parts: 2}); err != nil || c != want {
		t.Fatalf("%+v, %v", c, err)
	}
	if d := cmp.Diff(library(t, from, id), library(t, to, id)); d != "" {
		t.Errorf("not the same (-want +got):\n%s", d)
	}
}
