package move_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/crispy-enigma/crispy-enigma/runtime/move"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/memory"
)

func snapshot(t testing.TB, n int) (*memory.Store, []byte) {
	t.Helper()
	id := acme(t)
	s := with(t, id, belongings(n))
	var b bytes.Buffer
	if c, err := move.Snapshot(t.Context(), &b, s.Portable(), id, move.Pace{}); err != nil || c.Sessions != int64(n) || c.Messages != int64(2*n) || c.Records() != int64(n+3) {
		t.Fatalf("%+v, %v", c, err)
	}
	return s, b.Bytes()
}

// pipe hides that a reader can seek.
func pipe(b []byte) io.Reader { return io.MultiReader(bytes.NewReader(b)) }

func TestASnapshotComesBackWhole(t *testing.T) {
	t.Parallel()
	id := acme(t)
	from, text := snapshot(t, 250)
	for name, r := range map[string]io.Reader{"a file": bytes.NewReader(text), "a pipe": pipe(text)} {
		to := memory.New(memory.Options{})
		for range 2 {
			c, err := move.Restore(t.Context(), r, to.Portable(), id, move.Taking{})
			if err != nil || c.Sessions != 250 || c.Records() != 253 {
				t.Fatalf("%s: %+v, %v", name, c, err)
			}
			r = pipe(text) // twice is once
		}
		wantSame(t, id, to.Portable(), from.Portable())
	}
}

// TestARestoreGoesOn with what an earlier one said that it has taken in.
func TestARestoreGoesOn(t *testing.T) {
	t.Parallel()
	id := acme(t)
	from, text := snapshot(t, 450)
	to := &frail{Portable: memory.New(memory.Options{}).Portable(), failAt: 3}
	c, err := move.Restore(t.Context(), pipe(text), to, id, move.Taking{})
	if !errors.Is(err, errCrash) || c.Records() != 200 {
		t.Fatalf("%+v, %v", c, err)
	}
	if c, err = move.Restore(t.Context(), pipe(text), to, id, move.Taking{Skip: c.Records()}); err != nil || c.Records() != 453 {
		t.Fatalf("%+v, %v", c, err)
	}
	if to.loads != 6 {
		t.Errorf("%d loads", to.loads)
	}
	wantSame(t, id, to.Portable, from.Portable())
}

// signed gives lines without a trailer the one that fits them.
func signed(lines []string, counts string) []byte {
	text := strings.Join(lines, "")
	sum := sha256.Sum256([]byte(text))
	return []byte(text + fmt.Sprintf(`{"trailer":{"counts":%s,"sha256":"%s"}}`+"\n", counts, hex.EncodeToString(sum[:])))
}

const none = `{"sessions":0,"messages":0,"budgets":0,"usage":0,"audit":0}`

func TestWhatIsNoWholeSnapshotIsRefused(t *testing.T) {
	t.Parallel()
	_, text := snapshot(t, 3)
	lines := strings.SplitAfter(string(text), "\n")
	lines = lines[:len(lines)-1]
	head := lines[0]
	swapped := slices.Clone(lines)
	swapped[1], swapped[2] = swapped[2], swapped[1]
	missing := slices.Delete(slices.Clone(lines), 2, 3)
	for name, tc := range map[string]struct {
		text []byte
		want error
	}{
		"nothing":             {nil, move.ErrNoSnapshot},
		"something else":      {[]byte("c4nary\n"), move.ErrNoSnapshot},
		"another format":      {[]byte(`{"format":"tar","version":1}` + "\n"), move.ErrNoSnapshot},
		"no version":          {[]byte(`{"format":"crispy-enigma-snapshot"}` + "\n"), move.ErrNoSnapshot},
		"a newer version":     {[]byte(strings.Replace(head, `"version":2`, `"version":3`, 1)), move.ErrNewer},
		"the header alone":    {[]byte(head), move.ErrTruncated},
		"swapped lines":       {[]byte(strings.Join(swapped, "")), move.ErrDamaged},
		"a missing line":      {[]byte(strings.Join(missing, "")), move.ErrDamaged},
		"a changed word":      {bytes.Replace(text, []byte("c4nary & answer"), []byte("c4nary & ANSWER"), 1), move.ErrDamaged},
		"something after it":  {append(slices.Clone(text), '\n'), move.ErrDamaged},
		"twice":               {append(slices.Clone(text), text...), move.ErrDamaged},
		"wrong counts":        {signed(lines[:2], none), move.ErrDamaged},
		"an empty document":   {signed([]string{head, `{"document":{}}` + "\n"}, none), move.ErrDamaged},
		"an unknown record":   {signed([]string{head, `{"job":{}}` + "\n"}, none), move.ErrDamaged},
		"an empty record":     {signed([]string{head, "{}\n"}, none), move.ErrDamaged},
		"an impossible one":   {signed([]string{head, `{"budget":{"name":"x","used":-1}}` + "\n"}, none), move.ErrDamaged},
		"no JSON":             {signed([]string{head, "c4nary\n"}, none), move.ErrDamaged},
		"a record of no line": {[]byte(head + "null\n"), move.ErrDamaged},
	} {
		for how, r := range map[string]io.Reader{"file": bytes.NewReader(tc.text), "pipe": pipe(tc.text)} {
			to := &frail{Portable: memory.New(memory.Options{}).Portable()}
			_, err := move.Restore(t.Context(), r, to, acme(t), move.Taking{})
			if !errors.Is(err, tc.want) {
				t.Errorf("%s, a %s: got %v, want %v", name, how, err, tc.want)
			}
			if err != nil && strings.Contains(err.Error(), "c4nary") {
				t.Errorf("%s: the error quotes what was said", name)
			}
			if how == "file" && to.loads > 0 {
				t.Errorf("%s: a file that is refused was taken in", name)
			}
		}
	}
	for cut := range text {
		err := func() error { _, err := move.Check(bytes.NewReader(text[:cut]), acme(t), ""); return err }()
		if !errors.Is(err, move.ErrTruncated) && !errors.Is(err, move.ErrNoSnapshot) {
			t.Fatalf("cut at byte %d: %v", cut, err)
		}
	}
}

