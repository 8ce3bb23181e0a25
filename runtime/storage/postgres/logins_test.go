package postgres_test

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/crispy-enigma/crispy-enigma/api/statestore"
	"github.com/crispy-enigma/crispy-enigma/hack/servers"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/postgres"
)

// statement is a function of statestore that can't fail here.
func statement(t testing.TB) func(sql string, err error) string {
	return func(sql string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return sql
	}
}

// TestADatabaseOfOnesOwn: the login owns the database and nobody prepared it. Row security
// binds it all the same, and another tenant is refused.
func TestADatabaseOfOnesOwn(t *testing.T) {
	t.Parallel()
	server := servers.Postgres(t)
	name, admin := server.Database(t)
	id := newID(t, name)
	// Two replicas come up at once.
	stores := []*postgres.Store{open(t, postgres.Options{Timeout: patient, URL: admin}), open(t, postgres.Options{Timeout: patient, URL: admin})}
	var done sync.WaitGroup
	for i, s := range stores {
		done.Go(func() {
			m := []storage.Message{{Role: storage.RoleUser, Content: "hello"}}
			if err := s.Sessions().Append(t.Context(), id, owner, fmt.Sprint("s", i), m, storage.Keep{}); err != nil {
				t.Errorf("replica %d: %v", i, err)
			}
		})
	}
	done.Wait()
	furnish(t, stores[0], id, 3)

	other := open(t, postgres.Options{Timeout: patient, URL: admin})
	if _, err := other.Sessions().History(t.Context(), newID(t, "other"), owner, "s0", storage.Page{Limit: 9}); !errors.Is(err, postgres.ErrOtherTenant) {
		t.Errorf("another tenant: got %v, want ErrOtherTenant", err)
	}
	super := connect(t, server.Super(name))
	if _, err := super.Exec(t.Context(), "INSERT INTO enigma.budgets VALUES ($1, 'x', 1, 0, 0)", statestore.Tag("other")); err != nil {
		t.Fatal(err)
	}
	c := connect(t, admin)
	if n := count(t, c, "SELECT count(*) FROM enigma.budgets WHERE tenant = $1", statestore.Tag("other")); n != 0 {
		t.Errorf("the owner sees %d rows that aren't its tenant's", n)
	}
	if n := count(t, c, "SELECT count(*) FROM enigma.sessions"); n != 3 {
		t.Errorf("the owner sees %d of its tenant's 3 sessions", n)
	}
}

// TestTheSchemaIsMadeOnce: running all statements again, also at once, changes nothing and
// loses nothing.
func TestTheSchemaIsMadeOnce(t *testing.T) {
	t.Parallel()
	server := servers.Postgres(t)
	d := share(t, server)
	id := newID(t, d.name)
	furnish(t, d.open(t, id), id, 2)
	var done sync.WaitGroup
	for range 4 {
		done.Go(func() {
			c, err := pgx.Connect(t.Context(), d.adminURL)
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = c.Close(context.Background()) }()
			if err := run(t.Context(), c, statestore.PostgresSchema()); err != nil {
				t.Errorf("the schema again: %v", err)
			}
		})
	}
	done.Wait()
	if err := d.operate(t.Context(), statestore.PostgresShare()); err != nil {
		t.Errorf("sharing again: %v", err)
	}
	super := connect(t, server.Super(d.name))
	if n := count(t, super, "SELECT count(*) FROM enigma.sessions"); n != 2 {
		t.Errorf("%d sessions are left of 2", n)
	}
	if n := count(t, super, "SELECT version FROM enigma.schema"); n != statestore.PostgresVersion {
		t.Errorf("version %d", n)
	}
	if n := count(t, super, `SELECT count(*) FROM pg_class c WHERE relnamespace = 'enigma'::regnamespace AND relkind = 'r' AND relname <> 'schema'
		AND NOT (relrowsecurity AND relforcerowsecurity AND EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid))`); n != 0 {
		t.Errorf("%d tables without row security", n)
	}
}

