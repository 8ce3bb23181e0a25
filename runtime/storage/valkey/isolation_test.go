package valkey_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"github.com/crispy-enigma/crispy-enigma/api/statestore"
	"github.com/crispy-enigma/crispy-enigma/hack/servers"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/valkey"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// login makes a tenant's login with the rules that the operator gives it.
func login(t testing.TB, r *servers.RedisServer, id tenancy.ID) (user string) {
	t.Helper()
	tag := statestore.Tag(id.Identity())
	r.SetUser(t, statestore.ACLUser(tag), password, statestore.ACLRules(tag))
	return statestore.ACLUser(tag)
}

// everything calls every method once and returns the first error.
func everything(ctx context.Context, s storage.Store, id tenancy.ID) error {
	o, now := storage.Owner{Caller: "key:x", All: true}, time.Now()
	msgs := []storage.Message{{Role: storage.RoleUser, Content: "c4nary question", At: now.Add(-time.Second)}}
	windows := []storage.Window{{Name: "long", Limit: 1000, Length: time.Minute}}
	limits := []storage.Limit{{Name: "day", Max: 1000, Until: now.Add(time.Hour)}, {Name: "ever", Max: 1000}}
	var r storage.Reservation
	jobID := uuid.NewString()
	steps := []func() error{
		func() error {
			return s.Sessions().Append(ctx, id, o, "s", msgs, storage.Keep{MaxMessages: 5, Retention: time.Hour})
		},
		func() error { return s.Sessions().Append(ctx, id, o, "s", msgs, storage.Keep{}) },
		func() error { _, err := s.Sessions().History(ctx, id, o, "s", storage.Page{Limit: 5}); return err },
		func() error {
			_, err := s.Sessions().History(ctx, id, storage.Owner{Caller: "z", All: true}, "s", storage.Page{Limit: 5})
			return err
		},
		func() error { _, _, err := s.Sessions().List(ctx, id, o, 5, ""); return err },
		func() error { return s.Sessions().Delete(ctx, id, o, "t") },
		func() error { _, err := s.Sessions().Expire(ctx, id, now.Add(-time.Hour)); return err },
		func() error { _, err := s.Windows().Take(ctx, id, "key:x", windows, now); return err },
		func() error { return s.Windows().Return(ctx, id, "key:x", windows, now) },
		func() error { _, err := s.Windows().Take(ctx, id, "key:x", windows, now); return err },
		func() (err error) { r, err = s.Budgets().Reserve(ctx, id, limits, []int64{5, 5}); return err },
		func() error { return s.Budgets().Settle(ctx, id, r, []int64{3, 3}) },
		func() error { _, _, err := s.Budgets().Spent(ctx, id, []string{"day"}); return err },
		func() error { return s.Usage().Add(ctx, id, storage.UsageRecord{At: now, Model: "m"}) },
		func() error { _, err := s.Usage().Sum(ctx, id, now.Add(-time.Hour), now.Add(time.Hour)); return err },
		func() error { return s.Cache().Clear(ctx, id) },
		func() error { return s.Cache().Put(ctx, id, "k", []byte("c4nary value"), time.Minute) },
		func() error { _, _, err := s.Cache().Get(ctx, id, "k"); return err },
		func() error { return s.Audit().Record(ctx, id, storage.AuditRecord{At: now, Tool: "t"}) },
		func() error {
			_, _, err := s.Audit().Records(ctx, id, now.Add(-time.Hour), now.Add(time.Hour), 5, "")
			return err
		},
		func() error { return replace(ctx, s, id, "d", 3) },
		func() error { return replace(ctx, s, id, "d", 2) },
		func() error { return replace(ctx, s, id, "gone", 1) },
		func() error { _, err := s.Documents().Remove(ctx, id, "gone"); return err },
		func() error { _, _, err := s.Documents().List(ctx, id, 5, ""); return err },
		func() error { _, err := s.Documents().Changes(ctx, id, 0, 5); return err },
		func() error { _, err := s.Documents().Await(ctx, id, -1); return err },
		func() error {
			_, err := s.Documents().Vectors(ctx, id, []storage.PassageKey{{Doc: "d", Version: 1}})
			return err
		},
		func() error {
			return s.Jobs().Add(ctx, id, storage.Job{ID: jobID, Kind: "ingest", Created: now}, []byte("c4nary payload"))
		},
		func() error { _, _, err := s.Jobs().Take(ctx, id, "w", []string{"ingest"}, now, now); return err },
		func() error { _, err := s.Jobs().Payload(ctx, id, jobID); return err },
		func() error {
			return s.Jobs().Update(ctx, id, "w", storage.Job{ID: jobID, State: storage.JobDone}, now, now)
		},
		func() error { _, err := s.Jobs().Open(ctx, id); return err },
		func() error { return s.Portable().Dump(ctx, id, "", func(storage.Record, string) error { return nil }) },
	}
	for i, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	return nil
}

