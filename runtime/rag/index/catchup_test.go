package index_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/rag/index"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

// numbered makes n passages of which each has a text of its own.
func numbered(n int, words string) []storage.Passage {
	passages := make([]storage.Passage, n)
	for i := range passages {
		passages[i] = storage.Passage{Text: fmt.Sprintf("%s p%d", words, i), Vector: []float32{1, float32(i) / 100}}
	}
	return passages
}

// Readers see each document in one version and whole, however often it is replaced.
func TestAReplaceIsOneStepForReaders(t *testing.T) {
	t.Parallel()
	const replaces, readers = 60, 3
	b := newBed(t, index.Options{Vectors: index.StoredVectors})
	sizes := sync.Map{} // by version
	publish := func(id string, round int) {
		d := b.publish(storage.Document{ID: id, EmbeddingModel: model}, numbered(1+(round*37)%90, "beacon")...)
		sizes.Store(d.Version, d.Passages)
		b.catchUp()
	}
	publish("a", 1)
	publish("b", 2)
	var done atomic.Bool
	var wait sync.WaitGroup
	for r := range readers {
		wait.Go(func() {
			q := index.Query{Text: "beacon", Mode: index.ByWords, K: 500}
			if r == 0 {
				q = index.Query{Vector: []float32{1, 0}, Mode: index.ByVector, K: 500}
			}
			for !done.Load() {
				hits, err := b.Search(context.Background(), q)
				if err != nil {
					t.Error(err)
					return
				}
				seen := map[string]int64{}
				count := map[string]int{}
				for _, h := range hits {
					if v, there := seen[h.Doc]; there && v != h.Version {
						t.Errorf("%s in versions %d and %d", h.Doc, v, h.Version)
					}
					seen[h.Doc] = h.Version
					count[h.Doc]++
				}
				// Texts of both documents are alike: together they have those of the longer.
				most := 0
				for doc, version := range seen {
					size, _ := sizes.Load(version)
					if size == nil {
						return // published this moment; its size comes after
					}
					most = max(most, size.(int))
					_ = doc
				}
				if len(hits) != most {
					t.Errorf("%d passages of %d: %v in versions %v", len(hits), most, count, seen)
				}
			}
		})
	}
	for round := range replaces {
		publish([]string{"a", "b"}[round%2], round)
	}
	done.Store(true)
	wait.Wait()
}

func TestAReadingThatFailedInTheMiddleIsDoneAgain(t *testing.T) {
	t.Parallel()
	b := newBed(t, index.Options{})
	b.publish(storage.Document{ID: "a"}, numbered(30, "old")...)
	b.publish(storage.Document{ID: "b"}, numbered(30, "old")...)
	b.catchUp()
	b.publish(storage.Document{ID: "a"}, numbered(30, "new")...)
	b.publish(storage.Document{ID: "c"}, numbered(30, "new")...)
	b.remove("b")
	// What was read whole stays, so each reading gets further.
	faults := 0
	for calls := 0; ; calls++ {
		left := calls
		b.docs.set(func(string) error {
			if left--; left < 0 {
				return errPlanted
			}
			return nil
		}, nil)
		err := b.CatchUp(context.Background())
		if err == nil {
			break
		}
		if faults++; !errors.Is(err, errPlanted) {
			t.Fatalf("after %d calls: %v", calls, err)
		}
		if old, now := len(b.search(index.Query{Text: "old", K: 100})), len(b.search(index.Query{Text: "new", K: 100})); old != 30 || now != 0 && now != 30 {
			t.Fatalf("after %d calls %d old passages, %d new ones", calls, old, now)
		}
	}
	if faults < 8 {
		t.Errorf("only %d faults", faults)
	}
	b.docs.set(nil, nil)
	if old, now := b.search(index.Query{Text: "old", K: 100}), b.search(index.Query{Text: "new", K: 100}); len(old) != 0 || len(now) != 30 {
		t.Errorf("%d old passages, %d new ones", len(old), len(now))
	}
	if p := b.Progress(); p.Documents != 2 || p.Passages != 60 {
		t.Errorf("%+v", p)
	}
}

