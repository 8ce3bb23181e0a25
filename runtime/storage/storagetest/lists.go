package storagetest

import (
	"context"
	"fmt"
	"time"

	"pgregory.net/rapid"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

var listChecks = []Check{
	{"List/latest update first, page by page", listPages},
	{"List/equal times are neither lost nor repeated", listTies},
	{"List/a foreign cursor is refused", listCursors},
}

// walk reads a list to its end.
func walk(t rapid.TB, s storage.Store, id tenancy.ID, o storage.Owner, limit int) []storage.SessionInfo {
	t.Helper()
	var all []storage.SessionInfo
	for cursor, pages := "", 0; ; pages++ {
		page, next, err := s.Sessions().List(context.Background(), id, o, limit, cursor)
		must(t, "List", err)
		if len(page) > limit {
			t.Fatalf("a page of %d has %d", limit, len(page))
		}
		all = append(all, page...)
		if next == "" {
			return all
		}
		if len(page) == 0 || pages > 1000 {
			t.Fatalf("the list of %v does not end", id)
		}
		cursor = next
	}
}

func listPages(t rapid.TB, s storage.Store) {
	id := tenant(t, "a")
	for i := range 7 {
		appendTo(t, s, id, caller("x"), fmt.Sprint("s", i), turn(i)...)
		appendTo(t, s, id, caller("y"), fmt.Sprint("s", i), turn(i)...)
	}
	appendTo(t, s, id, caller("x"), "s2", turn(20)...)
	// A message from before does not make a session older.
	appendTo(t, s, id, caller("x"), "s6", turn(0)...)
	want := []storage.SessionInfo{{ID: "s2", Messages: 4, Created: turn(2)[0].At, Updated: turn(20)[1].At}}
	for _, i := range []int{6, 5, 4, 3, 1, 0} {
		n, updated := 2, turn(i)[1].At
		if i == 6 {
			n, updated = 4, updated.Add(2*time.Millisecond)
		}
		want = append(want, storage.SessionInfo{ID: fmt.Sprint("s", i), Messages: n, Created: turn(i)[0].At, Updated: updated})
	}
	for _, limit := range []int{1, 2, 3, 7, 8, 100} {
		same(t, fmt.Sprintf("list by %d", limit), walk(t, s, id, caller("x"), limit), want)
	}
	if got := walk(t, s, id, caller("z"), 3); got != nil {
		t.Errorf("another caller lists %v", got)
	}
	if got := walk(t, s, tenant(t, "a:"), storage.Owner{All: true}, 3); got != nil {
		t.Errorf("another tenant lists %v", got)
	}
}

func listTies(t rapid.TB, s storage.Store) {
	id := tenant(t, "a")
	for i := range 10 {
		appendTo(t, s, id, caller(fmt.Sprint("c", i%3)), fmt.Sprint("s", i), storage.Message{Role: storage.RoleUser, At: epoch})
	}
	for _, limit := range []int{1, 3, 4} {
		seen := map[string]int{}
		for _, info := range walk(t, s, id, storage.Owner{All: true}, limit) {
			seen[info.ID]++
		}
		for i := range 10 {
			if n := seen[fmt.Sprint("s", i)]; n != 1 {
				t.Errorf("by %d: s%d is listed %d times", limit, i, n)
			}
		}
	}
}

func listCursors(t rapid.TB, s storage.Store) {
	ctx, id := context.Background(), tenant(t, "a")
	for i := range 4 {
		appendTo(t, s, id, caller("x"), fmt.Sprint("s", i), turn(i)...)
	}
	_, cursor, err := s.Sessions().List(ctx, id, caller("x"), 2, "")
	must(t, "List", err)
	refused := func(what string, id tenancy.ID, o storage.Owner, cursor string) {
		got, _, err := s.Sessions().List(ctx, id, o, 2, cursor)
		wantErr(t, what, err, storage.ErrBadCursor)
		if len(got) != 0 {
			t.Errorf("%s: got %v", what, got)
		}
	}
	refused("another tenant's cursor", tenant(t, "b"), caller("x"), cursor)
	refused("another caller's cursor", id, caller("y"), cursor)
	refused("a cursor made up", id, caller("x"), "2")
	refused("a cursor made up", id, caller("x"), "' OR 1=1 --")
	refused("a cursor altered", id, caller("x"), cursor+"A")
	_, _, err = s.Sessions().List(ctx, id, caller("x"), 0, "")
	wantErr(t, "limit 0", err, storage.ErrBadLimit)
	// The session of the cursor may be gone meanwhile.
	must(t, "Delete", s.Sessions().Delete(ctx, id, caller("x"), "s2"))
	got, _, err := s.Sessions().List(ctx, id, caller("x"), 2, cursor)
	must(t, "List", err)
	want := []storage.SessionInfo{
		{ID: "s1", Messages: 2, Created: epoch.Add(time.Second), Updated: turn(1)[1].At},
		{ID: "s0", Messages: 2, Created: epoch, Updated: turn(0)[1].At},
	}
	same(t, "after the cursor", got, want)
}
