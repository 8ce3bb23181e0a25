package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// ObjectCheck is one promise. Run fails t if the store, which nothing else uses, breaks
// it.
type ObjectCheck struct {
	Name string
	Run  func(t rapid.TB, o storage.Objects)
}

// ObjectChecks are all promises of storage.Objects.
func ObjectChecks() []ObjectCheck {
	return []ObjectCheck{
		{"Objects/what is got is what was put", objectsWhole},
		{"Objects/another size than was told leaves nothing", objectsSize},
		{"Objects/keys in order, page by page", objectsKeys},
		{"Objects/no key spells another", objectsHostile},
		{"Objects/keys that can't be", objectsRefused},
		{"Objects/each tenant has its own", objectsApart},
		{"Objects/an ended context, and no tenant", objectsEnded},
	}
}

// RunObjects runs every check against a store of its own.
func RunObjects(t *testing.T, open func(t *testing.T) storage.Objects) {
	for _, c := range ObjectChecks() {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			c.Run(t, open(t))
		})
	}
}

func putObject(t rapid.TB, o storage.Objects, id tenancy.ID, key, body string) {
	t.Helper()
	// A reader that gives a byte at a time, and nothing but a reader.
	must(t, "Put "+key, o.Put(context.Background(), id, key, int64(len(body)), io.MultiReader(strings.NewReader(body))))
}

func object(t rapid.TB, o storage.Objects, id tenancy.ID, key string) (string, error) {
	t.Helper()
	r, err := o.Get(context.Background(), id, key)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(r)
	must(t, "reading "+key, errors.Join(err, r.Close()))
	return string(body), nil
}

func wantObject(t rapid.TB, o storage.Objects, id tenancy.ID, key, want string) {
	t.Helper()
	got, err := object(t, o, id, key)
	if err != nil || got != want {
		t.Errorf("%q of %q: got %d bytes and %v, want %d", key, id.Identity(), len(got), err, len(want))
	}
}

func keysOf(t rapid.TB, o storage.Objects, id tenancy.ID, prefix, after string, limit int) []string {
	t.Helper()
	keys, err := o.Keys(context.Background(), id, prefix, after, limit)
	must(t, "Keys", err)
	return keys
}

func objectsWhole(t rapid.TB, o storage.Objects) {
	id := tenant(t, "a")
	_, err := object(t, o, id, "none")
	wantErr(t, "Get of none", err, storage.ErrNoObject)
	for _, body := range []string{"one", "", "\x00\xff\r\n", strings.Repeat("0123456789abcdef", 1<<16)} {
		putObject(t, o, id, "k", body)
		wantObject(t, o, id, "k", body)
	}
	must(t, "Delete", o.Delete(context.Background(), id, "k"))
	must(t, "Delete again", o.Delete(context.Background(), id, "k"))
	_, err = object(t, o, id, "k")
	wantErr(t, "Get of a deleted one", err, storage.ErrNoObject)
}

func objectsSize(t rapid.TB, o storage.Objects) {
	ctx, id := context.Background(), tenant(t, "a")
	putObject(t, o, id, "k", "before")
	long := strings.Repeat("x", 100_000)
	broken := errors.New("the reader broke")
	for name, c := range map[string]struct {
		size int64
		r    io.Reader
		want error
	}{
		"one short": {int64(len(long) + 1), strings.NewReader(long), storage.ErrBadSize}, "one long": {int64(len(long) - 1), strings.NewReader(long), storage.ErrBadSize},
		"none": {5, strings.NewReader(""), storage.ErrBadSize}, "some of nothing": {0, strings.NewReader("x"), storage.ErrBadSize}, "less than nothing": {-1, strings.NewReader(""), storage.ErrBadSize},
		"broken": {int64(len(long)), io.MultiReader(strings.NewReader(long[:50_000]), iotest.ErrReader(broken)), broken},
	} {
		wantErr(t, name, o.Put(ctx, id, "k", c.size, c.r), c.want)
		wantErr(t, name+", a new key", o.Put(ctx, id, "new", 5, io.MultiReader(bytes.NewReader(nil), iotest.ErrReader(broken))), broken)
		wantObject(t, o, id, "k", "before")
	}
	if keys := keysOf(t, o, id, "", "", 10); !slices.Equal(keys, []string{"k"}) {
		t.Errorf("refused objects are there: %q", keys)
	}
}

