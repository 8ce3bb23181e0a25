package statestore_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/valkey-io/valkey-go"

	tags "github.com/crispy-enigma/crispy-enigma/api/statestore"
	"github.com/crispy-enigma/crispy-enigma/controllers/statestore"
	"github.com/crispy-enigma/crispy-enigma/hack/servers"
)

var (
	acme  = tags.Tag("c1/shop/production/acme")
	other = tags.Tag("c1/shop/production/other")
)

const (
	oldPassword = "c4nary-old-0123456789abcdef0123456789"
	newPassword = "c4nary-new-0123456789abcdef0123456789"
)

// open gives the server of a URL, and what becomes the pods' URL.
func open(t *testing.T, kind, url string, ca []byte, own bool) (statestore.Server, *statestore.Address) {
	t.Helper()
	a, err := statestore.Parse(kind, url, ca)
	if err != nil {
		t.Fatal(err)
	}
	pool := &statestore.Pool{}
	t.Cleanup(pool.Close)
	s, err := pool.Open(a, own)
	if err != nil {
		t.Fatal(err)
	}
	return s, a
}

func admit(t *testing.T, s statestore.Server, tag string, l statestore.Login) {
	t.Helper()
	l.Connections = 5
	if l.Slot == "" {
		l.Slot = "a"
	}
	if err := s.Admit(t.Context(), tag, l); err != nil {
		t.Fatalf("admitting: %v", err)
	}
}

// as runs a command with a tenant's own login.
func as(ctx context.Context, r *servers.RedisServer, tag, password string, command ...string) error {
	_, err := r.TryDo(ctx, tags.ACLUser(tag), password, command...)
	if valkey.IsValkeyNil(err) {
		return nil
	}
	return err
}

// wantIn checks which of the passwords let the tenant in on every node.
func wantIn(t *testing.T, nodes []*servers.RedisServer, passwords map[string]bool) {
	t.Helper()
	for i, n := range nodes {
		for password, want := range passwords {
			if err := as(t.Context(), n, acme, password, "PING"); (err == nil) != want {
				t.Errorf("node %d: let in %t, want %t: %v", i, err == nil, want, err)
			}
		}
	}
}

func topologies(t *testing.T) map[string]func(t *testing.T) (url string, ca []byte, nodes []*servers.RedisServer) {
	return map[string]func(t *testing.T) (string, []byte, []*servers.RedisServer){
		"one server": func(t *testing.T) (string, []byte, []*servers.RedisServer) {
			r := servers.Redis(t, servers.RedisOptions{})
			return r.URL("default", servers.RedisAdmin), nil, []*servers.RedisServer{r}
		},
		"TLS": func(t *testing.T) (string, []byte, []*servers.RedisServer) {
			r := servers.Redis(t, servers.RedisOptions{TLS: true})
			return r.URL("default", servers.RedisAdmin), r.CA, []*servers.RedisServer{r}
		},
		"a cluster": func(t *testing.T) (string, []byte, []*servers.RedisServer) {
			nodes := servers.RedisCluster(t)
			return nodes[1].URL("default", servers.RedisAdmin), nil, nodes
		},
		"a sentinel": func(t *testing.T) (string, []byte, []*servers.RedisServer) {
			s := servers.Sentinel(t)
			return fmt.Sprintf("redis://default:%s@%s?master_set=%s", servers.RedisAdmin, s.Addr, s.MasterSet), nil, []*servers.RedisServer{s.Master, s.Replica}
		},
		"a replica's address": func(t *testing.T) (string, []byte, []*servers.RedisServer) {
			s := servers.Sentinel(t)
			return s.Replica.URL("default", servers.RedisAdmin), nil, []*servers.RedisServer{s.Master, s.Replica}
		},
	}
}

// A login is on every node, its password changes without a gap, and it goes.
func TestALoginsLifeOnEveryTopology(t *testing.T) {
	t.Parallel()
	for name, start := range topologies(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, ca, nodes := start(t)
			s, _ := open(t, statestore.Valkey, url, ca, false)
			admit(t, s, acme, statestore.Login{Password: oldPassword, Renew: true})
			wantIn(t, nodes, map[string]bool{oldPassword: true, newPassword: false})
			admit(t, s, acme, statestore.Login{Password: newPassword, Previous: statestore.DigestOf(oldPassword), Renew: true})
			wantIn(t, nodes, map[string]bool{oldPassword: true, newPassword: true})
			admit(t, s, acme, statestore.Login{Password: newPassword})
			wantIn(t, nodes, map[string]bool{oldPassword: false, newPassword: true})
			if err := s.Expel(t.Context(), acme); err != nil {
				t.Fatal(err)
			}
			wantIn(t, nodes, map[string]bool{oldPassword: false, newPassword: false})
			if err := s.Expel(t.Context(), acme); err != nil {
				t.Errorf("expelled once more: %v", err)
			}
		})
	}
}

