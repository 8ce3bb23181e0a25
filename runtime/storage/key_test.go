package storage_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

func newID(t rapid.TB, identity string) tenancy.ID {
	t.Helper()
	id, err := tenancy.NewID("public", identity)
	if err != nil {
		t.Fatalf("making an id of %q: %v", identity, err)
	}
	return id
}

// FuzzKey: two different names never share a key, whatever separators they hold,
// and no key lies under another tenant's prefix.
func FuzzKey(f *testing.F) {
	f.Add("a", "b", "c", "a", "b:c", "")
	f.Add("a:1", "", "x", "a", "1:", "x")
	f.Add("t", "1:a", "", "t", "", "1:a")
	f.Fuzz(func(t *testing.T, ta, a1, a2, tb, b1, b2 string) {
		if ta == "" || tb == "" || strings.ContainsRune(ta+tb, 0) {
			t.Skip("no storage identity")
		}
		a, b := newID(t, ta), newID(t, tb)
		same := ta == tb && a1 == b1 && a2 == b2
		if got := storage.Key(a, a1, a2) == storage.Key(b, b1, b2); got != same {
			t.Errorf("(%q %q %q) and (%q %q %q): keys equal = %v", ta, a1, a2, tb, b1, b2, got)
		}
		if storage.Key(a, a1, a2) == storage.Key(b, b1+b2) {
			t.Errorf("two parts spell the key of one: %q", storage.Key(a, a1, a2))
		}
		if got := strings.HasPrefix(storage.Key(a, a1, a2), storage.TenantPrefix(b)); got != (ta == tb) {
			t.Errorf("key of %q lies under prefix of %q: %v", ta, tb, got)
		}
	})
}

func TestKeysOfAnyPartsAreInjective(t *testing.T) {
	alphabet := rapid.StringOfN(rapid.RuneFrom([]rune("ab12:;/*\x00\x01%é")), 0, 6, -1)
	rapid.Check(t, func(t *rapid.T) {
		identity := rapid.StringOfN(rapid.RuneFrom([]rune("ab12:;/%")), 1, 4, -1)
		ta, tb := identity.Draw(t, "tenant a"), identity.Draw(t, "tenant b")
		pa := rapid.SliceOfN(alphabet, 0, 4).Draw(t, "parts a")
		pb := rapid.SliceOfN(alphabet, 0, 4).Draw(t, "parts b")
		same := ta == tb && len(pa) == len(pb)
		for i := 0; same && i < len(pa); i++ {
			same = pa[i] == pb[i]
		}
		ka, kb := storage.Key(newID(t, ta), pa...), storage.Key(newID(t, tb), pb...)
		if (ka == kb) != same {
			t.Fatalf("%q%q and %q%q: %q, %q", ta, pa, tb, pb, ka, kb)
		}
		if !same && strings.HasPrefix(ka, kb) {
			t.Fatalf("key %q is a prefix of %q", kb, ka)
		}
	})
}

func TestKeyNeedsATenant(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a key without a tenant was made")
		}
	}()
	storage.Key(tenancy.ID{}, "x")
}

func TestCursorIsBoundToTenantAndOwner(t *testing.T) {
	a, b := newID(t, "a"), newID(t, "b")
	mine := storage.Owner{Caller: "key:x"}
	want := storage.Position{Updated: time.UnixMilli(1_700_000_000_123).UTC(), Seq: 42}
	cursor := storage.Cursor(a, mine, want)
	if got, err := storage.ParseCursor(a, mine, cursor); err != nil || got != want {
		t.Fatalf("got %v, %v, want %v", got, err, want)
	}
	for what, parse := range map[string]func() error{
		"other tenant": func() error { _, err := storage.ParseCursor(b, mine, cursor); return err },
		"other caller": func() error { _, err := storage.ParseCursor(a, storage.Owner{Caller: "key:y"}, cursor); return err },
		"all callers": func() error {
			_, err := storage.ParseCursor(a, storage.Owner{Caller: "key:x", All: true}, cursor)
			return err
		},
		"cut":        func() error { _, err := storage.ParseCursor(a, mine, cursor[:len(cursor)-1]); return err },
		"longer":     func() error { _, err := storage.ParseCursor(a, mine, cursor+"AA"); return err },
		"flipped":    func() error { _, err := storage.ParseCursor(a, mine, "B"+cursor[1:]); return err },
		"not base64": func() error { _, err := storage.ParseCursor(a, mine, "✗"); return err },
	} {
		if err := parse(); !errors.Is(err, storage.ErrBadCursor) {
			t.Errorf("%s: got %v, want ErrBadCursor", what, err)
		}
	}
}
