package embedded_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/embedded"
)

func appendOne(s *embedded.Store, id string, bytes int) error {
	m := storage.Message{Role: storage.RoleUser, Content: strings.Repeat("x", bytes), At: time.Now()}
	return s.Sessions().Append(context.Background(), acme(), owner, id, []storage.Message{m}, storage.Keep{})
}

// count is how many messages a session has, by the file and by memory.
func count(t *testing.T, s *embedded.Store, id string) int {
	t.Helper()
	page := storage.Page{Limit: 1 << 20}
	got, err := s.Sessions().History(context.Background(), acme(), owner, id, page)
	if err != nil {
		t.Fatalf("History: %v", err)
	}
	filed, err := embedded.HistoryFromFile(context.Background(), s, acme(), owner, id, page)
	if err != nil || len(filed) != len(got) {
		t.Fatalf("History has %d messages, the file %d, %v", len(got), len(filed), err)
	}
	return len(got)
}

func wantHealth(t *testing.T, s *embedded.Store, reason string) {
	t.Helper()
	if got, want := s.Health(), (storage.Health{OK: reason == "", Reason: reason}); got != want {
		t.Fatalf("health: got %+v, want %+v", got, want)
	}
}

func wantUnavailable(t *testing.T, what string, err error, reason string) {
	t.Helper()
	if !errors.Is(err, storage.ErrUnavailable) || !strings.Contains(fmt.Sprint(err), reason) {
		t.Fatalf("%s: got %v, want unavailable for %s", what, err, reason)
	}
}

// fill appends until the disk is full and returns how many were acknowledged.
func fill(t *testing.T, s *embedded.Store, id string, bytes int) int {
	t.Helper()
	for n := range 100_000 {
		if err := appendOne(s, id, bytes); err != nil {
			wantUnavailable(t, "Append", err, embedded.ReasonDiskFull)
			return n
		}
	}
	t.Fatal("the disk never was full")
	return 0
}

func TestFullDiskRefusesWritesAndHeals(t *testing.T) {
	ctx, dir := context.Background(), disk(t, 24<<20)
	s := open(t, dir, embedded.Options{})
	held, err := s.Budgets().Reserve(ctx, acme(), []storage.Limit{day}, []int64{100})
	if err != nil {
		t.Fatal(err)
	}
	acked := 0
	for round := range 4 {
		err := os.WriteFile(filepath.Join(dir, "other"), make([]byte, 12<<20), 0o600)
		if err != nil && !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("round %d: taking the room: %v", round, err)
		}
		acked += fill(t, s, "s", 20_000)
		wantHealth(t, s, embedded.ReasonDiskFull)
		if got := count(t, s, "s"); got != acked {
			t.Fatalf("round %d: %d messages are read, %d were acknowledged", round, got, acked)
		}
		// What is asked for while the disk is full costs nothing; what was used is
		// kept until it can be written.
		if _, err := s.Budgets().Reserve(ctx, acme(), []storage.Limit{day}, []int64{7}); err != nil {
			wantUnavailable(t, "Reserve", err, embedded.ReasonDiskFull)
			_, reserved, err := s.Budgets().Spent(ctx, acme(), []string{day.Name})
			if err != nil || round == 0 && reserved[0] != 100 {
				t.Fatalf("reserved %v after a refused reservation, %v", reserved, err)
			}
		}
		if round == 0 {
			if err := s.Budgets().Settle(ctx, acme(), held, []int64{40}); err != nil {
				t.Fatalf("Settle on a full disk: %v", err)
			}
		}
		if err := os.Remove(filepath.Join(dir, "other")); err != nil {
			t.Fatal(err)
		}
		if round > 0 {
			// By now the file itself has all of the disk that it may have.
			if err := s.Sessions().Delete(ctx, acme(), owner, "s"); err != nil {
				t.Fatalf("round %d: Delete: %v", round, err)
			}
			acked = 0
		}
		if err := appendOne(s, "s", 20_000); err != nil {
			t.Fatalf("round %d: room is back: %v", round, err)
		}
		acked++
		wantHealth(t, s, "")
	}
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
	again := open(t, dir, embedded.Options{})
	if got := count(t, again, "s"); got != acked {
		t.Errorf("%d messages after opening again, %d were acknowledged", got, acked)
	}
	used, _, err := again.Budgets().Spent(ctx, acme(), []string{day.Name})
	if err != nil || used[0] < 40 {
		t.Errorf("used %v, %v; 40 were settled while the disk was full", used, err)
	}
	if err := again.Close(ctx); err != nil {
		t.Error(err)
	}
	integrity(t, dir)
}

