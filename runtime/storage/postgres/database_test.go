package postgres_test

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/crispy-enigma/crispy-enigma/api/statestore"
	"github.com/crispy-enigma/crispy-enigma/hack/servers"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/postgres"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/storagetest"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

const loginPassword = "ce-login-c4nary-0123456789"

// patient is the timeout of tests that aren't about it: the machine may be busy.
const patient = 20 * time.Second

var verifier = sync.OnceValues(func() (string, error) { return statestore.PostgresVerifier(loginPassword) })

// rolesLock: roles belong to the whole server, and two who change one at once disturb each
// other.
var rolesLock sync.Mutex

// database is one that an operator's login has made ready for tenants.
type database struct {
	server   *servers.PostgresServer
	name     string
	adminURL string
	maxConns int
	mu       sync.Mutex
	logins   map[string]bool

	operating sync.Mutex
	operator  *pgx.Conn
}

func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatalf("connecting: %v", err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

func run(ctx context.Context, c *pgx.Conn, scripts ...string) error {
	for _, script := range scripts {
		if _, err := c.PgConn().Exec(ctx, script).ReadAll(); err != nil {
			return err
		}
	}
	return nil
}

// operate runs scripts as the operator does, over a connection that the database keeps.
func (d *database) operate(ctx context.Context, scripts ...string) error {
	d.operating.Lock()
	defer d.operating.Unlock()
	if d.operator == nil || d.operator.IsClosed() {
		c, err := pgx.Connect(ctx, d.adminURL)
		if err != nil {
			return err
		}
		d.operator = c
	}
	return run(ctx, d.operator, scripts...)
}

// share makes a database and its schema by the operator's login, which is no superuser.
func share(t testing.TB, server *servers.PostgresServer) *database {
	t.Helper()
	name, admin := server.Database(t)
	d := &database{server: server, name: name, adminURL: admin, maxConns: 4, logins: map[string]bool{}}
	rolesLock.Lock()
	defer rolesLock.Unlock()
	if err := d.operate(t.Context(), statestore.PostgresSchema(), statestore.PostgresShare()); err != nil {
		t.Fatalf("making the schema: %v", err)
	}
	return d
}

// login makes a tenant's roles by the statements that the operator runs, once, and is the
// URL of its login.
func (d *database) login(ctx context.Context, id tenancy.ID, slot string) (string, error) {
	tag := statestore.Tag(id.Identity())
	user, err := statestore.PostgresUser(tag, slot)
	if err != nil {
		return "", err
	}
	url := d.server.URL(user, loginPassword, d.name)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.logins[user] {
		return url, nil
	}
	v, err := verifier()
	if err != nil {
		return "", err
	}
	tenant, err := statestore.PostgresTenant(tag)
	if err != nil {
		return "", err
	}
	login, err := statestore.PostgresLogin(tag, slot, v, 100)
	if err != nil {
		return "", err
	}
	rolesLock.Lock()
	defer rolesLock.Unlock()
	if err := d.operate(ctx, tenant, login); err != nil {
		return "", fmt.Errorf("making login %s: %w", user, err)
	}
	d.logins[user] = true
	return url, nil
}

func allTables() string { return "enigma." + strings.Join(tables, ", enigma.") }

func newID(t testing.TB, identity string) tenancy.ID {
	t.Helper()
	id, err := tenancy.NewID("acme", identity)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// open is a tenant's own store.
func (d *database) open(t testing.TB, id tenancy.ID, change ...func(*postgres.Options)) *postgres.Store {
	t.Helper()
	url, err := d.login(t.Context(), id, "a")
	if err != nil {
		t.Fatal(err)
	}
	o := postgres.Options{URL: url, MaxConns: d.maxConns, Timeout: patient}
	for _, f := range change {
		f(&o)
	}
	return open(t, o)
}

func open(t testing.TB, o postgres.Options) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), o)
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

// perTenant is all tenants' stores as one.
func (d *database) perTenant(t testing.TB, change ...func(*postgres.Options)) storage.Store {
	t.Helper()
	s := storagetest.PerTenant(func(id tenancy.ID) (storage.Store, error) {
		url, err := d.login(t.Context(), id, "a")
		if err != nil {
			return nil, err
		}
		o := postgres.Options{URL: url, MaxConns: d.maxConns, Timeout: patient}
		for _, f := range change {
			f(&o)
		}
		return postgres.Open(t.Context(), o)
	})
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// TestMain draws fewer random cases than other drivers do, since here each tenant of each
// is a login to be made; -rapid.checks draws as many as are wanted.
func TestMain(m *testing.M) {
	flag.Parse()
	asked := false
	flag.Visit(func(f *flag.Flag) { asked = asked || f.Name == "rapid.checks" })
	if !asked {
		if err := flag.Set("rapid.checks", "30"); err != nil {
			panic(err)
		}
	}
	m.Run()
}

// TestKeepsThePromises gives each check an empty database, one that a check before it has
// done with if there is one.
func TestKeepsThePromises(t *testing.T) {
	e := newEmpties(t)
	storagetest.Run(t, func(t *testing.T) storage.Store { return e.database(t).perTenant(t) })
}
