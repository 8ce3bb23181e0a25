package postgres_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/crispy-enigma/crispy-enigma/hack/servers"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/postgres"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/storagetest"
)

// empties gives out databases that are empty, used ones again.
type empties struct {
	server *servers.PostgresServer
	free   chan *database
}

func newEmpties(t *testing.T) *empties {
	return &empties{servers.Postgres(t), make(chan *database, 64)}
}

func (e *empties) database(t *testing.T) *database {
	var d *database
	select {
	case d = <-e.free:
	default:
		d = share(t, e.server)
	}
	t.Cleanup(func() {
		super, err := pgx.Connect(context.Background(), e.server.Super(d.name))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = super.Close(context.Background()) }()
		if err := run(context.Background(), super, "TRUNCATE "+allTables()); err != nil {
			t.Fatal(err)
		}
		e.free <- d
	})
	return d
}

func TestDocuments(t *testing.T) {
	t.Parallel()
	e := newEmpties(t)
	storagetest.RunDocuments(t, func(t *testing.T) storagetest.DocumentBed {
		var passed atomic.Int64
		d := e.database(t)
		s := d.perTenant(t, func(o *postgres.Options) {
			o.Now = func() time.Time { return time.Now().Add(time.Duration(passed.Load())) }
		})
		return storagetest.DocumentBed{Store: s, Pass: func(d time.Duration) { passed.Add(int64(d)) }}
	})
}

func TestJobs(t *testing.T) {
	t.Parallel()
	e := newEmpties(t)
	storagetest.RunJobs(t, func(t *testing.T) storage.Store { return e.database(t).perTenant(t) })
}
