package storagetest

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"pgregory.net/rapid"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

var cacheChecks = []Check{
	{"Cache/what is found is what was put", cacheFinds},
	{"Cache/no name spells another's", cacheApart},
	{"Cache/time to live", cacheExpires},
	{"Cache/clear is one tenant's, and at once", cacheClears},
	{"Cache/values that can't be", cacheRefuses},
	{"Cache/a value is the caller's own", cacheCopies},
	{"Cache/at once: no value of another", cacheAtOnce},
}

func cached(t rapid.TB, s storage.Store, id tenancy.ID, key string) (string, bool) {
	t.Helper()
	value, ok, err := s.Cache().Get(context.Background(), id, key)
	must(t, "Get", err)
	return string(value), ok
}

func put(t rapid.TB, s storage.Store, id tenancy.ID, key, value string) {
	t.Helper()
	must(t, "Put", s.Cache().Put(context.Background(), id, key, []byte(value), time.Hour))
}

// wantCached allows that the entry has gone: the contract does.
func wantCached(t rapid.TB, s storage.Store, id tenancy.ID, key, want string) (found bool) {
	t.Helper()
	got, ok := cached(t, s, id, key)
	if ok && got != want {
		t.Fatalf("%q of tenant %q: got %q, want %q", key, id.Identity(), got, want)
	}
	return ok
}

func cacheFinds(t rapid.TB, s storage.Store) {
	id := tenant(t, "a")
	if got, ok := cached(t, s, id, "k"); ok {
		t.Fatalf("an empty cache has %q", got)
	}
	found := 0
	for _, value := range []string{"one", "", "\x00\xff", string(bytes.Repeat([]byte{'x'}, storage.MaxCacheValue))} {
		put(t, s, id, "k", value)
		if wantCached(t, s, id, "k", value) {
			found++
		}
	}
	if found == 0 {
		t.Errorf("nothing that was put is found: it is no cache")
	}
}

func cacheApart(t rapid.TB, s storage.Store) {
	for _, sep := range separators {
		tenants, _, names := spelling(sep)
		for _, identity := range tenants {
			for _, name := range names {
				put(t, s, tenant(t, sep+"/"+identity), name, identity+"\x00"+name)
			}
		}
		for _, identity := range tenants {
			for _, name := range names {
				wantCached(t, s, tenant(t, sep+"/"+identity), name, identity+"\x00"+name)
			}
		}
	}
}

func cacheExpires(t rapid.TB, s storage.Store) {
	id := tenant(t, "a")
	put(t, s, id, "kept", "1")
	const ttl = 50 * time.Millisecond
	began := time.Now()
	must(t, "Put", s.Cache().Put(context.Background(), id, "k", []byte("2"), ttl))
	for time.Since(began) < 5*time.Second {
		asked := time.Now()
		if _, ok := cached(t, s, id, "k"); !ok {
			break
		} else if asked.Sub(began) > ttl+time.Second {
			t.Fatalf("found %v after a time to live of %v", asked.Sub(began), ttl)
		}
	}
	wantCached(t, s, id, "kept", "1")
}

func cacheClears(t rapid.TB, s storage.Store) {
	ctx, a, b := context.Background(), tenant(t, "a"), tenant(t, "a:")
	for i := range 50 {
		put(t, s, a, fmt.Sprint(i), "a")
		put(t, s, b, fmt.Sprint(i), "b")
	}
	must(t, "Clear", s.Cache().Clear(ctx, a))
	left := 0
	for i := range 50 {
		if got, ok := cached(t, s, a, fmt.Sprint(i)); ok {
			t.Fatalf("after Clear: found %q", got)
		}
		if wantCached(t, s, b, fmt.Sprint(i), "b") {
			left++
		}
	}
	if left == 0 {
		t.Error("Clear took another tenant's entries")
	}
	put(t, s, a, "0", "new")
	wantCached(t, s, a, "0", "new")
	must(t, "Clear of nothing", s.Cache().Clear(ctx, tenant(t, "nobody")))
}

func cacheRefuses(t rapid.TB, s storage.Store) {
	ctx, id := context.Background(), tenant(t, "a")
	put(t, s, id, "k", "before")
	for what, err := range map[string]error{
		"too large":   s.Cache().Put(ctx, id, "k", make([]byte, storage.MaxCacheValue+1), time.Hour),
		"no ttl":      s.Cache().Put(ctx, id, "k", []byte("x"), 0),
		"a ttl below": s.Cache().Put(ctx, id, "k", []byte("x"), -time.Second),
	} {
		wantErr(t, what, err, storage.ErrBadEntry)
	}
	wantCached(t, s, id, "k", "before")
}

func cacheCopies(t rapid.TB, s storage.Store) {
	ctx, id := context.Background(), tenant(t, "a")
	value := []byte("one")
	must(t, "Put", s.Cache().Put(ctx, id, "k", value, time.Hour))
	copy(value, "two")
	wantCached(t, s, id, "k", "one")
	got, ok, err := s.Cache().Get(ctx, id, "k")
	must(t, "Get", err)
	if ok {
		copy(got, "two")
	}
	wantCached(t, s, id, "k", "one")
}

func cacheAtOnce(t rapid.TB, s storage.Store) {
	ids := []tenancy.ID{tenant(t, "a"), tenant(t, "a:"), tenant(t, "b")}
	together(24, func(i int) {
		id := ids[i%len(ids)]
		for n := range 40 {
			key := fmt.Sprint(n % 5)
			if err := s.Cache().Put(context.Background(), id, key, []byte(id.Identity()+"|"+key), time.Hour); err != nil {
				t.Errorf("Put: %v", err)
			}
			got, ok, err := s.Cache().Get(context.Background(), id, key)
			if err != nil || ok && string(got) != id.Identity()+"|"+key {
				t.Errorf("%q of %q: got %q, %v", key, id.Identity(), got, err)
			}
			if n%20 == 19 && i == 0 {
				if err := s.Cache().Clear(context.Background(), id); err != nil {
					t.Errorf("Clear: %v", err)
				}
			}
		}
	})
}
