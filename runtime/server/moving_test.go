package server_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
	"github.com/crispy-enigma/crispy-enigma/runtime/move"
	"github.com/crispy-enigma/crispy-enigma/runtime/server"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	statefile "github.com/crispy-enigma/crispy-enigma/runtime/storage/embedded"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/memory"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

var quiet = slog.New(slog.DiscardHandler)

// load reads the bed's directory, as a program beside the server does.
func (b *bed) load() *tenancy.Tenant {
	b.t.Helper()
	tenant, err := tenancy.Load(b.dir)
	if err != nil {
		b.t.Fatal(err)
	}
	return tenant
}

// keeper asks the bed's server, or its store.
func (b *bed) keeper() server.Keeper {
	return server.Keeper{Tenant: b.load(), Address: strings.TrimPrefix(b.ops, "http://"), Logger: quiet}
}

func onFile(dir string) func(*tenantconfig.Config) {
	return func(c *tenantconfig.Config) {
		c.State = tenantconfig.State{Driver: tenantconfig.StateEmbedded, Path: dir}
		limited(c)
	}
}

func ended(t *testing.T, b *bed) {
	t.Helper()
	b.stop()
	if err := <-b.ended; err != nil {
		t.Error(err)
	}
	b.ended <- nil
}

// A tenant outgrows its file: what it has is found on the server, whichever it is, and
// what is said there stays when the move is begun again.
func TestATenantMovesFromItsFileToAServer(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *stateServer) {
		dir := t.TempDir()
		up := aifake.New(t, aifake.Says("c4nary ", "answer"))
		old := newBed(t, up, setup{cfg: onFile(dir)})
		const sessions = 30
		for i := range sessions {
			for range 2 {
				if a := old.do(chat("c4nary", "stream", false, "sessionId", sessionOf(i))); a.status != 200 {
					t.Fatalf("%d %s", a.status, a.body)
				}
			}
		}
		before, used := old.history(keyMain, sessionOf(7)), old.status().Usage

		next := s.setup(limited)
		bend := next.cfg
		next.cfg = func(c *tenantconfig.Config) { bend(c); c.State.Path = dir }
		// The document of the new server lies there, but its server isn't started yet.
		waiting := &bed{t: t, dir: t.TempDir(), cfg: document(up.URL)}
		next.cfg(waiting.cfg)
		waiting.write("upstream-token", upToken)
		waiting.write(tenantconfig.StateURLFile, s.url)
		waiting.writeDocument()
		moved := func(ctx context.Context) (move.Counts, error) {
			return server.Move(ctx, waiting.load(), quiet, move.Pace{})
		}
		if _, err := moved(t.Context()); !errors.Is(err, statefile.ErrInUse) {
			t.Errorf("while it is served: %v", err)
		}
		ended(t, old)
		s.Stop()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		if _, err := moved(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("while the server is away: %v", err)
		}
		cancel()
		s.back()
		if c, err := moved(t.Context()); err != nil || c.Sessions != sessions || c.Messages != 4*sessions || c.Usage == 0 || c.Budgets == 0 {
			t.Fatalf("%+v, %v", c, err)
		}

		b := newBed(t, up, next)
		if got := b.history(keyMain, sessionOf(7)); cmp.Diff(before, got) != "" {
			t.Errorf("history (-before +after):\n%s", cmp.Diff(before, got))
		}
		if got := b.status().Usage; got != used {
			t.Errorf("usage was %+v and is %+v", used, got)
		}
		if a := b.do(chat("c4nary", "stream", false, "sessionId", sessionOf(7))); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		if _, err := moved(t.Context()); err != nil {
			t.Error(err)
		}
		if got := b.history(keyMain, sessionOf(7)); len(got) != len(before)+2 {
			t.Errorf("the move that was done brought old data back: %d messages", len(got))
		}

		// Back on the file, it goes on from there, and the next move takes that along.
		ended(t, b)
		again := newBed(t, up, setup{cfg: onFile(dir)})
		if a := again.do(chat("c4nary", "stream", false, "sessionId", sessionOf(99))); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		ended(t, again)
		if c, err := moved(t.Context()); err != nil || c.Sessions != sessions+1 {
			t.Errorf("after the file was used again: %+v, %v", c, err)
		}
	})
}

