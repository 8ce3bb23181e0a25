package valkey_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/hack/servers"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/valkey"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// wholeVersion fails unless one whole version is there, and returns its number. A call that
// its caller gave up may still be done while it reads: then it reads anew.
func wholeVersion(t *testing.T, s storage.Store, id tenancy.ID, doc string) int64 {
	t.Helper()
	for {
		d, there, err := s.Documents().Document(t.Context(), id, doc)
		if err != nil || !there {
			t.Fatalf("document %q: there %v, error %v", doc, there, err)
		}
		got, err := s.Documents().Passages(t.Context(), id, doc, d.Version, 0, 1000, true)
		_, passages, totals := s.Documents().Totals(t.Context(), id)
		after, _, again := s.Documents().Document(t.Context(), id, doc)
		if err := errors.Join(err, totals, again); err != nil {
			t.Fatal(err)
		}
		if after.Version != d.Version {
			continue
		}
		if len(got) != d.Passages || passages != int64(d.Passages) {
			t.Fatalf("version %s has %d passages of %d, the total is %d", d.Title, len(got), d.Passages, passages)
		}
		for i, p := range got {
			if p.N != i || p.Text != d.Title || !slices.Equal(p.Vector, []float32{1, float32(i)}) {
				t.Fatalf("passage %d of version %s is %+v", i, d.Title, p)
			}
		}
		return d.Version
	}
}

// TestPublishThroughFaults: the way breaks at any moment of publishing; a reader finds the
// version before or the one after, whole, and publishing again ends it.
func TestPublishThroughFaults(t *testing.T) {
	t.Parallel()
	r, id := servers.Redis(t, servers.RedisOptions{}), tenant(t, "owner/acme")
	user, p := login(t, r, id), newProxy(t, r)
	reader, s := open(t, valkey.Options{URL: r.URL(user, password)}), open(t, valkey.Options{URL: p.url(user)})
	if err := replace(t.Context(), reader, id, "d", 7); err != nil {
		t.Fatal(err)
	}
	last, failed, kept := wholeVersion(t, reader, id, "d"), 0, 0
	const rounds = 24
	for round := range rounds {
		next, err := staged(t.Context(), reader, id, "d", 3+round%9)
		if err != nil {
			t.Fatal(err)
		}
		soon(t, "calls to work", 5*time.Second, func() bool { _, err := asked(s, id); return err == nil })
		var broken sync.WaitGroup
		broken.Go(func() {
			time.Sleep(time.Duration(round*257%3000) * time.Microsecond) // any moment of a call of some ms
			p.Stop()
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err = s.Documents().Publish(ctx, id, next)
		cancel()
		broken.Wait()
		have := wholeVersion(t, reader, id, "d")
		if have != last && have != next.Version || err == nil && have != next.Version {
			t.Fatalf("round %d: version %d is there, neither %d nor %d; error %v", round, have, last, next.Version, err)
		}
		if err != nil {
			if failed++; !errors.Is(err, storage.ErrUnavailable) && !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("round %d: got %v", round, err)
			}
			if have == next.Version {
				kept++
			}
		}
		p.restart()
		if _, err := reader.Documents().Publish(t.Context(), id, next); err != nil {
			t.Fatalf("round %d: publishing again: %v", round, err)
		}
		if last = wholeVersion(t, reader, id, "d"); last != next.Version {
			t.Fatalf("round %d: version %d is there, %d was published", round, last, next.Version)
		}
	}
	t.Logf("%d failed, of which %d were done all the same", failed, kept)
	if failed == 0 || failed == rounds && kept == 0 {
		t.Error("calls failed always before they began, or never: nothing was shown")
	}
}

// TestLargeDocumentsHoldNobodyUp: whatever is done with a document of many passages, the
// server is at no command for long.
func TestLargeDocumentsHoldNobodyUp(t *testing.T) {
	t.Parallel()
	r, id := servers.Redis(t, servers.RedisOptions{}), tenant(t, "owner/acme")
	s := open(t, valkey.Options{URL: r.URL(login(t, r, id), password)})
	const passages = 30_000
	r.Do(t, "CONFIG", "SET", "slowlog-log-slower-than", "100000")
	r.Do(t, "CONFIG", "SET", "slowlog-max-len", "100")
	r.Do(t, "SLOWLOG", "RESET")
	for range 2 {
		if err := replace(t.Context(), s, id, "large", passages); err != nil {
			t.Fatal(err)
		}
	}
	d, _, err := s.Documents().Document(t.Context(), id, "large")
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < passages; {
		page, err := s.Documents().Passages(t.Context(), id, "large", d.Version, n, 1000, true)
		if err != nil || len(page) == 0 {
			t.Fatal(len(page), err)
		}
		n += len(page)
	}
	if there, err := s.Documents().Remove(t.Context(), id, "large"); err != nil || !there {
		t.Fatal(there, err)
	}
	slow := r.Do(t, "SLOWLOG", "GET", "100")
	rows, err := slow.ToArray()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		fields, err := row.ToArray()
		if err != nil {
			t.Fatal(err)
		}
		took, _ := fields[2].AsInt64()
		words, _ := fields[3].AsStrSlice()
		t.Errorf("a command took %v: %s", time.Duration(took)*time.Microsecond, fmt.Sprint(words[:min(2, len(words))]))
	}
}
