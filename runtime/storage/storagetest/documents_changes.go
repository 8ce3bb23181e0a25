package storagetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"pgregory.net/rapid"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

var documentChangeChecks = []DocumentCheck{
	{"Changes/the last of each document, in order, page by page", changesInOrder},
	{"Changes/removals are told, or told to be forgotten", changesForgotten},
	{"Changes/beyond the head is refused", changesBeyond},
	{"Await/a change, a removal, an erasure wake it", awaitChange},
	{"Await/ends with its context", awaitEnds},
	{"Stage/a version that is left may go, one in use stays", stageLeft},
}

func (b DocumentBed) changes(t rapid.TB, id tenancy.ID, since int64, limit int) []storage.Change {
	t.Helper()
	got, err := b.Documents().Changes(context.Background(), id, since, limit)
	must(t, "Changes", err)
	if len(got) > limit {
		t.Fatalf("asked for %d changes, got %d", limit, len(got))
	}
	for i, c := range got {
		if c.Seq <= since || i > 0 && c.Seq <= got[i-1].Seq || c.Document != nil && (c.Document.ID != c.Doc || c.Document.Change != c.Seq) {
			t.Fatalf("since %d: %+v out of order in %+v", since, c, got)
		}
	}
	return got
}

// told spells changes: a document's id, with a minus if it was removed.
func told(changes []storage.Change) (all []string) {
	for _, c := range changes {
		if c.Document == nil {
			c.Doc = "-" + c.Doc
		}
		all = append(all, c.Doc)
	}
	return all
}

func changesInOrder(t rapid.TB, b DocumentBed) {
	ctx, id := context.Background(), tenant(t, "a")
	none := b.head(t, id)
	first := b.publish(t, id, "a", 1)
	b.publish(t, tenant(t, "b"), "another's", 1)
	b.publish(t, id, "b", 1)
	b.publish(t, id, "c", 2)
	b.publish(t, id, "d", 1)
	again := b.publish(t, id, "b", 3)
	b.remove(t, id, "c")
	last := b.publish(t, id, "e", 1)
	if head := b.head(t, id); none != 0 || head != last.Change {
		t.Errorf("the head went from %d to %d, want 0 to %d", none, head, last.Change)
	}
	same(t, "since the first", told(b.changes(t, id, first.Change, 10)), []string{"d", "b", "-c", "e"})
	same(t, "since 0", told(b.changes(t, id, 0, 10)), []string{"a", "d", "b", "e"})
	same(t, "since the last", told(b.changes(t, id, last.Change, 10)), []string(nil))
	var paged []string
	for since := first.Change; ; {
		page := b.changes(t, id, since, 1)
		if len(page) == 0 {
			break
		}
		paged, since = append(paged, told(page)...), page[0].Seq
	}
	same(t, "one by one", paged, []string{"d", "b", "-c", "e"})
	sameDocuments(t, "the document told", *b.changes(t, id, first.Change, 10)[1].Document, again)
	b.remove(t, id, "b")
	b.publish(t, id, "c", 1)
	same(t, "later", told(b.changes(t, id, first.Change, 10)), []string{"d", "e", "-b", "c"})
	for _, limit := range []int{0, -1} {
		_, err := b.Documents().Changes(ctx, id, 0, limit)
		wantErr(t, fmt.Sprint("limit ", limit), err, storage.ErrBadLimit)
	}
}

func changesForgotten(t rapid.TB, b DocumentBed) {
	ctx, id := context.Background(), tenant(t, "a")
	first := b.publish(t, id, "a", 1)
	b.publish(t, id, "b", 1)
	b.remove(t, id, "b")
	b.publish(t, id, "c", 1)
	same(t, "at once", told(b.changes(t, id, first.Change, 10)), []string{"-b", "c"})
	if b.Pass == nil {
		return
	}
	b.Pass(storage.TombstonesKept + time.Hour)
	// Whatever a store forgets, it forgets when something else changes.
	b.remove(t, id, "x")
	last := b.publish(t, id, "d", 1)
	got, err := b.Documents().Changes(ctx, id, first.Change, 10)
	if !errors.Is(err, storage.ErrChangesForgotten) {
		must(t, "Changes", err)
		same(t, "a day later", told(got), []string{"-b", "c", "d"})
	}
	same(t, "since 0", told(b.changes(t, id, 0, 10)), []string{"a", "c", "d"})
	b.remove(t, id, "c")
	same(t, "since the last", told(b.changes(t, id, last.Change, 10)), []string{"-c"})
}

