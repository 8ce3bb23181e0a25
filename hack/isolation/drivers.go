package main

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/crispy-enigma/crispy-enigma/api/statestore"
	"github.com/crispy-enigma/crispy-enigma/hack/servers"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/embedded"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/memory"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/postgres"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/storagetest"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/valkey"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// driver starts what a driver needs, and ends it when t ends.
type driver struct {
	name  string
	start func(t testing.TB) storagetest.Isolation
}

var drivers = []driver{
	{"memory", func(testing.TB) storagetest.Isolation {
		return shared(memory.New(memory.Options{MaxBytes: 1 << 30}))
	}},
	{"embedded", func(t testing.TB) storagetest.Isolation {
		s, err := embedded.Open(t.Context(), t.TempDir(), embedded.Options{})
		if err != nil {
			t.Fatal(err)
		}
		closeAfter(t, s)
		return shared(s)
	}},
	{"valkey", startValkey},
	{"postgres", startPostgres},
}

// replicas is how many processes serve a tenant of a driver that several may share.
const replicas = 2

// forTheRun is every login's password, in servers that nobody else reaches.
const forTheRun = "ce_c4nary_isolation"

// startValkey starts a server on which each tenant has the login that the operator makes.
func startValkey(t testing.TB) storagetest.Isolation {
	server := servers.Redis(t, servers.RedisOptions{})
	return storagetest.Isolation{Enforced: true, Open: func(ctx context.Context, id tenancy.ID) ([]storage.Store, error) {
		tag := statestore.Tag(id.Identity())
		server.SetUser(t, statestore.ACLUser(tag), forTheRun, statestore.ACLRules(tag))
		return several(t, func() (storage.Store, error) {
			return valkey.Open(ctx, valkey.Options{URL: server.URL(statestore.ACLUser(tag), forTheRun)})
		})
	}}
}

// startPostgres starts a server on which each tenant has the role and the login that the
// operator makes, and row-level security holds.
func startPostgres(t testing.TB) storagetest.Isolation {
	server := servers.Postgres(t)
	database, adminURL := server.Database(t)
	admin, err := pgx.Connect(t.Context(), adminURL)
	if err != nil {
		t.Fatalf("connecting as the operator: %v", err)
	}
	t.Cleanup(func() { _ = admin.Close(context.Background()) })
	do := func(ctx context.Context, statements string) error {
		_, err := admin.PgConn().Exec(ctx, statements).ReadAll()
		return err
	}
	if err := do(t.Context(), statestore.PostgresSchema()+";"+statestore.PostgresShare()); err != nil {
		t.Fatalf("making the schema: %v", err)
	}
	return storagetest.Isolation{Enforced: true, Open: func(ctx context.Context, id tenancy.ID) ([]storage.Store, error) {
		tag := statestore.Tag(id.Identity())
		statements, err := tenantOf(tag)
		if err != nil {
			return nil, err
		}
		if err := do(ctx, statements); err != nil {
			return nil, fmt.Errorf("making the tenant's login: %w", err)
		}
		user, err := statestore.PostgresUser(tag, "a")
		if err != nil {
			return nil, err
		}
		return several(t, func() (storage.Store, error) {
			// A busy machine is no failure of the store.
			return postgres.Open(ctx, postgres.Options{URL: server.URL(user, forTheRun, database), MaxConns: 2, Timeout: 20 * time.Second})
		})
	}}
}

// tenantOf makes a tenant's role and one of its logins.
func tenantOf(tag string) (statements string, err error) {
	role, err := statestore.PostgresTenant(tag)
	if err != nil {
		return "", err
	}
	verifier, err := statestore.PostgresVerifier(forTheRun)
	if err != nil {
		return "", err
	}
	login, err := statestore.PostgresLogin(tag, "a", verifier, 4*replicas)
	return role + ";" + login, err
}

// several opens a tenant's replicas.
func several(t testing.TB, open func() (storage.Store, error)) ([]storage.Store, error) {
	stores := make([]storage.Store, replicas)
	for i := range stores {
		s, err := open()
		if err != nil {
			return nil, err
		}
		closeAfter(t, s)
		stores[i] = s
	}
	return stores, nil
}

// shared is one store that serves all tenants.
func shared(s storage.Store) storagetest.Isolation {
	return storagetest.Isolation{Open: func(context.Context, tenancy.ID) ([]storage.Store, error) {
		return []storage.Store{s}, nil
	}}
}

func closeAfter(t testing.TB, s storage.Store) {
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Errorf("closing the store: %v", err)
		}
	})
}