func TestAnotherTenantsSnapshotIsRefused(t *testing.T) {
	t.Parallel()
	from, text := snapshot(t, 2)
	other := tenant(t, "acme2", "o/n/development/acme2")
	to := memory.New(memory.Options{})
	for _, as := range []string{"", "acme", "o/n/development/acme2"} {
		if _, err := move.Restore(t.Context(), pipe(text), to.Portable(), other, move.Taking{As: as}); !errors.Is(err, move.ErrForeign) {
			t.Errorf("as %q: %v", as, err)
		}
	}
	if len(dumped(t, to.Portable(), other)) != 0 {
		t.Error("something was taken in")
	}
	if _, err := move.Restore(t.Context(), pipe(text), to.Portable(), other, move.Taking{As: "acme2"}); err != nil {
		t.Error(err)
	}
	if got, want := len(dumped(t, to.Portable(), other)), len(dumped(t, from.Portable(), acme(t))); got != want || len(dumped(t, to.Portable(), acme(t))) != 0 {
		t.Errorf("%d records, want %d, and all of them acme2's", got, want)
	}
}

// TestOldSnapshotsStayReadable: this file is never changed.
func TestOldSnapshotsStayReadable(t *testing.T) {
	t.Parallel()
	f, err := os.Open("testdata/v1.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	to := memory.New(memory.Options{})
	c, err := move.Restore(t.Context(), f, to.Portable(), acme(t), move.Taking{})
	if want := (move.Counts{Sessions: 2, Messages: 4, Budgets: 1, Usage: 1, Audit: 1}); err != nil || c != want {
		t.Fatalf("%+v, %v", c, err)
	}
	got := dumped(t, to.Portable(), acme(t))["key:1 s1"].Session
	if got == nil || len(got.Messages) != 2 || got.Messages[1].Content != "c4nary & answer" || got.Messages[1].Tokens != 7 || !got.Messages[0].At.Equal(noon.Add(1e9)) {
		t.Errorf("got %+v", got)
	}
}

// FuzzRestore: whatever is read, nothing but whole snapshots is said to be one, and what
// is taken in comes out again.
func FuzzRestore(f *testing.F) {
	_, text := snapshot(f, 2)
	f.Add(text)
	f.Add(text[:len(text)/2])
	f.Add([]byte(`{"format":"crispy-enigma-snapshot","version":1,"identity":"o/n/development/acme"}` + "\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		id := acme(t)
		to := memory.New(memory.Options{})
		c, err := move.Restore(t.Context(), pipe(text), to.Portable(), id, move.Taking{})
		if err != nil {
			return
		}
		if got, err := move.Check(bytes.NewReader(text), id, ""); err != nil || got != c {
			t.Errorf("taken in as %+v, checked as %+v, %v", c, got, err)
		}
	})
}