func objectsKeys(t rapid.TB, o storage.Objects) {
	id := tenant(t, "a")
	var want []string
	for i := range 25 {
		want = append(want, fmt.Sprintf("docs/%02d/é", i))
	}
	all := slices.Concat(want, []string{"docs0", "docs", "e", "docs é/1"})
	for i := range all {
		putObject(t, o, id, all[(i*7)%len(all)], "x")
	}
	slices.Sort(all)
	for _, limit := range []int{1, 7, 25, 1000} {
		var got []string
		for after := ""; ; after = got[len(got)-1] {
			page := keysOf(t, o, id, "docs/", after, limit)
			if len(page) > limit {
				t.Fatalf("a page of %d has %d", limit, len(page))
			}
			if len(page) == 0 {
				break
			}
			if page[0] <= after {
				t.Fatalf("after %q comes %q", after, page[0])
			}
			got = append(got, page...)
		}
		same(t, fmt.Sprint("by ", limit), got, want)
	}
	same(t, "all", keysOf(t, o, id, "", "", 1000), all)
	same(t, "after one that isn't there", keysOf(t, o, id, "", "docs/24/z", 1000), all[slices.Index(all, "docs/24/é"):])
	if got := keysOf(t, o, id, "none", "", 5); len(got) != 0 {
		t.Errorf("got %q", got)
	}
	for _, limit := range []int{0, -1} {
		_, err := o.Keys(context.Background(), id, "", "", limit)
		wantErr(t, "a page of nothing", err, storage.ErrBadLimit)
	}
}

func objectsHostile(t rapid.TB, o storage.Objects) {
	id := tenant(t, "a")
	keys := []string{"a", "a/b", "a%2Fb", "a b", "a+b", "a%20b", "?x=1", "#x", "a&b=c", "~", "ü", "u\u0308", "🙂", "a\\b", "'\"<>", "...", ".a", "*", "$(x)", "a;b,c:d@e",
		strings.Repeat("k", storage.MaxObjectKey), strings.Repeat("é", storage.MaxObjectKey/2), strings.Repeat("%", storage.MaxObjectKey)}
	for _, key := range keys {
		putObject(t, o, id, key, "body of "+key)
	}
	for _, key := range keys {
		wantObject(t, o, id, key, "body of "+key)
	}
	slices.Sort(keys)
	same(t, "keys", keysOf(t, o, id, "", "", 1000), keys)
	must(t, "Delete", o.Delete(context.Background(), id, "a%2Fb"))
	wantObject(t, o, id, "a/b", "body of a/b")
}

func objectsRefused(t rapid.TB, o storage.Objects) {
	ctx, id := context.Background(), tenant(t, "a")
	for _, key := range []string{"", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "../b", "a/.", "a\x00", "a\n", "\xff", strings.Repeat("k", storage.MaxObjectKey+1)} {
		wantErr(t, fmt.Sprintf("Put %q", key), o.Put(ctx, id, key, 1, strings.NewReader("x")), storage.ErrBadObjectKey)
		_, err := o.Get(ctx, id, key)
		wantErr(t, fmt.Sprintf("Get %q", key), err, storage.ErrBadObjectKey)
		wantErr(t, fmt.Sprintf("Delete %q", key), o.Delete(ctx, id, key), storage.ErrBadObjectKey)
	}
}

func objectsApart(t rapid.TB, o storage.Objects) {
	var tenants []tenancy.ID
	for _, sep := range separators {
		names, _, _ := spelling(sep)
		for _, name := range names {
			tenants = append(tenants, tenant(t, sep+"/"+name))
		}
	}
	for _, id := range tenants {
		putObject(t, o, id, "k", "of "+id.Identity())
	}
	for _, id := range tenants {
		wantObject(t, o, id, "k", "of "+id.Identity())
		same(t, "keys", keysOf(t, o, id, "", "", 10), []string{"k"})
	}
	must(t, "Delete", o.Delete(context.Background(), tenants[0], "k"))
	for _, id := range tenants[1:] {
		wantObject(t, o, id, "k", "of "+id.Identity())
	}
}

func objectsEnded(t rapid.TB, o storage.Objects) {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	putObject(t, o, tenant(t, "a"), "k", "kept")
	for _, c := range []struct {
		ctx  context.Context
		id   tenancy.ID
		want error
	}{{ended, tenant(t, "a"), context.Canceled}, {context.Background(), tenancy.ID{}, storage.ErrNoTenant}} {
		_, get := o.Get(c.ctx, c.id, "k")
		_, keys := o.Keys(c.ctx, c.id, "", "", 1)
		for name, err := range map[string]error{"Put": o.Put(c.ctx, c.id, "k", 1, strings.NewReader("x")), "Get": get, "Delete": o.Delete(c.ctx, c.id, "k"), "Keys": keys} {
			wantErr(t, name, err, c.want)
		}
	}
	wantObject(t, o, tenant(t, "a"), "k", "kept")
}