func TestThereIsNothingToMove(t *testing.T) {
	t.Parallel()
	b := newBed(t, aifake.New(t), setup{})
	if c, err := server.Move(t.Context(), b.load(), quiet, move.Pace{}); err != nil || c.Records() != 0 {
		t.Errorf("no shared store: %+v, %v", c, err)
	}
	s := valkeyServer(t).setup(nil)
	bend := s.cfg
	s.cfg = func(c *tenantconfig.Config) { bend(c); c.State.Path = t.TempDir() }
	if c, err := server.Move(t.Context(), newBed(t, aifake.New(t), s).load(), quiet, move.Pace{}); err != nil || c.Records() != 0 {
		t.Errorf("no file: %+v, %v", c, err)
	}
}

// Limits on a server of their own move with the rest, and a dump of both resumes from any
// of its positions.
func TestStateOnTwoServersIsDumpedAsOne(t *testing.T) {
	t.Parallel()
	limits := valkeyServer(t)
	s := postgresServer(t).setup(func(c *tenantconfig.Config) {
		c.State.LimitsOn, c.State.LimitsServer = tenantconfig.StateValkey, tenantconfig.StateServer{URLFile: tenantconfig.LimitsURLFile}
		limited(c)
	})
	s.files[tenantconfig.LimitsURLFile] = limits.url
	b := newBed(t, aifake.New(t, aifake.Says("c4nary")), s)
	for i := range 3 {
		if a := b.do(chat("c4nary", "stream", false, "sessionId", sessionOf(i))); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	store, err := server.OpenStore(t.Context(), b.load(), quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := store.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	id := b.load().ID
	dumpFrom := func(from string) (records, positions []string) {
		err := store.Portable().Dump(t.Context(), id, from, func(r storage.Record, next string) error {
			records = append(records, fmt.Sprintf("%+v %+v %+v", r.Session, r.Budget, r.Usage))
			positions = append(positions, next)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return records, positions
	}
	all, positions := dumpFrom("")
	if len(all) < 3+3+1 {
		t.Errorf("%d records, want 3 sessions, 3 budgets and usage", len(all))
	}
	for i, p := range positions {
		if rest, _ := dumpFrom(p); len(rest) != len(all)-i-1 {
			t.Errorf("from position %d: %d records, want %d", i, len(rest), len(all)-i-1)
		}
	}
	if err := store.Portable().Dump(t.Context(), id, "x", nil); !errors.Is(err, storage.ErrBadCursor) {
		t.Errorf("a position of nobody's: %v", err)
	}
	if n, err := store.Portable().Erase(t.Context(), id); err != nil || n != 3 {
		t.Errorf("erased %d, %v", n, err)
	}
	if all, _ := dumpFrom(""); len(all) != 0 {
		t.Errorf("%d records after they were erased", len(all))
	}
}

// A snapshot is taken of a server at work, wherever it keeps its state, and goes into
// another of any driver.
func TestASnapshotOfAServerAtWork(t *testing.T) {
	t.Parallel()
	beds := map[string]setup{
		"memory": {cfg: limited}, "file": {cfg: onFile(t.TempDir())},
		"valkey": valkeyServer(t).setup(limited), "postgres": postgresServer(t).setup(limited),
	}
	targets := map[string]*bed{
		"memory": newBed(t, aifake.New(t), setup{cfg: limited}),
		"file":   newBed(t, aifake.New(t), setup{cfg: onFile(t.TempDir())}),
		"valkey": newBed(t, aifake.New(t), valkeyServer(t).setup(limited)),
	}
	for name, s := range beds {
		b := newBed(t, aifake.New(t, aifake.Says("c4nary ", "answer")), s)
		for i := range 5 {
			if a := b.do(chat("c4nary", "stream", false, "sessionId", sessionOf(i))); a.status != 200 {
				t.Fatalf("%s: %d %s", name, a.status, a.body)
			}
		}
		var snapshot bytes.Buffer
		taken, err := b.keeper().Snapshot(t.Context(), &snapshot, move.Pace{})
		if err != nil || taken.Sessions != 5 || taken.Messages != 10 || taken.Budgets != 3 || taken.Usage == 0 {
			t.Fatalf("%s: %+v, %v", name, taken, err)
		}
		for _, secret := range []string{keyMain, upToken, statusToken, loginPassword} {
			if bytes.Contains(snapshot.Bytes(), []byte(secret)) {
				t.Errorf("%s: the snapshot holds a secret", name)
			}
		}
		for where, target := range targets {
			c, err := target.keeper().Restore(t.Context(), bytes.NewReader(snapshot.Bytes()), move.Taking{})
			if err != nil || c != taken {
				t.Fatalf("%s to %s: %+v, %v", name, where, c, err)
			}
			if d := cmp.Diff(b.history(keyMain, sessionOf(3)), target.history(keyMain, sessionOf(3))); d != "" {
				t.Errorf("%s to %s: history (-want +got):\n%s", name, where, d)
			}
			if got, want := target.status().Usage.TokensThisMonth, b.status().Usage.TokensThisMonth; got != want {
				t.Errorf("%s to %s: %d tokens, want %d", name, where, got, want)
			}
			cut := bytes.NewReader(snapshot.Bytes()[:snapshot.Len()-20])
			if _, err := target.keeper().Restore(t.Context(), cut, move.Taking{}); !errors.Is(err, move.ErrTruncated) {
				t.Errorf("%s to %s, cut: %v", name, where, err)
			}
			if _, err := target.keeper().Restore(t.Context(), pipeOf("c4nary"), move.Taking{}); err == nil || strings.Contains(err.Error(), "c4nary") {
				t.Errorf("%s to %s, nonsense: %v", name, where, err)
			}
		}
	}
}

// pipeOf can't be read twice, so that the server has to judge it.
func pipeOf(text string) *bytes.Buffer { return bytes.NewBufferString(text) }

// A store that ends within a snapshot gives none that would be taken for whole.
func TestASnapshotThatBreaksOffIsTold(t *testing.T) {
	t.Parallel()
	store := memory.New(memory.Options{})
	b := newBed(t, aifake.New(t, aifake.Says("c4nary")), setup{store: breaking{store}})
	for i := range 3 {
		if a := b.do(chat("c4nary", "stream", false, "sessionId", sessionOf(i))); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	var snapshot bytes.Buffer
	if c, err := b.keeper().Snapshot(t.Context(), &snapshot, move.Pace{}); !errors.Is(err, move.ErrTruncated) || c.Records() != 1 {
		t.Errorf("%+v, %v", c, err)
	}
	// The pages are no part of the API, and closed without the token.
	for _, c := range []call{
		{method: http.MethodGet, path: "/snapshot", key: statusToken},
		{method: http.MethodGet, url: b.ops + "/snapshot"},
		{method: http.MethodGet, url: b.ops + "/snapshot", key: keyMain},
		{url: b.ops + "/restore", key: keyAll},
	} {
		if a := b.do(c); a.status != 404 && a.status != 401 {
			t.Errorf("%s: %d %s", c.url+c.path, a.status, a.body)
		}
	}
}

// breaking is a store whose dumps fail after one record.
type breaking struct{ *memory.Store }

func (b breaking) Portable() storage.Portable { return brokenDump{b.Store.Portable()} }

type brokenDump struct{ storage.Portable }

var errBroken = errors.New("the disk has a hole")

func (p brokenDump) Dump(ctx context.Context, t tenancy.ID, from string, yield func(storage.Record, string) error) error {
	n := 0
	return p.Portable.Dump(ctx, t, from, func(r storage.Record, next string) error {
		if n++; n > 1 {
			return errBroken
		}
		return yield(r, next)
	})
}