// A tenant's own login reaches nothing of a neighbour's.
func TestALoginReachesItsOwnKeysAlone(t *testing.T) {
	t.Parallel()
	r := servers.Redis(t, servers.RedisOptions{})
	s, _ := open(t, statestore.Valkey, r.URL("default", servers.RedisAdmin), nil, false)
	admit(t, s, acme, statestore.Login{Password: oldPassword, Renew: true})
	mine, theirs := tags.KeyPrefix(acme)+"k", tags.KeyPrefix(other)+"k"
	r.Do(t, "SET", theirs, "c4nary")
	if err := as(t.Context(), r, acme, oldPassword, "SET", mine, "1"); err != nil {
		t.Fatalf("its own key: %v", err)
	}
	for _, command := range [][]string{
		{"GET", theirs}, {"SET", theirs, "x"}, {"UNLINK", theirs}, {"STRLEN", theirs}, {"EVAL", "return redis.call('get', KEYS[1])", "1", theirs},
		{"EVAL", "return redis.call('get', '" + theirs + "')", "1", mine},
		{"SCAN", "0"}, {"KEYS", "*"}, {"MONITOR"}, {"ACL", "LIST"}, {"ACL", "SETUSER", tags.ACLUser(acme), "allkeys"},
		{"CONFIG", "GET", "*"}, {"CLIENT", "LIST"}, {"PUBLISH", "c", "x"}, {"FLUSHALL"},
	} {
		err := as(t.Context(), r, acme, oldPassword, command...)
		if err == nil || !strings.Contains(err.Error(), "NOPERM") && !strings.Contains(err.Error(), "permission") && !strings.Contains(err.Error(), "can't access") {
			t.Errorf("%v: %v, want it refused", command, err)
		}
	}
}