// replace publishes a version of n passages, one more than which is staged; all tell which
// version it is.
func replace(ctx context.Context, s storage.Store, id tenancy.ID, doc string, n int) error {
	d, err := staged(ctx, s, id, doc, n)
	if err == nil {
		_, err = s.Documents().Publish(ctx, id, d)
	}
	return err
}

func staged(ctx context.Context, s storage.Store, id tenancy.ID, doc string, n int) (storage.Document, error) {
	version, err := s.Documents().NextVersion(ctx, id)
	if err != nil {
		return storage.Document{}, err
	}
	all := make([]storage.Passage, n+1)
	for i := range all {
		all[i] = storage.Passage{N: i, Text: fmt.Sprint(version), Vector: []float32{1, float32(i)}}
	}
	for some := range slices.Chunk(all, storage.MaxStaged) {
		if err := s.Documents().Stage(ctx, id, doc, version, some); err != nil {
			return storage.Document{}, err
		}
	}
	return storage.Document{ID: doc, Version: version, Title: fmt.Sprint(version), Passages: n, Updated: time.Now()}, nil
}

func dump(t testing.TB, s storage.Store, id tenancy.ID) (records []storage.Record) {
	t.Helper()
	err := s.Portable().Dump(context.Background(), id, "", func(r storage.Record, _ string) error {
		records = append(records, r)
		return nil
	})
	if err != nil {
		t.Fatalf("Dump: %v", err)
	}
	return records
}

func TestATenantsOwnLoginIsEnough(t *testing.T) {
	t.Parallel()
	r, id := servers.Redis(t, servers.RedisOptions{}), tenant(t, "owner/acme")
	s := open(t, valkey.Options{URL: r.URL(login(t, r, id), password)})
	if err := everything(t.Context(), s, id); err != nil {
		t.Fatal(err)
	}
	records := dump(t, s, id)
	if len(records) != 7 {
		t.Errorf("%d records, want a session, two budgets, usage, audit, passages and a document", len(records))
	}
	if n, err := s.Portable().Erase(t.Context(), id); err != nil || n != 1 {
		t.Errorf("Erase: %d sessions, %v", n, err)
	}
	left := r.Do(t, "DBSIZE")
	if n, err := left.AsInt64(); err != nil || n != 0 {
		t.Errorf("%d keys are left of an erased tenant, %v", n, err)
	}
	if err := s.Portable().Load(t.Context(), id, records); err != nil {
		t.Errorf("Load: %v", err)
	}
	numbers := cmp.Options{cmpopts.IgnoreFields(storage.Document{}, "Version", "Change"), cmpopts.IgnoreFields(storage.PassagesRecord{}, "Version")}
	if d := cmp.Diff(records, dump(t, s, id), numbers); d != "" {
		t.Errorf("after loading (-was +is):\n%s", d)
	}
}

