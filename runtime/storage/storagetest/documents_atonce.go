package storagetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"pgregory.net/rapid"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

// publishAtOnce replaces one document from several sides while others read it: they find
// some whole version at all times, and in the end the newest.
func publishAtOnce(t rapid.TB, b DocumentBed) {
	const writers, readers, each = 4, 3, 12
	ctx, id := context.Background(), tenant(t, "a")
	last := b.publish(t, id, "d", 3)
	var newest atomic.Int64
	newest.Store(last.Version)
	var reading sync.WaitGroup
	done := make(chan struct{})
	for range readers {
		reading.Go(func() {
			for seen := int64(0); ; {
				select {
				case <-done:
					return
				default:
				}
				d, there, err := b.Documents().Document(ctx, id, "d")
				if err != nil || !there || d.Version < seen {
					t.Errorf("reading: version %d after %d, there %v, error %v", d.Version, seen, there, err)
					return
				}
				seen = d.Version
				got, err := b.Documents().Passages(ctx, id, "d", d.Version, 0, 100, true)
				if err != nil || len(got) != 0 && !wholeVersion(d, got) {
					t.Errorf("of %+v: got %v, error %v", d, got, err)
					return
				}
			}
		})
	}
	together(writers, func(w int) {
		for i := range each {
			version, err := b.Documents().NextVersion(ctx, id)
			if err != nil {
				t.Errorf("NextVersion: %v", err)
				return
			}
			n := 1 + (w+i)%5
			err = b.Documents().Stage(ctx, id, "d", version, passages("d", version, n))
			if err == nil {
				_, err = b.Documents().Publish(ctx, id, documentOf("d", version, n))
			}
			if err != nil && !errors.Is(err, storage.ErrOldVersion) {
				t.Errorf("publishing version %d: %v", version, err)
				return
			}
			for have := newest.Load(); have < version && !newest.CompareAndSwap(have, version); have = newest.Load() {
			}
		}
	})
	close(done)
	reading.Wait()
	d, _, err := b.Documents().Document(ctx, id, "d")
	must(t, "Document", err)
	if d.Version != newest.Load() {
		t.Errorf("in the end version %d is there, the newest was %d", d.Version, newest.Load())
	}
	b.wantDocument(t, id, d, passages("d", d.Version, d.Passages))
	b.wantTotals(t, id, 1, int64(d.Passages))
}

func wholeVersion(d storage.Document, all []storage.Passage) bool {
	for n, p := range all {
		if p.N != n || !strings.HasPrefix(p.Text, fmt.Sprintf("d\n%d\n", d.Version)) || len(p.Vector) != 8 {
			return false
		}
	}
	return len(all) == d.Passages
}

func versionsAtOnce(t rapid.TB, b DocumentBed) {
	const callers, each = 8, 20
	id := tenant(t, "a")
	var seen sync.Map
	together(callers, func(int) {
		for last, i := int64(0), 0; i < each; i++ {
			version, err := b.Documents().NextVersion(context.Background(), id)
			if _, twice := seen.LoadOrStore(version, nil); err != nil || twice || version <= last {
				t.Errorf("version %d after %d, twice %v, error %v", version, last, twice, err)
				return
			}
			last = version
		}
	})
}