// TestFullFileRefusesWritesUntilSessionsGo: nobody else takes or gives room, so what
// heals must be the deletion, which has to work on a full disk.
func TestFullFileRefusesWritesUntilSessionsGo(t *testing.T) {
	for name, make := range map[string]func(t *testing.T) (string, embedded.Options){
		"by its bound": func(t *testing.T) (string, embedded.Options) {
			return t.TempDir(), embedded.Options{MaxBytes: 4 << 20}
		},
		"by the disk": func(t *testing.T) (string, embedded.Options) {
			return disk(t, 24<<20), embedded.Options{}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, options := make(t)
			s := open(t, dir, options)
			for i := range 4 {
				if err := appendOne(s, fmt.Sprint("old", i), 50_000); err != nil {
					t.Fatal(err)
				}
			}
			acked := fill(t, s, "s", 20_000)
			wantHealth(t, s, embedded.ReasonDiskFull)
			if got := count(t, s, "s"); got != acked || acked < 100 {
				t.Fatalf("%d messages are read, %d were acknowledged", got, acked)
			}
			n, err := s.Sessions().Expire(context.Background(), acme(), time.Now().Add(time.Hour))
			if err != nil || n != 5 {
				t.Fatalf("expiring on a full file: %d, %v", n, err)
			}
			wantHealth(t, s, "")
			if err := appendOne(s, "s", 20_000); err != nil {
				t.Fatalf("after expiry: %v", err)
			}
		})
	}
}

// TestReadOnlyDiskOpensAndHeals: a volume that comes up read-only is no reason to
// end; it says so and heals.
func TestReadOnlyDiskOpensAndHeals(t *testing.T) {
	for _, filled := range []bool{false, true} {
		t.Run(fmt.Sprintf("with a file %v", filled), func(t *testing.T) {
			dir := disk(t, 8<<20)
			if filled {
				s := open(t, dir, embedded.Options{})
				if err := errors.Join(appendOne(s, "s", 10), s.Close(context.Background())); err != nil {
					t.Fatal(err)
				}
			}
			remount(t, dir, true)
			s := open(t, dir, embedded.Options{})
			wantHealth(t, s, embedded.ReasonReadOnly)
			wantUnavailable(t, "Append", appendOne(s, "s", 10), embedded.ReasonReadOnly)
			_, err := s.Budgets().Reserve(context.Background(), acme(), []storage.Limit{day}, []int64{1})
			wantUnavailable(t, "Reserve", err, embedded.ReasonReadOnly)
			_, err = s.Windows().Take(context.Background(), acme(), "key", nil, time.Now())
			wantUnavailable(t, "Take", err, embedded.ReasonReadOnly)
			remount(t, dir, false)
			healed(t, s)
			want := 1
			if filled {
				want = 2
			}
			if err := appendOne(s, "s", 10); err != nil {
				t.Fatalf("after the remount: %v", err)
			}
			if got := count(t, s, "s"); got != want {
				t.Errorf("got %d messages, want %d", got, want)
			}
		})
	}
}

// healed waits until the store has healed without being asked to write.
func healed(t *testing.T, s *embedded.Store) {
	t.Helper()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	limit := time.NewTimer(10 * time.Second)
	defer limit.Stop()
	for !s.Health().OK {
		select {
		case <-look.C:
		case <-limit.C:
			t.Fatalf("not healed by itself: %+v", s.Health())
		}
	}
}

