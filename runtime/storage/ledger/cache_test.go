package ledger_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage/ledger"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// TestTheCacheIsBounded: beyond its bytes what was asked for longest ago goes, whoever's
// it is.
func TestTheCacheIsBounded(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	c := ledger.NewCache(func() time.Time { return now }, 100_000)
	id := func(identity string) tenancy.ID {
		id, err := tenancy.NewID("acme", identity)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	value := []byte(strings.Repeat("x", 1000))
	put := func(i int) {
		if err := c.Put(id(fmt.Sprint(i%3)), fmt.Sprint(i), value, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	has := func(i int) bool { _, ok := c.Get(id(fmt.Sprint(i%3)), fmt.Sprint(i)); return ok }
	for i := range 1000 {
		put(i)
		if !has(0) {
			t.Fatalf("what is asked for all the time is gone after %d", i)
		}
	}
	kept := 0
	for i := range 1000 {
		if has(i) {
			kept++
			if i != 0 && i < 900 {
				t.Errorf("%d is kept, which was put long ago", i)
			}
		}
	}
	// 1000 bytes, and what an entry takes beside them.
	if kept < 75 || kept > 100 {
		t.Errorf("%d entries of 1000 bytes are kept in 100,000", kept)
	}
	now = now.Add(time.Hour)
	if has(0) || has(999) {
		t.Error("found after its time to live")
	}
	put(1)
	if err := c.Put(id("1"), "1", []byte("new"), time.Minute); err != nil {
		t.Fatal(err)
	}
	if got, ok := c.Get(id("1"), "1"); !ok || string(got) != "new" {
		t.Errorf("replaced: got %q, %v", got, ok)
	}
}
