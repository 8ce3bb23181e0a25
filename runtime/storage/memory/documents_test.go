package memory_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/memory"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/storagetest"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

func TestDocuments(t *testing.T) {
	t.Parallel()
	storagetest.RunDocuments(t, func(*testing.T) storagetest.DocumentBed {
		var passed atomic.Int64
		return storagetest.DocumentBed{
			Store: memory.New(memory.Options{Now: func() time.Time { return time.Now().Add(time.Duration(passed.Load())) }}),
			Pass:  func(d time.Duration) { passed.Add(int64(d)) },
		}
	})
}

func TestJobs(t *testing.T) {
	t.Parallel()
	storagetest.RunJobs(t, func(*testing.T) storage.Store { return memory.New(memory.Options{}) })
}

func TestDocumentsAreBounded(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := memory.New(memory.Options{MaxDocumentBytes: 100 << 10})
	id, err := tenancy.NewID("acme", "a")
	if err != nil {
		t.Fatal(err)
	}
	stage := func(doc string, n int) (int64, error) {
		version, err := s.Documents().NextVersion(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		return version, s.Documents().Stage(ctx, id, doc, version, []storage.Passage{{Text: strings.Repeat("x", n)}})
	}
	version, err := stage("a", 90<<10)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Documents().Publish(ctx, id, storage.Document{ID: "a", Version: version, Passages: 1, Updated: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if _, err := stage("b", 20<<10); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("beyond the bound: got %v, want %v", err, storage.ErrUnavailable)
	}
	// What is removed gives its room back; so does a version that is replaced.
	for range 3 {
		if _, err := s.Documents().Remove(ctx, id, "a"); err != nil {
			t.Fatal(err)
		}
		if _, err := stage("a", 90<<10); err != nil {
			t.Errorf("after a removal: %v", err)
		}
	}
	if _, err := s.Portable().Erase(ctx, id); err != nil {
		t.Fatal(err)
	}
	if _, err := stage("c", 90<<10); err != nil {
		t.Errorf("after an erasure: %v", err)
	}
}
