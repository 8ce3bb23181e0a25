package memory_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/memory"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

var owner = storage.Owner{Caller: "key:x"}

func tenant(t *testing.T, identity string) tenancy.ID {
	t.Helper()
	id, err := tenancy.NewID(identity, identity)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func appendKiB(t *testing.T, s *memory.Store, id tenancy.ID, session string, kib int) {
	t.Helper()
	m := []storage.Message{{Role: storage.RoleUser, Content: strings.Repeat("x", kib<<10), At: time.Now()}}
	if err := s.Sessions().Append(context.Background(), id, owner, session, m, storage.Keep{}); err != nil {
		t.Fatal(err)
	}
}

func kept(t *testing.T, s *memory.Store, id tenancy.ID) (all []string) {
	t.Helper()
	list, _, err := s.Sessions().List(context.Background(), id, owner, 1000, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range list {
		all = append(all, i.ID)
	}
	return all
}

// TestIdleSessionsMakeRoom: over all tenants, the sessions that were not appended to
// for longest go, and no others.
func TestIdleSessionsMakeRoom(t *testing.T) {
	s := memory.New(memory.Options{MaxBytes: 100 << 10})
	a, b := tenant(t, "a"), tenant(t, "b")
	for i := range 4 {
		appendKiB(t, s, a, fmt.Sprint("a", i), 12)
		appendKiB(t, s, b, fmt.Sprint("b", i), 11)
	}
	appendKiB(t, s, a, "a0", 1)
	if na, nb := len(kept(t, s, a)), len(kept(t, s, b)); na != 4 || nb != 4 {
		t.Fatalf("dropped below the bound: %d and %d are left", na, nb)
	}
	appendKiB(t, s, a, "new", 20)
	for _, c := range []struct {
		id      tenancy.ID
		session string
		kept    bool
	}{{b, "b0", false}, {a, "a1", false}, {a, "a0", true}, {b, "b1", true}, {a, "a2", true}, {a, "new", true}} {
		got, err := s.Sessions().History(context.Background(), c.id, owner, c.session, storage.Page{Limit: 9})
		if err != nil {
			t.Fatal(err)
		}
		if (len(got) > 0) != c.kept {
			t.Errorf("%s: kept %v, want %v", c.session, len(got) > 0, c.kept)
		}
	}
}

// TestOneSessionCanNotTakeAll: a session that alone exceeds the bound loses its oldest
// messages, never those just appended.
func TestOneSessionCanNotTakeAll(t *testing.T) {
	s := memory.New(memory.Options{MaxBytes: 100 << 10})
	id := tenant(t, "a")
	for range 50 {
		appendKiB(t, s, id, "s", 10)
	}
	got, err := s.Sessions().History(context.Background(), id, owner, "s", storage.Page{Limit: 100})
	if err != nil || len(got) != 9 {
		t.Errorf("%d messages are kept, %v; 9 of 10 KiB fit in 100", len(got), err)
	}
	appendKiB(t, s, id, "s", 200)
	if got, err = s.Sessions().History(context.Background(), id, owner, "s", storage.Page{Limit: 100}); err != nil || len(got) != 1 {
		t.Errorf("%d messages are kept, %v; want the last", len(got), err)
	}
}

// TestRoomIsGivenBack: what is deleted, expired or trimmed makes room for others, so
// nothing is dropped that fits; appends and drops at once keep the count right.
func TestRoomIsGivenBack(t *testing.T) {
	s := memory.New(memory.Options{MaxBytes: 1 << 20})
	ids := []tenancy.ID{tenant(t, "a"), tenant(t, "b")}
	var done sync.WaitGroup
	for w := range 8 {
		done.Go(func() {
			for i := range 300 {
				id, session := ids[(w+i)%2], fmt.Sprint("s", i%40)
				appendKiB(t, s, id, session, 1+i%40)
				if i%7 == 0 {
					if err := s.Sessions().Delete(context.Background(), id, owner, session); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	done.Wait()
	for _, id := range ids {
		if _, err := s.Sessions().Expire(context.Background(), id, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 50 {
		appendKiB(t, s, ids[0], fmt.Sprint("fits", i), 19)
	}
	if got := len(kept(t, s, ids[0])); got != 50 {
		t.Errorf("%d of 50 sessions are kept that fit", got)
	}
	if got := s.Health(); !got.OK {
		t.Errorf("health: %+v", got)
	}
}

// Over all tenants, what waits to be taken in has its bound, and gives it back.
func TestPayloadsAreBounded(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := memory.New(memory.Options{MaxJobBytes: 100})
	a, b := tenant(t, "a"), tenant(t, "b")
	add := func(id tenancy.ID, n, bytes int) error {
		job := storage.Job{ID: fmt.Sprintf("3f0e8a52-1c6b-4f7e-9d0a-5b1f2c3d4e%02d", n), Kind: "ingest", Created: time.Now()}
		return s.Jobs().Add(ctx, id, job, make([]byte, bytes))
	}
	if err := errors.Join(add(a, 1, 60), add(b, 2, 40), add(b, 3, 0)); err != nil {
		t.Fatal(err)
	}
	if err := add(b, 4, 1); !errors.Is(err, storage.ErrTooManyJobs) {
		t.Errorf("beyond the bound: %v", err)
	}
	now := time.Now()
	job, _, err := s.Jobs().Take(ctx, a, "worker", []string{"ingest"}, now, now.Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	job.State = storage.JobDone
	if err := errors.Join(s.Jobs().Update(ctx, a, "worker", job, now, now), add(b, 4, 60)); err != nil {
		t.Errorf("once there is room: %v", err)
	}
	if _, err := s.Portable().Erase(ctx, b); err != nil {
		t.Fatal(err)
	}
	if err := add(a, 5, 100); err != nil {
		t.Errorf("after an erasure: %v", err)
	}
}
