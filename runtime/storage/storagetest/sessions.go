package storagetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

var sessionChecks = []Check{
	{"History/newest first, all fields kept", historyIsWhole},
	{"History/pages by limit and time", historyPages},
	{"Append/at once: ordered, whole, none lost", appendsAtOnce},
	{"Append/no two messages share a time", appendsAtOneTime},
	{"Append/without messages makes nothing", appendNothing},
	{"Append/any text", appendAnyText},
	{"Keep/only the newest stay", keepBounds},
	{"Owner/a caller sees and deletes its own", ownersApart},
	{"Owner/all", ownerAll},
	{"Delete/unknown is no error", deleteUnknown},
	{"Expire/by last update", expire},
}

func historyIsWhole(t rapid.TB, s storage.Store) {
	id, o := tenant(t, "a"), caller("key:x")
	if got := history(t, s, id, o, "s"); got != nil {
		t.Errorf("unknown session: got %v", got)
	}
	zone := time.FixedZone("somewhere", 3600)
	asked := []storage.Message{
		{Role: storage.RoleUser, Content: "q", At: epoch.Add(1500 * time.Microsecond).In(zone)},
		{Role: storage.RoleAssistant, Content: "a", At: epoch.Add(2 * time.Millisecond), Tokens: 7, Partial: true, Untrusted: true},
	}
	appendTo(t, s, id, o, "s", asked...)
	appendTo(t, s, id, o, "s", turn(3)...)
	want := []storage.Message{
		turn(3)[1], turn(3)[0], asked[1],
		{Role: storage.RoleUser, Content: "q", At: epoch.Add(time.Millisecond)},
	}
	same(t, "history", history(t, s, id, o, "s"), want)
}

func historyPages(t rapid.TB, s storage.Store) {
	ctx, id, o := context.Background(), tenant(t, "a"), caller("key:x")
	var want []storage.Message
	for i := range 10 {
		appendTo(t, s, id, o, "s", turn(i)...)
		want = append(want, turn(i)...)
	}
	slices.Reverse(want)
	got, err := s.Sessions().History(ctx, id, o, "s", storage.Page{Limit: 3})
	must(t, "History", err)
	same(t, "first page", got, want[:3])
	got, err = s.Sessions().History(ctx, id, o, "s", storage.Page{Limit: 3, Before: want[2].At})
	must(t, "History", err)
	same(t, "second page", got, want[3:6])
	for _, limit := range []int{0, -1} {
		_, err = s.Sessions().History(ctx, id, o, "s", storage.Page{Limit: limit})
		wantErr(t, fmt.Sprintf("limit %d", limit), err, storage.ErrBadLimit)
	}
}

func appendsAtOnce(t rapid.TB, s storage.Store) {
	const writers, each = 16, 8
	id, o := tenant(t, "a"), caller("key:x")
	together(writers, func(w int) {
		for i := range each {
			msgs := []storage.Message{
				{Role: storage.RoleUser, Content: fmt.Sprintf("%d/%d", w, i), At: epoch},
				{Role: storage.RoleAssistant, Content: fmt.Sprintf("%d/%d", w, i), At: epoch.Add(time.Millisecond)},
			}
			if err := s.Sessions().Append(context.Background(), id, o, "s", msgs, storage.Keep{}); err != nil {
				t.Errorf("Append: %v", err)
			}
		}
	})
	got := history(t, s, id, o, "s")
	if len(got) != writers*each*2 {
		t.Fatalf("got %d messages, want %d", len(got), writers*each*2)
	}
	next := map[string]int{}
	for i := len(got) - 1; i > 0; i -= 2 {
		user, answer := got[i], got[i-1]
		if user.Role != storage.RoleUser || answer.Role != storage.RoleAssistant || user.Content != answer.Content {
			t.Fatalf("a turn is torn: %q %q, then %q %q", user.Role, user.Content, answer.Role, answer.Content)
		}
		writer, n, _ := strings.Cut(user.Content, "/")
		if want := fmt.Sprint(next[writer]); n != want {
			t.Fatalf("writer %s: turn %s comes where %s should", writer, n, want)
		}
		next[writer]++
	}
}