// raw opens the file behind the driver's back.
func raw(t testing.TB, dir string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func integrity(t *testing.T, dir string) {
	t.Helper()
	var got string
	if err := raw(t, dir).QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&got); err != nil || got != "ok" {
		t.Errorf("integrity: %q, %v", got, err)
	}
}

func TestOpenRefusesWhatItMustNotTouch(t *testing.T) {
	// written is a file that was in use, with a table damaged or its version raised.
	written := func(t *testing.T, dir string) {
		s := open(t, dir, embedded.Options{})
		for i := range 50 {
			if err := appendOne(s, fmt.Sprint("s", i), 3000); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	overwrite := func(t *testing.T, dir string, at int64, b []byte) {
		f, err := os.OpenFile(filepath.Join(dir, "state.db"), os.O_WRONLY|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(b, at); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, dir string)
		want   error
		says   string
	}{
		{"no database", func(t *testing.T, dir string) {
			overwrite(t, dir, 0, bytes.Repeat([]byte("not a database. "), 1000))
		}, embedded.ErrCorrupt, "restore state.db from a backup"},
		{"tables overwritten", func(t *testing.T, dir string) {
			written(t, dir)
			overwrite(t, dir, 4096, bytes.Repeat([]byte{0xa5}, 9*4096))
		}, embedded.ErrCorrupt, "move it away"},
		{"cut off", func(t *testing.T, dir string) {
			written(t, dir)
			if err := os.Truncate(filepath.Join(dir, "state.db"), 5000); err != nil {
				t.Fatal(err)
			}
		}, embedded.ErrCorrupt, "restore state.db from a backup"},
		{"a newer version", func(t *testing.T, dir string) {
			written(t, dir)
			if _, err := raw(t, dir).ExecContext(t.Context(), "PRAGMA user_version = 99"); err != nil {
				t.Fatal(err)
			}
		}, embedded.ErrNewer, "version 99"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			c.damage(t, dir)
			before, err := os.ReadFile(filepath.Join(dir, "state.db"))
			if err != nil {
				t.Fatal(err)
			}
			s, err := embedded.Open(t.Context(), dir, embedded.Options{})
			if err == nil {
				t.Fatal(errors.Join(errors.New("it was opened"), s.Close(t.Context())))
			}
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %v that says %q", err, c.want, c.says)
			}
			after, err := os.ReadFile(filepath.Join(dir, "state.db"))
			if err != nil || !bytes.Equal(before, after) {
				t.Errorf("the file was altered, %v", err)
			}
		})
	}
}

func TestOneProcessADirectory(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, embedded.Options{})
	_, err := embedded.Open(t.Context(), dir, embedded.Options{})
	if !errors.Is(err, embedded.ErrInUse) || !strings.Contains(err.Error(), "state.lock") {
		t.Fatalf("second opening: got %v, want ErrInUse that names the lock", err)
	}
	if out, err := childCommand(t, dir, 1, 1).CombinedOutput(); err == nil || !strings.Contains(string(out), "in use by another process") {
		t.Fatalf("second process: got %v, %s", err, out)
	}
	if err := appendOne(s, "s", 1); err != nil {
		t.Fatalf("the first is disturbed: %v", err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	open(t, dir, embedded.Options{})
}

// TestForeignRowsAreNotRead: a row that came under another tenant's session, by a bug
// or by hand, is an error and not an answer.
func TestForeignRowsAreNotRead(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, embedded.Options{})
	if err := errors.Join(appendOne(s, "s", 1), s.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	if _, err := raw(t, dir).ExecContext(t.Context(), "UPDATE messages SET tenant = 'other'"); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, embedded.Options{})
	got, err := s.Sessions().History(t.Context(), acme(), owner, "s", storage.Page{Limit: 1})
	wantUnavailable(t, "History", err, embedded.ReasonCorrupt)
	if len(got) != 0 {
		t.Errorf("got %v", got)
	}
}
