package session_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/session"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/memory"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// firstFails is a store whose first sweep fails.
type firstFails struct {
	storage.Sessions
	swept int
}

func (f *firstFails) Expire(ctx context.Context, t tenancy.ID, before time.Time) (int, error) {
	if f.swept++; f.swept == 1 {
		return 0, errors.New("disk asleep")
	}
	return f.Sessions.Expire(ctx, t, before)
}

func TestSessionsGoWhenTheirTimeIsUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		id, err := tenancy.NewID("acme", "o/n/development/acme")
		if err != nil {
			t.Fatal(err)
		}
		tenant := &tenancy.Tenant{ID: id, Config: &tenantconfig.Config{Sessions: tenantconfig.Sessions{RetentionDays: 30}}}
		store := memory.New(memory.Options{})
		owner := storage.Owner{Caller: "key:k"}
		keep := func(name string) {
			t.Helper()
			if err := store.Sessions().Append(t.Context(), id, owner, name, []storage.Message{{Role: storage.RoleUser, Content: "x", At: time.Now()}}, storage.Keep{}); err != nil {
				t.Fatal(err)
			}
		}
		left := func() (names []string) {
			t.Helper()
			sessions, _, err := store.Sessions().List(t.Context(), id, owner, 10, "")
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range sessions {
				names = append(names, s.ID)
			}
			return names
		}
		keep("old")
		var log bytes.Buffer
		ctx, stop := context.WithCancel(t.Context())
		sweeper := &firstFails{Sessions: store.Sessions()}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			session.Retain(ctx, sweeper, func() []*tenancy.Tenant { return []*tenancy.Tenant{tenant} }, slog.New(slog.NewTextHandler(&log, nil)))
		}()
		time.Sleep(15 * 24 * time.Hour)
		keep("young")
		time.Sleep(15*24*time.Hour - time.Minute)
		if got := left(); len(got) != 2 {
			t.Errorf("a minute before 30 days: %v", got)
		}
		time.Sleep(2 * time.Hour)
		if got := left(); len(got) != 1 || got[0] != "young" {
			t.Errorf("two hours later: %v", got)
		}
		stop()
		<-ended
		if !strings.Contains(log.String(), "disk asleep") || !strings.Contains(log.String(), "sessions=1") {
			t.Errorf("the log doesn't tell: %s", &log)
		}
	})
}
