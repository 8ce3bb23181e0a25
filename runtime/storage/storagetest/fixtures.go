package storagetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// Names that spell each other when they are joined, globbed or cut.
var (
	separators = []string{":", "/", "*", "%", "_", "\x01", "ä"}
	callers    = []string{"", "b", "b:c", "c", "key:x", "user:x/y", "*", "%", "\x00", "ü"}
	sessionIDs = []string{"s", "c:s", "b:c:s", ":", "*", "%", "s\x00", "\x01s", "é"}
)

// epoch is a whole minute of the recent past, so that no driver has dropped it.
var epoch = time.Now().Add(-time.Hour).Truncate(time.Minute).UTC()

func tenant(t rapid.TB, identity string) tenancy.ID {
	t.Helper()
	id, err := tenancy.NewID("acme", identity)
	if err != nil {
		t.Fatalf("making tenant %q: %v", identity, err)
	}
	return id
}

func caller(name string) storage.Owner { return storage.Owner{Caller: name} }

// turn is a user's message and its answer, at the i-th second.
func turn(i int) []storage.Message {
	at := epoch.Add(time.Duration(i) * time.Second)
	return []storage.Message{
		{Role: storage.RoleUser, Content: fmt.Sprintf("question %d", i), At: at},
		{Role: storage.RoleAssistant, Content: fmt.Sprintf("answer %d", i), At: at.Add(time.Millisecond), Tokens: i, Partial: i%2 == 1, Untrusted: i%3 == 1},
	}
}

func must(t rapid.TB, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func wantErr(t rapid.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got error %v, want %v", what, err, want)
	}
}

func same(t rapid.TB, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Fatalf("%s (-want +got):\n%s", what, d)
	}
}

func history(t rapid.TB, s storage.Store, id tenancy.ID, o storage.Owner, session string) []storage.Message {
	t.Helper()
	got, err := s.Sessions().History(context.Background(), id, o, session, storage.Page{Limit: 1 << 20})
	must(t, "History", err)
	if len(got) == 0 {
		return nil
	}
	return got
}

func appendTo(t rapid.TB, s storage.Store, id tenancy.ID, o storage.Owner, session string, msgs ...storage.Message) {
	t.Helper()
	must(t, "Append", s.Sessions().Append(context.Background(), id, o, session, msgs, storage.Keep{}))
}

func spent(t rapid.TB, s storage.Store, id tenancy.ID, name string) (used, reserved int64) {
	t.Helper()
	u, r, err := s.Budgets().Spent(context.Background(), id, []string{name})
	must(t, "Spent", err)
	if len(u) != 1 || len(r) != 1 {
		t.Fatalf("Spent of one name: got %v, %v", u, r)
	}
	return u[0], r[0]
}

// together runs n calls at once and returns when all have returned.
func together(n int, call func(i int)) {
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	ready.Add(n)
	for i := range n {
		done.Go(func() {
			ready.Done()
			<-start
			call(i)
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
}