// TestATenantsLoginOpensNothingElse takes a tenant's pod over: whatever it sends with
// the credentials that it has, the server refuses what isn't its own.
func TestATenantsLoginOpensNothingElse(t *testing.T) {
	t.Parallel()
	r, id, neighbour := servers.Redis(t, servers.RedisOptions{}), tenant(t, "owner/acme"), tenant(t, "owner/neighbour")
	user := login(t, r, id)
	theirs := open(t, valkey.Options{URL: r.URL(login(t, r, neighbour), password)})
	if err := everything(t.Context(), theirs, neighbour); err != nil {
		t.Fatal(err)
	}
	before := dump(t, theirs, neighbour)
	listed := r.Do(t, "KEYS", "*")
	keys, err := listed.AsStrSlice()
	if err != nil || len(keys) < 12 {
		t.Fatalf("%d keys of the neighbour's, %v: the attack needs some of each kind", len(keys), err)
	}
	own := statestore.KeyPrefix(statestore.Tag(id.Identity())) + "x"
	var attacks [][]string
	for _, key := range keys {
		for _, a := range []string{
			"GET %", "SET % x", "GETRANGE % 0 -1", "SETRANGE % 0 x", "APPEND % x", "STRLEN %", "HGET % f", "HGETALL %", "HSET % f x",
			"LINDEX % 0", "LRANGE % 0 -1", "LLEN %", "RPUSH % x", "LREM % 0 x", "RPOP %", "LTRIM % 1 0", "ZADD % 1 x", "ZRANGE % 0 -1", "ZCARD %", "ZREM % x",
			"ZREMRANGEBYSCORE % -inf +inf", "INCRBY % 1", "EXISTS %", "UNLINK %", "DEL %", "PEXPIRE % 1", "PEXPIREAT % 1", "PERSIST %", "PTTL %", "PEXPIRETIME %",
			"TYPE %", "DUMP %", "OBJECT ENCODING %", "MEMORY USAGE %", "COPY % own", "COPY own %", "RENAME % own", "SORT own GET %", "WATCH %", "MGET own %",
			"EVAL declared 1 %", "EVAL undeclared 0 %", "EVALSHA 0000000000000000000000000000000000000000 1 %", "EVAL_RO declared 1 %", "FCALL f 1 %", "MIGRATE host 1 % 0 1", "CLIENT TRACKING ON BCAST PREFIX %",
		} {
			words := strings.Fields(a)
			for i := range words {
				switch words[i] {
				case "%":
					words[i] = key
				case "own":
					words[i] = own
				case "declared":
					words[i] = "return redis.call('TYPE', KEYS[1])"
				case "undeclared":
					words[i] = "return redis.call('GET', ARGV[1])"
				}
			}
			attacks = append(attacks, words)
		}
	}
	for _, a := range []string{
		"KEYS *", "SCAN 0", "RANDOMKEY", "DBSIZE", "INFO", "MONITOR", "SUBSCRIBE x", "PSUBSCRIBE *", "SSUBSCRIBE x", "PUBLISH x y", "PUBSUB CHANNELS",
		"CONFIG GET *", "CONFIG SET requirepass x", "CLIENT LIST", "CLIENT KILL ID 1", "CLIENT NO-EVICT ON", "ACL LIST", "ACL WHOAMI", "ACL SETUSER x on", "ACL GETUSER default", "ACL LOG",
		"FLUSHALL", "FLUSHDB", "SCRIPT FLUSH", "SCRIPT LOAD x", "FUNCTION LIST", "FUNCTION LOAD x", "SHUTDOWN", "SLOWLOG GET", "LATENCY LATEST", "MODULE LIST", "COMMAND",
		"REPLICAOF host 1", "PSYNC ? -1", "SYNC", "SAVE", "BGSAVE", "SWAPDB 0 1", "MOVE x 1", "CLUSTER NODES", "CLUSTER RESET", "LASTSAVE", "MULTI",
	} {
		attacks = append(attacks, strings.Fields(a))
	}
	for _, global := range []string{"KEYS *", "SCAN 0", "RANDOMKEY", "INFO", "FLUSHALL", "PUBLISH x y", "DBSIZE"} {
		attacks = append(attacks, append([]string{"EVAL", "return redis.call(unpack(ARGV))", "0"}, strings.Fields(global)...))
	}
	send := attacker(t, r, user)
	for _, a := range attacks {
		if err := send(a...); err == nil || !denied(err) {
			t.Errorf("%s: got %v, want a refusal by the server", strings.Join(a, " "), err)
		}
	}
	if err := send("SET", own, "x"); err != nil {
		t.Errorf("the tenant's own key: %v", err)
	}
	// The driver under another tenant's name gets no further.
	mine := open(t, valkey.Options{URL: r.URL(user, password)})
	if err := everything(t.Context(), mine, neighbour); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("under the neighbour's name: got %v", err)
	}
	if h := mine.Health(); h.Reason != valkey.ReasonUnauthorized {
		t.Errorf("health: %+v", h)
	}
	if d := cmp.Diff(before, dump(t, theirs, neighbour)); d != "" {
		t.Errorf("the neighbour's data has changed (-was +is):\n%s", d)
	}
	t.Logf("%d attacks on %d keys were refused", len(attacks), len(keys))
}

func denied(err error) bool {
	for _, text := range []string{"NOPERM", "ACL failure", "The user executing the script"} {
		if strings.Contains(err.Error(), text) {
			return true
		}
	}
	return false
}

func TestALoginThatIsMadeLaterIsTakenUp(t *testing.T) {
	t.Parallel()
	r, id := servers.Redis(t, servers.RedisOptions{}), tenant(t, "owner/acme")
	s := open(t, valkey.Options{URL: r.URL(statestore.ACLUser(statestore.Tag(id.Identity())), password)})
	if h := s.Health(); h.OK || h.Reason != valkey.ReasonUnauthorized {
		t.Errorf("health without a login: %+v", h)
	}
	err := everything(t.Context(), s, id)
	if !errors.Is(err, storage.ErrUnavailable) || strings.Contains(err.Error(), password) {
		t.Errorf("got %v", err)
	}
	login(t, r, id)
	soon(t, "calls to work", time.Second, func() bool { return everything(t.Context(), s, id) == nil })
	if h := s.Health(); !h.OK {
		t.Errorf("health: %+v", h)
	}
}

// soon tries until it works, which must be within the given time.
func soon(t testing.TB, what string, within time.Duration, works func() bool) time.Duration {
	t.Helper()
	begin := time.Now()
	for !works() {
		if time.Since(begin) > within+2*time.Second {
			t.Fatalf("waited %v for %s", time.Since(begin), what)
		}
		time.Sleep(5 * time.Millisecond)
	}
	took := time.Since(begin)
	if took > within {
		t.Errorf("%s took %v, want at most %v", what, took, within)
	}
	return took
}