func TestACancelledReadingLeavesTheRestToOthers(t *testing.T) {
	t.Parallel()
	b := newBed(t, index.Options{})
	b.publish(storage.Document{ID: "a"}, numbered(30, "boat")...)
	ctx, cancel := context.WithCancel(context.Background())
	b.docs.set(nil, func(call string) {
		if call == "Passages" {
			cancel()
		}
	})
	if err := b.CatchUp(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	b.docs.set(nil, nil)
	b.catchUp()
	if hits := b.search(index.Query{Text: "boat", K: 100}); len(hits) != 30 {
		t.Errorf("%d hits", len(hits))
	}
}

func TestCallersAtOnceShareAReading(t *testing.T) {
	t.Parallel()
	b := newBed(t, index.Options{})
	for i := range 20 {
		b.publish(storage.Document{ID: fmt.Sprint("d", i)}, texts("boat")...)
	}
	var reads atomic.Int32
	b.docs.set(nil, func(call string) {
		if call == "Passages" {
			reads.Add(1)
		}
	})
	var wait sync.WaitGroup
	for range 10 {
		wait.Go(func() {
			if err := b.CatchUp(context.Background()); err != nil {
				t.Error(err)
			}
			if p := b.Progress(); p.Documents != 20 {
				t.Errorf("returned with %d documents", p.Documents)
			}
		})
	}
	wait.Wait()
	if reads.Load() != 20 {
		t.Errorf("20 documents were read %d times", reads.Load())
	}
}

// A document that is replaced while it is read is shown as it was until its change comes.
func TestADocumentReplacedWhileItIsReadIsNotLost(t *testing.T) {
	t.Parallel()
	b := newBed(t, index.Options{})
	b.publish(storage.Document{ID: "a"}, numbered(10, "first")...)
	b.catchUp()
	b.publish(storage.Document{ID: "a"}, numbered(20, "second")...)
	calls := 0
	b.docs.set(func(call string) error {
		if call != "Passages" {
			return nil
		}
		switch calls++; calls {
		case 2:
			b.publish(storage.Document{ID: "a"}, numbered(5, "third")...)
		case 3:
			return errPlanted
		}
		return nil
	}, nil)
	if err := b.CatchUp(context.Background()); !errors.Is(err, errPlanted) {
		t.Fatal(err)
	}
	if got := b.search(index.Query{Text: "first second third", K: 50}); len(got) != 10 {
		t.Errorf("%d passages before the change that replaced it was read", len(got))
	}
	b.catchUp()
	if got := b.search(index.Query{Text: "first second third", K: 50}); len(got) != 5 {
		t.Errorf("%d passages", len(got))
	}
}

func TestForgottenRemovalsAreFoundOut(t *testing.T) {
	t.Parallel()
	now := time.Now()
	b := newBedAt(t, index.Options{}, func() time.Time { return now })
	b.publish(storage.Document{ID: "a"}, texts("boat one")...)
	b.publish(storage.Document{ID: "b"}, texts("boat two")...)
	b.publish(storage.Document{ID: "c"}, texts("boat three")...)
	b.catchUp()
	b.remove("a")
	now = now.Add(storage.TombstonesKept + time.Hour)
	b.remove("nothing") // sweeps
	b.publish(storage.Document{ID: "d"}, texts("boat four")...)
	b.remove("b")
	reads := 0
	b.docs.set(nil, func(call string) {
		if call == "Passages" {
			reads++
		}
	})
	b.catchUp()
	if p := b.Progress(); p.Documents != 2 || reads != 1 {
		t.Errorf("%+v after reading %d documents", p, reads)
	}
	if got := b.found(index.Query{Text: "boat"}); len(got) != 2 {
		t.Errorf("found %v", got)
	}
}

// A process that begins after removals were forgotten can't page through the changes.
func TestAnIndexOfAnOldStoreIsReadWhole(t *testing.T) {
	t.Parallel()
	now := time.Now()
	old := newBedAt(t, index.Options{}, func() time.Time { return now })
	for _, id := range []string{"a", "b", "c", "d", "e", "gone"} {
		old.publish(storage.Document{ID: id}, texts("boat "+id)...)
	}
	old.remove("gone")
	now = now.Add(storage.TombstonesKept + time.Hour)
	old.remove("nothing") // sweeps
	fresh, err := index.New(old.docs, old.tenant, index.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := &bed{TB: t, Index: fresh, docs: old.docs, memory: old.memory, tenant: old.tenant}
	b.catchUp()
	if got := b.found(index.Query{Text: "boat"}); len(got) != 5 {
		t.Errorf("found %v", got)
	}
	b.publish(storage.Document{ID: "f"}, texts("boat six")...)
	b.remove("a")
	b.catchUp()
	if got := b.found(index.Query{Text: "boat"}); len(got) != 5 {
		t.Errorf("found %v after a change", got)
	}
}

func TestAStoreThatWasEmptiedEmptiesTheIndex(t *testing.T) {
	t.Parallel()
	b := newBed(t, index.Options{})
	b.publish(storage.Document{ID: "a"}, texts("boat one")...)
	b.catchUp()
	if _, err := b.memory.Portable().Erase(context.Background(), b.tenant); err != nil {
		t.Fatal(err)
	}
	b.catchUp()
	expect(t, b.found(index.Query{Text: "boat"}))
	b.publish(storage.Document{ID: "b"}, texts("boat two")...)
	b.catchUp()
	expect(t, b.found(index.Query{Text: "boat"}), key("b", 0))
}

func TestFollowBringsWhatOthersPublish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		b := newBed(t, index.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		ctx, stop := context.WithCancel(t.Context())
		var follower sync.WaitGroup
		follower.Go(func() { b.Follow(ctx) })
		b.publish(storage.Document{ID: "a"}, texts("boat c4nary")...)
		synctest.Wait()
		expect(t, b.found(index.Query{Text: "boat"}), key("a", 0))
		b.publish(storage.Document{ID: "b"}, texts("boat c4nary again")...)
		b.remove("a")
		synctest.Wait()
		expect(t, b.found(index.Query{Text: "boat"}), key("b", 0))

		// A store that comes back is followed again.
		b.docs.set(func(string) error { return errPlanted }, nil)
		b.publish(storage.Document{ID: "c"}, texts("boat c4nary thrice")...)
		time.Sleep(time.Minute) // of the bubble's clock
		b.docs.set(nil, nil)
		time.Sleep(15 * time.Second)
		synctest.Wait()
		expect(t, b.found(index.Query{Text: "thrice", Mode: index.ByWords}), key("c", 0))
		if n := strings.Count(log.String(), "trying again"); n < 5 || n > 20 {
			t.Errorf("%d lines of log in a minute", n)
		}
		if strings.Contains(log.String(), "c4nary") {
			t.Error("the log tells texts")
		}
		stop()
		follower.Wait()
	})
}