func changesBeyond(t rapid.TB, b DocumentBed) {
	ctx, id := context.Background(), tenant(t, "a")
	for _, since := range []int64{1, math.MaxInt64} {
		_, err := b.Documents().Changes(ctx, id, since, 10)
		wantErr(t, "before the first change", err, storage.ErrChangesForgotten)
	}
	d := b.publish(t, id, "a", 1)
	for _, since := range []int64{d.Change + 1, math.MaxInt64, -1} {
		_, err := b.Documents().Changes(ctx, id, since, 10)
		wantErr(t, "beyond", err, storage.ErrChangesForgotten)
	}
	_, err := b.Portable().Erase(ctx, id)
	must(t, "Erase", err)
	_, err = b.Documents().Changes(ctx, id, d.Change, 10)
	wantErr(t, "after an erasure", err, storage.ErrChangesForgotten)
	for i := range 3 {
		b.publish(t, id, fmt.Sprint("b", i), 1)
	}
	_, err = b.Documents().Changes(ctx, id, d.Change, 10)
	wantErr(t, "after an erasure and changes", err, storage.ErrChangesForgotten)
}

// patience is for a call that must return; it is no measure.
const patience = 10 * time.Second

func awaitChange(t rapid.TB, b DocumentBed) {
	id, other := tenant(t, "a"), tenant(t, "b")
	b.publish(t, other, "x", 1)
	for what, change := range map[string]func(){
		"a publication": func() { b.publish(t, id, "d", 1) },
		"a removal":     func() { b.remove(t, id, "d0") },
		"an erasure": func() {
			_, err := b.Portable().Erase(context.Background(), id)
			must(t, "Erase", err)
		},
	} {
		b.publish(t, id, "d0", 1)
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		before := b.head(t, id)
		type answer struct {
			head int64
			err  error
		}
		answers := make(chan answer, 2)
		for range 2 {
			go func() {
				head, err := b.Documents().Await(ctx, id, before)
				answers <- answer{head, err}
			}()
		}
		b.publish(t, other, "x", 1)
		change()
		for range 2 {
			got := <-answers
			if got.err != nil || got.head == before {
				t.Fatalf("%s: got head %d of %d, error %v", what, got.head, before, got.err)
			}
		}
		// Whoever is behind doesn't wait.
		head, err := b.Documents().Await(ctx, id, before)
		if err != nil || head != b.head(t, id) {
			t.Errorf("%s, from behind: got %d, error %v, want %d", what, head, err, b.head(t, id))
		}
		cancel()
	}
}

func awaitEnds(t rapid.TB, b DocumentBed) {
	id := tenant(t, "a")
	b.publish(t, id, "d", 1)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	head, err := b.Documents().Await(ctx, id, b.head(t, id))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got head %d, error %v", head, err)
	}
}

func stageLeft(t rapid.TB, b DocumentBed) {
	if b.Pass == nil {
		return
	}
	ctx, id := context.Background(), tenant(t, "a")
	left, used := b.begin(t, id), b.begin(t, id)
	b.stage(t, id, "left", left, passages("left", left, 2)...)
	b.stage(t, id, "used", used, passage("used", used, 0))
	b.Pass(20 * time.Hour)
	b.stage(t, id, "used", used, passage("used", used, 1))
	b.Pass(20 * time.Hour)
	b.publish(t, id, "d", 1)
	d, err := b.Documents().Publish(ctx, id, documentOf("used", used, 2))
	must(t, "Publish of what is in use", err)
	b.wantDocument(t, id, d, passages("used", used, 2))
	if _, err = b.Documents().Publish(ctx, id, documentOf("left", left, 2)); err != nil {
		wantErr(t, "Publish of what was left", err, storage.ErrIncomplete)
	}
}
