package storagetest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

var auditChecks = []Check{
	{"Audit/pages give each record once, newest first", auditPages},
	{"Audit/a span is half open", auditSpan},
	{"Audit/tenants apart, a foreign cursor is refused", auditApart},
	{"Audit/at once: nothing lost", auditAtOnce},
}

func ran(i int) storage.AuditRecord {
	return storage.AuditRecord{
		At: epoch.Add(time.Duration(i) * time.Second), Caller: fmt.Sprint("key:", i%3), Tool: "web_search",
		ParamsHash: fmt.Sprintf("%064x", i), Outcome: []string{"ok", "tool_timeout"}[i%2], Duration: time.Duration(i+1) * time.Microsecond,
	}
}

func record(t rapid.TB, s storage.Store, id tenancy.ID, r storage.AuditRecord) {
	t.Helper()
	must(t, "Record", s.Audit().Record(context.Background(), id, r))
}

// records reads all of [epoch, epoch+1h), a page at a time.
func records(t rapid.TB, s storage.Store, id tenancy.ID, limit int) (all []storage.AuditRecord) {
	t.Helper()
	for cursor, page := "", 0; ; page++ {
		got, next, err := s.Audit().Records(context.Background(), id, epoch, epoch.Add(time.Hour), limit, cursor)
		must(t, "Records", err)
		if len(got) > limit || next != "" && len(got) == 0 {
			t.Fatalf("page %d of %d: got %d records, next %q", page, limit, len(got), next)
		}
		all = append(all, got...)
		if next == "" {
			return all
		}
		cursor = next
	}
}

func auditPages(t rapid.TB, s storage.Store) {
	id := tenant(t, "a")
	// Some out of order, and several of one time.
	order := []int{0, 1, 2, 5, 3, 4, 6, 7, 7, 7, 8, 9, 9}
	for n, i := range order {
		r := ran(i)
		r.Tool = fmt.Sprint("tool", n)
		record(t, s, id, r)
	}
	want := map[string]storage.AuditRecord{}
	for n, i := range order {
		r := ran(i)
		r.Tool = fmt.Sprint("tool", n)
		want[r.Tool] = r
	}
	for _, limit := range []int{1, 2, 5, 13, 100} {
		got := records(t, s, id, limit)
		if len(got) != len(order) {
			t.Fatalf("by %d: got %d records, want %d", limit, len(got), len(order))
		}
		seen := map[string]storage.AuditRecord{}
		for i, r := range got {
			if i > 0 && r.At.After(got[i-1].At) {
				t.Errorf("by %d: %v comes after %v", limit, r.At, got[i-1].At)
			}
			seen[r.Tool] = r
		}
		same(t, "records", seen, want)
	}
	_, _, err := s.Audit().Records(context.Background(), id, epoch, epoch.Add(time.Hour), 0, "")
	wantErr(t, "limit 0", err, storage.ErrBadLimit)
}

func auditSpan(t rapid.TB, s storage.Store) {
	ctx, id := context.Background(), tenant(t, "a")
	for i := range 4 {
		record(t, s, id, ran(i))
	}
	for _, span := range []struct{ from, to, first, n int }{{0, 4, 3, 4}, {1, 3, 2, 2}, {2, 2, 0, 0}, {3, 1, 0, 0}, {4, 9, 0, 0}} {
		got, next, err := s.Audit().Records(ctx, id, ran(span.from).At, ran(span.to).At, 10, "")
		must(t, "Records", err)
		var want []storage.AuditRecord
		for i := range span.n {
			want = append(want, ran(span.first-i))
		}
		if !slices.Equal(got, want) || next != "" {
			t.Errorf("[%d, %d): got %v, next %q; want %v", span.from, span.to, got, next, want)
		}
	}
}

func auditApart(t rapid.TB, s storage.Store) {
	for _, sep := range separators {
		tenants, _, _ := spelling(sep)
		for i, identity := range tenants {
			id := tenant(t, sep+"/"+identity)
			if got := records(t, s, id, 10); len(got) != 0 {
				t.Fatalf("tenant %q reads another's: %v", identity, got)
			}
			for n := range i + 2 {
				record(t, s, id, ran(n))
			}
		}
		for i, identity := range tenants {
			if got := records(t, s, tenant(t, sep+"/"+identity), 10); len(got) != i+2 {
				t.Fatalf("tenant %q: got %d records, want %d", identity, len(got), i+2)
			}
		}
	}
	ctx, a, b := context.Background(), tenant(t, "a"), tenant(t, "b")
	for i := range 4 {
		record(t, s, a, ran(i))
		record(t, s, b, ran(i))
	}
	_, cursor, err := s.Audit().Records(ctx, a, epoch, epoch.Add(time.Hour), 2, "")
	must(t, "Records", err)
	for what, bad := range map[string]string{"another tenant's": cursor, "one made up": "2", "one altered": cursor + "A", "SQL": "' OR 1=1 --"} {
		got, _, err := s.Audit().Records(ctx, b, epoch, epoch.Add(time.Hour), 2, bad)
		wantErr(t, what, err, storage.ErrBadCursor)
		if len(got) != 0 {
			t.Errorf("%s cursor: got %v", what, got)
		}
	}
}

func auditAtOnce(t rapid.TB, s storage.Store) {
	const writers, each = 16, 20
	id := tenant(t, "a")
	together(writers, func(w int) {
		for i := range each {
			r := ran(i)
			r.ParamsHash = fmt.Sprint(w, "-", i)
			if err := s.Audit().Record(context.Background(), id, r); err != nil {
				t.Errorf("Record: %v", err)
			}
			if i%10 == 0 {
				if _, _, err := s.Audit().Records(context.Background(), id, epoch, epoch.Add(time.Hour), 5, ""); err != nil {
					t.Errorf("Records: %v", err)
				}
			}
		}
	})
	seen := map[string]int{}
	for _, r := range records(t, s, id, 33) {
		seen[r.ParamsHash]++
	}
	for w := range writers {
		for i := range each {
			if n := seen[fmt.Sprint(w, "-", i)]; n != 1 {
				t.Fatalf("record %d of writer %d is there %d times", i, w, n)
			}
		}
	}
}