// appendsAtOneTime reads what was kept at one time, and at earlier ones, page by page.
func appendsAtOneTime(t rapid.TB, s storage.Store) {
	ctx, id, o := context.Background(), tenant(t, "a"), caller("key:x")
	together(8, func(int) { appendTo(t, s, id, o, "s", turn(1)...) })
	appendTo(t, s, id, o, "s", turn(0)...)
	appendTo(t, s, id, o, "s", turn(2)...)
	var got []storage.Message
	page := storage.Page{Limit: 1}
	for range 21 {
		found, err := s.Sessions().History(ctx, id, o, "s", page)
		must(t, "History", err)
		if len(found) == 0 {
			break
		}
		got, page.Before = append(got, found...), found[0].At
	}
	same(t, "read page by page", got, history(t, s, id, o, "s"))
	if len(got) != 20 {
		t.Fatalf("got %d messages, want 20", len(got))
	}
	same(t, "what needs no moving", got[:2], []storage.Message{turn(2)[1], turn(2)[0]})
	same(t, "what lay before the latest", got[2].At, turn(1)[0].At.Add(17*time.Millisecond))
	list, _, err := s.Sessions().List(ctx, id, o, 10, "")
	must(t, "List", err)
	same(t, "list", list, []storage.SessionInfo{{ID: "s", Messages: 20, Created: turn(1)[0].At, Updated: turn(2)[1].At}})
}

func appendNothing(t rapid.TB, s storage.Store) {
	ctx, id, o := context.Background(), tenant(t, "a"), caller("key:x")
	appendTo(t, s, id, o, "s")
	got, _, err := s.Sessions().List(ctx, id, o, 10, "")
	must(t, "List", err)
	if len(got) != 0 {
		t.Errorf("got %v", got)
	}
}

func appendAnyText(t rapid.TB, s storage.Store) {
	id, o := tenant(t, "a"), caller("key:x")
	for i, text := range []string{"", "\x00", "a\x00b", "✓ 漢字 👩‍👩‍👧", "'; DROP TABLE messages; --", "\xff\xfe", strings.Repeat("x", 1<<20)} {
		m := storage.Message{Role: storage.RoleUser, Content: text, At: epoch}
		session := fmt.Sprint("s", i)
		appendTo(t, s, id, o, session, m)
		same(t, fmt.Sprintf("text %d", i), history(t, s, id, o, session), []storage.Message{m})
	}
}

func keepBounds(t rapid.TB, s storage.Store) {
	ctx, id, o := context.Background(), tenant(t, "a"), caller("key:x")
	var all []storage.Message
	for i, most := range []int{0, 0, 0, 5, 5, 3, 1, 0, 100} {
		must(t, "Append", s.Sessions().Append(ctx, id, o, "s", turn(i), storage.Keep{MaxMessages: most}))
		all = append(all, turn(i)...)
		if most > 0 {
			all = all[max(0, len(all)-most):]
		}
		want := slices.Clone(all)
		slices.Reverse(want)
		same(t, fmt.Sprintf("after append %d", i), history(t, s, id, o, "s"), want)
		list, _, err := s.Sessions().List(ctx, id, o, 10, "")
		must(t, "List", err)
		same(t, "list", list, []storage.SessionInfo{{ID: "s", Messages: len(want), Created: epoch, Updated: turn(i)[1].At}})
	}
}