// TestAPasswordChangesWithoutAGap: calls go on while the login changes from one slot to the
// other and the first is closed.
func TestAPasswordChangesWithoutAGap(t *testing.T) {
	t.Parallel()
	d := share(t, servers.Postgres(t))
	id := newID(t, d.name)
	tag := statestore.Tag(id.Identity())
	first, err := d.login(t.Context(), id, "a")
	if err != nil {
		t.Fatal(err)
	}
	var current atomic.Pointer[string]
	current.Store(&first)
	s := open(t, postgres.Options{Timeout: patient, URL: first, Current: func() (string, error) { return *current.Load(), nil }})
	furnish(t, s, id, 1)

	second, err := d.login(t.Context(), id, "b")
	if err != nil {
		t.Fatal(err)
	}
	current.Store(&second)
	if err := d.operate(t.Context(), statement(t)(statestore.PostgresCloseLogin(tag, "a"))); err != nil {
		t.Fatalf("closing the first login: %v", err)
	}
	for i := range 20 {
		// A read is tried again over a new connection.
		got, err := s.Sessions().History(t.Context(), id, owner, "s0", storage.Page{Limit: 9})
		if err != nil || len(got) != 1 {
			t.Fatalf("read %d after the change: %v, %v", i, got, err)
		}
	}
	if _, err := pgx.Connect(t.Context(), first); err == nil {
		t.Error("the closed login still logs in")
	}
}

// TestALoginOfAnotherTenantIsNotTakenUp, whatever the mounted URL says.
func TestALoginOfAnotherTenantIsNotTakenUp(t *testing.T) {
	t.Parallel()
	d := share(t, servers.Postgres(t))
	a, b := newID(t, d.name+"/a"), newID(t, d.name+"/b")
	mine, err := d.login(t.Context(), a, "a")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := d.login(t.Context(), b, "a")
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, postgres.Options{Timeout: patient, URL: mine, Current: func() (string, error) { return theirs, nil }})
	if _, err := s.Sessions().History(t.Context(), a, owner, "s", storage.Page{Limit: 1}); !errors.Is(err, postgres.ErrOtherTenant) {
		t.Errorf("got %v, want ErrOtherTenant", err)
	}
}

// TestATenantIsErasedAndDropped with the operator's login, which sees no tenant's row, and
// with the tenant's own rights.
func TestATenantIsErasedAndDropped(t *testing.T) {
	t.Parallel()
	d := share(t, servers.Postgres(t))
	a, b := newID(t, d.name+"/a"), newID(t, d.name+"/b")
	d.furnish(t, a, 1500)
	d.furnish(t, b, 2)
	admin := connect(t, d.adminURL)
	for _, table := range tables {
		if n := count(t, admin, "SELECT count(*) FROM enigma."+table); n != 0 {
			t.Errorf("the operator's login sees %d rows of %s", n, table)
		}
	}
	tag := statestore.Tag(a.Identity())
	total, rounds := 0, 0
	for more := true; more && rounds < 10; rounds++ {
		results, err := admin.PgConn().Exec(t.Context(), statement(t)(statestore.PostgresErase(tag))).ReadAll()
		if err != nil {
			t.Fatalf("erasing: %v", err)
		}
		row := results[len(results)-1].Rows[0]
		var n int
		if _, err := fmt.Sscan(string(row[0]), &n); err != nil {
			t.Fatal(err)
		}
		total, more = total+n, string(row[1]) == "t"
	}
	if total != 1500 || rounds < 2 {
		t.Errorf("erased %d sessions in %d rounds, want 1500 in more than one", total, rounds)
	}
	if n := count(t, admin, "SELECT count(*) FROM pg_roles WHERE rolname = current_user"); n != 1 {
		t.Error("the operator's login stayed in the tenant's role")
	}
	if err := d.operate(t.Context(), statement(t)(statestore.PostgresDrop(tag)), statement(t)(statestore.PostgresDrop(tag))); err != nil {
		t.Fatalf("dropping: %v", err)
	}
	super := connect(t, d.server.Super(d.name))
	for _, table := range tables {
		if n := count(t, super, "SELECT count(*) FROM enigma."+table+" WHERE tenant = $1", tag); n != 0 {
			t.Errorf("%d rows of %s are left", n, table)
		}
		if n := count(t, super, "SELECT count(*) FROM enigma."+table); n == 0 {
			t.Errorf("the neighbour's rows of %s are gone", table)
		}
	}
	if n := count(t, super, "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'ce\\_"+tag+"%'"); n != 0 {
		t.Errorf("%d roles are left", n)
	}
}