// Nodes forget logins when they start, and people widen them: both are put right.
func TestALoginThatIsNotAsItShouldBeIsPutRight(t *testing.T) {
	t.Parallel()
	r := servers.Redis(t, servers.RedisOptions{})
	s, _ := open(t, statestore.Valkey, r.URL("default", servers.RedisAdmin), nil, false)
	login := statestore.Login{Password: oldPassword, Renew: true}
	admit(t, s, acme, login)
	r.Stop()
	if err := s.Admit(t.Context(), acme, login); err == nil {
		t.Error("a server that is away admits nobody")
	} else if answer := new(statestore.Error); !errors.As(err, &answer) || !answer.Away {
		t.Errorf("away: %v", err)
	}
	r.Start(t)
	wantIn(t, []*servers.RedisServer{r}, map[string]bool{oldPassword: false})
	// Without Renew: that it was away is enough to look again.
	admit(t, s, acme, statestore.Login{Password: oldPassword})
	wantIn(t, []*servers.RedisServer{r}, map[string]bool{oldPassword: true})
	for name, widen := range map[string][]string{
		"keys": {"allkeys"}, "commands": {"+@all"}, "channels": {"allchannels"}, "password": {">c4nary-of-somebody"}, "nopass": {"nopass"},
		"selector": {"(+get ~*)"}, "off": {"off"}, "fewer commands": {"-get"},
	} {
		r.Do(t, append([]string{"ACL", "SETUSER", tags.ACLUser(acme)}, widen...)...)
		wide := r.Do(t, "ACL", "GETUSER", tags.ACLUser(acme))
		admit(t, s, acme, login)
		right := r.Do(t, "ACL", "GETUSER", tags.ACLUser(acme))
		if wide.String() == right.String() {
			t.Errorf("%s: nothing was put right: %s", name, right.String())
		}
		if err := as(t.Context(), r, acme, oldPassword, "GET", tags.KeyPrefix(acme)+"k"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := as(t.Context(), r, acme, oldPassword, "GET", "foreign"); err == nil {
			t.Errorf("%s: a foreign key can be read", name)
		}
	}
}

// A login that is as it should be is looked at, and not written.
func TestALoginAtRestIsNotWritten(t *testing.T) {
	t.Parallel()
	r := servers.Redis(t, servers.RedisOptions{})
	s, _ := open(t, statestore.Valkey, r.URL("default", servers.RedisAdmin), nil, false)
	for range 3 {
		admit(t, s, acme, statestore.Login{Password: oldPassword, Renew: true})
	}
	stats := r.Do(t, "INFO", "commandstats")
	text, err := stats.ToString()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"cmdstat_acl|setuser:calls=1,", "cmdstat_acl|getuser:calls=3,"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// All that a tenant keeps goes, on whichever node of a cluster, and nothing of a neighbour's.
func TestErasureTakesOneTenantsKeys(t *testing.T) {
	t.Parallel()
	nodes := servers.RedisCluster(t)
	s, _ := open(t, statestore.Valkey, nodes[0].URL("default", servers.RedisAdmin), nil, false)
	const keys = 12_000
	count := func(tag string) (n int64) {
		for _, node := range nodes {
			m := node.Do(t, "EVAL", "local n = 0; for _, k in ipairs(redis.call('keys', '*')) do if string.sub(k, 1, #ARGV[1]) == ARGV[1] then n = n + 1 end end return n", "0", tags.KeyPrefix(tag))
			got, err := m.AsInt64()
			if err != nil {
				t.Fatal(err)
			}
			n += got
		}
		return n
	}
	fill := "for i = 1, tonumber(ARGV[1]) do redis.call('set', KEYS[1] .. i, 'x') end"
	for _, tag := range []string{acme, other} {
		for _, node := range nodes { // the one that has the slot takes it
			_, _ = node.TryDo(t.Context(), "default", servers.RedisAdmin, "EVAL", fill, "1", tags.KeyPrefix(tag), fmt.Sprint(keys))
		}
	}
	if n := count(acme); n != keys {
		t.Fatalf("%d keys to erase, want %d", n, keys)
	}
	for more := true; more; {
		var err error
		if more, err = s.Erase(t.Context(), acme); err != nil {
			t.Fatal(err)
		}
	}
	if n := count(acme); n != 0 {
		t.Errorf("%d keys are left", n)
	}
	if n := count(other); n != keys {
		t.Errorf("the neighbour has %d of %d keys", n, keys)
	}
	if more, err := s.Erase(t.Context(), acme); more || err != nil {
		t.Errorf("erased once more: %t, %v", more, err)
	}
}

// What goes wrong is told in words that hold no secret.
func TestErrorsHoldNoSecret(t *testing.T) {
	t.Parallel()
	r := servers.Redis(t, servers.RedisOptions{})
	r.Do(t, "ACL", "SETUSER", "weak", "on", ">c4nary-weak", "+info", "~*")
	free, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := free.Addr().String()
	_ = free.Close()
	for url, want := range map[string]string{
		r.URL("default", "c4nary-wrong"):                     "doesn't take the login",
		r.URL("weak", "c4nary-weak"):                         "may not run",
		"redis://default:c4nary@" + closed:                   "doesn't answer",
		"redis://default:c4nary@" + closed + "?master_set=m": "doesn't answer",
	} {
		s, _ := open(t, statestore.Valkey, url, nil, false)
		err := s.Admit(t.Context(), acme, statestore.Login{Slot: "a", Password: newPassword, Connections: 1, Renew: true})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "c4nary") || strings.Contains(err.Error(), statestore.DigestOf(newPassword)) {
			t.Errorf("%q, want something with %q", err, want)
		}
	}
}

// The many tenants of a server that is away don't each wait for it.
func TestAServerThatIsAwayIsLeftAloneForAWhile(t *testing.T) {
	t.Parallel()
	r := servers.Redis(t, servers.RedisOptions{})
	a, err := statestore.Parse(statestore.Valkey, r.URL("default", servers.RedisAdmin), nil)
	if err != nil {
		t.Fatal(err)
	}
	pool := &statestore.Pool{Rest: time.Hour}
	t.Cleanup(pool.Close)
	login := statestore.Login{Slot: "a", Password: oldPassword, Connections: 1, Renew: true}
	try := func(tag string) error {
		s, err := pool.Open(a, false)
		if err != nil {
			t.Fatal(err)
		}
		return s.Admit(t.Context(), tag, login)
	}
	r.Stop()
	first := try(acme)
	r.Start(t)
	if second := try(other); first == nil || !errors.Is(second, first) {
		t.Errorf("after %v it was asked again: %v", first, second)
	}
	patient := &statestore.Pool{}
	t.Cleanup(patient.Close)
	pool = patient
	if err := try(other); err != nil {
		t.Errorf("it is back: %v", err)
	}
}