func ownersApart(t rapid.TB, s storage.Store) {
	ctx, id := context.Background(), tenant(t, "a")
	for i, c := range callers {
		for j, session := range sessionIDs {
			appendTo(t, s, id, caller(c), session, turn(100*i+j)...)
		}
	}
	must(t, "Delete", s.Sessions().Delete(ctx, id, caller(callers[1]), sessionIDs[0]))
	for i, c := range callers {
		for j, session := range sessionIDs {
			want := []storage.Message{turn(100*i + j)[1], turn(100*i + j)[0]}
			if i == 1 && j == 0 {
				want = nil
			}
			same(t, fmt.Sprintf("session %q of %q", session, c), history(t, s, id, caller(c), session), want)
		}
	}
	if got := history(t, s, id, caller("nobody"), "s"); got != nil {
		t.Errorf("another caller reads %v", got)
	}
	must(t, "Delete", s.Sessions().Delete(ctx, id, caller("nobody"), "s"))
	if got := history(t, s, id, caller("b:c"), "s"); got == nil {
		t.Error("another caller's delete removed it")
	}
}

func ownerAll(t rapid.TB, s storage.Store) {
	ctx, id := context.Background(), tenant(t, "a")
	all := func(c string) storage.Owner { return storage.Owner{Caller: c, All: true} }
	appendTo(t, s, id, caller("x"), "s", turn(1)...)
	appendTo(t, s, id, caller("y"), "s", turn(2)...)
	appendTo(t, s, id, caller("y"), "t", turn(3)...)
	reversed := func(i int) []storage.Message { return []storage.Message{turn(i)[1], turn(i)[0]} }
	same(t, "own first", history(t, s, id, all("x"), "s"), reversed(1))
	same(t, "else the latest", history(t, s, id, all("z"), "s"), reversed(2))
	list, _, err := s.Sessions().List(ctx, id, all("z"), 10, "")
	must(t, "List", err)
	if len(list) != 3 {
		t.Errorf("list of all: got %v", list)
	}
	appendTo(t, s, id, all("z"), "t", turn(4)...)
	same(t, "append is under the caller", history(t, s, id, caller("y"), "t"), reversed(3))
	must(t, "Delete", s.Sessions().Delete(ctx, id, all("z"), "s"))
	for _, c := range []string{"x", "y"} {
		if got := history(t, s, id, caller(c), "s"); got != nil {
			t.Errorf("session of %s is left: %v", c, got)
		}
	}
	if got := history(t, s, tenant(t, "b"), all("x"), "t"); got != nil {
		t.Errorf("all of another tenant: got %v", got)
	}
}

func deleteUnknown(t rapid.TB, s storage.Store) {
	ctx, id := context.Background(), tenant(t, "a")
	must(t, "Delete", s.Sessions().Delete(ctx, id, caller("x"), "s"))
	appendTo(t, s, id, caller("x"), "s", turn(1)...)
	for range 2 {
		must(t, "Delete", s.Sessions().Delete(ctx, id, caller("x"), "s"))
	}
	appendTo(t, s, id, caller("x"), "s", turn(2)...)
	same(t, "made anew", history(t, s, id, caller("x"), "s"), []storage.Message{turn(2)[1], turn(2)[0]})
}

func expire(t rapid.TB, s storage.Store) {
	ctx, id, other := context.Background(), tenant(t, "a"), tenant(t, "b")
	for i := range 10 {
		appendTo(t, s, id, caller("x"), fmt.Sprint("s", i), turn(i)...)
		appendTo(t, s, other, caller("x"), fmt.Sprint("s", i), turn(i)...)
	}
	appendTo(t, s, id, caller("x"), "s0", turn(9)...)
	n, err := s.Sessions().Expire(ctx, id, turn(5)[1].At)
	must(t, "Expire", err)
	if n != 4 {
		t.Errorf("removed %d, want 4: s0 was updated later, s5 just then", n)
	}
	for i := range 10 {
		gone := i >= 1 && i <= 4
		if got := history(t, s, id, caller("x"), fmt.Sprint("s", i)); (got == nil) != gone {
			t.Errorf("s%d: gone = %v, want %v", i, got == nil, gone)
		}
		if got := history(t, s, other, caller("x"), fmt.Sprint("s", i)); got == nil {
			t.Errorf("s%d of another tenant expired", i)
		}
	}
	if n, err = s.Sessions().Expire(ctx, id, turn(5)[1].At); n != 0 || err != nil {
		t.Errorf("again: got %d, %v", n, err)
	}
}