// TestWhatALoginLeavesKeepsNoRole: a tenant whose pod was taken over can't hold up its own
// removal.
func TestWhatALoginLeavesKeepsNoRole(t *testing.T) {
	t.Parallel()
	d := share(t, servers.Postgres(t))
	id := newID(t, d.name+"/a")
	tag := statestore.Tag(id.Identity())
	login, err := d.login(t.Context(), id, "a")
	if err != nil {
		t.Fatal(err)
	}
	err = run(t.Context(), connect(t, login),
		"SELECT lo_from_bytea(0, 'kept')", "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
		"SET ROLE ce_"+tag, "SELECT lo_from_bytea(0, 'kept')")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.operate(t.Context(), statement(t)(statestore.PostgresDrop(tag))); err != nil {
		t.Fatalf("dropping: %v", err)
	}
	super := connect(t, d.server.Super(d.name))
	if n := count(t, super, "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'ce\\_"+tag+"%'"); n != 0 {
		t.Errorf("%d roles are left", n)
	}
	if n := count(t, super, "SELECT count(*) FROM pg_largeobject_metadata"); n != 0 {
		t.Errorf("%d large objects are left", n)
	}
}

// TestAURLIsNotQuoted: what can't be used is refused without its password.
func TestAURLIsNotQuoted(t *testing.T) {
	t.Parallel()
	for _, bad := range []postgres.Options{
		{URL: "postgres://u:ce_c4nary@host:notaport/db"}, {URL: "://ce_c4nary"}, {URL: "postgres://u:ce_c4nary@h/db?sslmode=wrong"},
		{URL: "postgres://u:ce_c4nary@127.0.0.1:1/db", CA: []byte("no certificate")},
	} {
		_, err := postgres.Open(t.Context(), bad)
		if !errors.Is(err, postgres.ErrOptions) || strings.Contains(err.Error(), "c4nary") {
			t.Errorf("got an error that isn't ErrOptions or that quotes: %t", errors.Is(err, postgres.ErrOptions))
		}
	}
}

// TestTheServersNameIsVerified: with a CA nothing goes to a server that can't prove its
// name, whatever the URL says.
func TestTheServersNameIsVerified(t *testing.T) {
	t.Parallel()
	server, ca := servers.TLSPostgres(t)
	name, admin := server.Database(t)
	id := newID(t, name)
	plain, err := url.Parse(admin)
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []string{"disable", "prefer", "require"} {
		plain.RawQuery = "sslmode=" + mode
		s := open(t, postgres.Options{Timeout: patient, URL: plain.String(), CA: ca})
		furnish(t, s, id, 1)
		wrong := open(t, postgres.Options{Timeout: patient, URL: plain.String(), CA: otherCA(t)})
		if _, err := wrong.Sessions().History(t.Context(), id, owner, "s0", storage.Page{Limit: 1}); !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("%s, signed by another: got %v, want ErrUnavailable", mode, err)
		}
	}
	super := connect(t, server.Super(name))
	if n := count(t, super, "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = $1 AND NOT ssl", name); n != 0 {
		t.Errorf("%d connections aren't encrypted", n)
	}
}

// otherCA is a certificate that signed nothing here.
func otherCA(t *testing.T) []byte {
	t.Helper()
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}
