package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/crispy-enigma/crispy-enigma/api/statestore"
	"github.com/crispy-enigma/crispy-enigma/hack/servers"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/postgres"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// postgres notes what the PostgreSQL driver does on a server that waits for its disk.
func (b *bench) postgres(ctx context.Context, tb testing.TB, id tenancy.ID) error {
	const turn = 10_000
	server := servers.OwnPostgres(tb, "fsync = on", "full_page_writes = on", "shared_buffers = 256MB", "max_wal_size = 4GB")
	url, err := postgresLogin(ctx, tb, server)
	if err != nil {
		return err
	}
	store, err := postgres.Open(ctx, postgres.Options{URL: url, MaxConns: 16})
	if err != nil {
		return err
	}
	defer func() { _ = store.Close(ctx) }()
	now := time.Now()
	var granted atomic.Int64
	for _, c := range []struct {
		what string
		call func(int) error
	}{
		{"decisions by one window", takes(ctx, store, id, "a", turn/20, &granted, longWindow)},
		{"decisions by two windows", takes(ctx, store, id, "b", turn/5, &granted, longWindow, burstWindow)},
		{"appends of 2 messages", func(i int) error {
			owner, session := sessionOf(i / 10)
			return store.Sessions().Append(ctx, id, owner, session, chatted(2, now), storage.Keep{MaxMessages: 50, Retention: time.Hour})
		}},
	} {
		// The first turn prepares statements and warms the server up.
		if _, err := many(conns, turn/10, c.call); err != nil {
			return fmt.Errorf("PostgreSQL, %s: %w", c.what, err)
		}
		rate, err := many(conns, turn, c.call)
		if err != nil {
			return fmt.Errorf("PostgreSQL, %s: %w", c.what, err)
		}
		b.Note("PostgreSQL (fsync on), %s: %.0f/s (%d at once)", c.what, rate, conns)
	}
	return nil
}

// postgresLogin makes the schema, the tenant's role and one login, as the operator would.
func postgresLogin(ctx context.Context, tb testing.TB, server *servers.PostgresServer) (url string, err error) {
	database, adminURL := server.Database(tb)
	admin, err := pgx.Connect(ctx, adminURL)
	if err != nil {
		return "", err
	}
	defer func() { _ = admin.Close(ctx) }()
	tag := statestore.Tag(benchIdentity)
	user, err1 := statestore.PostgresUser(tag, "a")
	verifier, err2 := statestore.PostgresVerifier(stateKey)
	role, err3 := statestore.PostgresTenant(tag)
	if err := errors.Join(err1, err2, err3); err != nil {
		return "", err
	}
	login, err := statestore.PostgresLogin(tag, "a", verifier, 32)
	if err != nil {
		return "", err
	}
	for _, statements := range []string{statestore.PostgresSchema(), statestore.PostgresShare(), role, login} {
		if _, err := admin.PgConn().Exec(ctx, statements).ReadAll(); err != nil {
			return "", fmt.Errorf("making the tenant's login: %w", err)
		}
	}
	return server.URL(user, stateKey, database), nil
}
