package valkey_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/crispy-enigma/crispy-enigma/api/statestore"
	"github.com/crispy-enigma/crispy-enigma/hack/servers"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/storagetest"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/valkey"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

const password = "ce_c4nary_tenant_password"

func open(t testing.TB, o valkey.Options) *valkey.Store {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s, err := valkey.Open(context.Background(), o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func tenant(t testing.TB, identity string) tenancy.ID {
	t.Helper()
	id, err := tenancy.NewID("acme", identity)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// allTenants makes a login that may do what a tenant's may, for every tenant: the suite
// has many in one store.
func allTenants(t testing.TB, nodes ...*servers.RedisServer) (user string) {
	t.Helper()
	rules := statestore.ACLRules("*")
	for _, n := range nodes {
		n.SetUser(t, "suite", password, rules)
	}
	return "suite"
}

// ownDatabases gives each check a database of its own.
func ownDatabases(o valkey.Options) func(t *testing.T) storage.Store {
	var used atomic.Int64
	return func(t *testing.T) storage.Store {
		t.Helper()
		u, err := url.Parse(o.URL)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		q.Set("db", strconv.FormatInt(used.Add(1), 10))
		u.RawQuery = q.Encode()
		return open(t, valkey.Options{URL: u.String(), CA: o.CA})
	}
}

var manyDatabases = []string{"--databases", "300"}

func TestKeepsThePromisesOnOneServer(t *testing.T) {
	t.Parallel()
	r := servers.Redis(t, servers.RedisOptions{Args: manyDatabases})
	storagetest.Run(t, ownDatabases(valkey.Options{URL: r.URL(allTenants(t, r), password)}))
}

func TestKeepsThePromisesOverTLS(t *testing.T) {
	t.Parallel()
	r := servers.Redis(t, servers.RedisOptions{TLS: true, Args: manyDatabases})
	storagetest.Run(t, ownDatabases(valkey.Options{URL: r.URL(allTenants(t, r), password), CA: r.CA}))
}

func TestKeepsThePromisesBehindASentinel(t *testing.T) {
	t.Parallel()
	s := servers.Sentinel(t, manyDatabases...)
	user := allTenants(t, s.Master, s.Replica)
	storagetest.Run(t, ownDatabases(valkey.Options{URL: sentinelURL(s, user)}))
}

func sentinelURL(s *servers.RedisSentinel, user string) string {
	return fmt.Sprintf("redis://%s:%s@%s?master_set=%s", user, password, s.Addr, s.MasterSet)
}

// A cluster has no databases: the checks come one after the other.
func TestKeepsThePromisesOnACluster(t *testing.T) {
	t.Parallel()
	nodes := servers.RedisCluster(t)
	user := allTenants(t, nodes...)
	for _, c := range storagetest.Checks() {
		t.Run(c.Name, func(t *testing.T) {
			for _, n := range nodes {
				n.Do(t, "FLUSHALL")
			}
			c.Run(t, open(t, valkey.Options{URL: nodes[0].URL(user, password)}))
		})
	}
}
