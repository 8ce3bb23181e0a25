package statestore_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	tags "github.com/crispy-enigma/crispy-enigma/api/statestore"
	"github.com/crispy-enigma/crispy-enigma/controllers/statestore"
	"github.com/crispy-enigma/crispy-enigma/hack/servers"
)

// database is one of a real server, seen by the operator's login, which is no superuser.
func database(t *testing.T) (statestore.Server, *statestore.Address) {
	t.Helper()
	_, admin := servers.Postgres(t).Database(t)
	return open(t, statestore.Postgres, admin, nil, false)
}

// query runs one as a tenant's login; the error tells whether it was let in.
func query(ctx context.Context, t *testing.T, a *statestore.Address, tag, slot, password, sql string) (out string, err error) {
	t.Helper()
	user, err := statestore.User(statestore.Postgres, tag, slot)
	if err != nil {
		t.Fatal(err)
	}
	c, err := pgx.Connect(ctx, a.As(user, password))
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close(context.WithoutCancel(ctx)) }()
	err = c.QueryRow(ctx, sql).Scan(&out)
	return out, err
}

func letIn(t *testing.T, a *statestore.Address, tag, slot, password string) bool {
	t.Helper()
	_, err := query(t.Context(), t, a, tag, slot, password, "SELECT 'x'")
	return err == nil
}

func TestALoginsLifeInADatabase(t *testing.T) {
	t.Parallel()
	s, a := database(t)
	admit(t, s, acme, statestore.Login{Slot: "a", Password: oldPassword, Renew: true})
	if !letIn(t, a, acme, "a", oldPassword) {
		t.Fatal("the tenant isn't let in")
	}
	admit(t, s, acme, statestore.Login{Slot: "b", Password: newPassword, Previous: statestore.DigestOf(oldPassword), Renew: true})
	if !letIn(t, a, acme, "a", oldPassword) || !letIn(t, a, acme, "b", newPassword) {
		t.Error("while pods go over, both passwords must work")
	}
	// Cut off before the Secret was written: the next one makes another password.
	admit(t, s, acme, statestore.Login{Slot: "b", Password: newPassword + "2", Previous: statestore.DigestOf(oldPassword), Renew: true})
	if letIn(t, a, acme, "b", newPassword) || !letIn(t, a, acme, "b", newPassword+"2") {
		t.Error("the password that nobody has still works, or the new one doesn't")
	}
	admit(t, s, acme, statestore.Login{Slot: "b", Password: newPassword + "2"})
	if letIn(t, a, acme, "a", oldPassword) || !letIn(t, a, acme, "b", newPassword+"2") {
		t.Error("afterwards only the new one may")
	}
	for range 2 {
		if err := s.Expel(t.Context(), acme); err != nil {
			t.Fatal(err)
		}
		if letIn(t, a, acme, "b", newPassword+"2") {
			t.Error("an expelled tenant is let in")
		}
	}
}

const (
	insert = "INSERT INTO enigma.audit (tenant, at, caller, tool, params_hash, outcome, duration_ns) SELECT '%', g, 'c', 't', 'p', 'o', 1 FROM generate_series(1, 2500) g RETURNING tenant"
	tally  = "SELECT count(*)::text FROM enigma.audit"
)

func TestATenantsRowsAreItsOwnAndGo(t *testing.T) {
	t.Parallel()
	s, a := database(t)
	for _, tag := range []string{acme, other} {
		admit(t, s, tag, statestore.Login{Password: oldPassword, Renew: true})
		if _, err := query(t.Context(), t, a, tag, "a", oldPassword, strings.Replace(insert, "%", tag, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := query(t.Context(), t, a, acme, "a", oldPassword, strings.Replace(insert, "%", other, 1)); err == nil {
		t.Error("a tenant writes a neighbour's rows")
	}
	if n, err := query(t.Context(), t, a, acme, "a", oldPassword, tally); err != nil || n != "2500" {
		t.Errorf("it sees %s rows, %v; its own are 2500", n, err)
	}
	for more := true; more; {
		var err error
		if more, err = s.Erase(t.Context(), acme); err != nil {
			t.Fatal(err)
		}
	}
	for tag, want := range map[string]string{acme: "0", other: "2500"} {
		if n, err := query(t.Context(), t, a, tag, "a", oldPassword, tally); err != nil || n != want {
			t.Errorf("%s rows are left, %v; want %s", n, err, want)
		}
	}
	// Retained rows are nobody's until the tenant is back.
	if err := s.Expel(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	admit(t, s, other, statestore.Login{Password: newPassword, Renew: true})
	if n, err := query(t.Context(), t, a, other, "a", newPassword, tally); err != nil || n != "2500" {
		t.Errorf("back again it finds %s rows, %v", n, err)
	}
	// Also when the login went first.
	if err := s.Expel(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Erase(t.Context(), other); err != nil {
		t.Errorf("erasing after the login went: %v", err)
	}
}

// Many tenants, and two operators, change roles of one server at the same time.
func TestOperatorsShareAServer(t *testing.T) {
	t.Parallel()
	_, admin := servers.Postgres(t).Database(t)
	var both []statestore.Server
	for range 2 {
		s, _ := open(t, statestore.Postgres, admin, nil, false)
		both = append(both, s)
	}
	var group sync.WaitGroup
	for i := range 12 {
		group.Go(func() {
			tag := tags.Tag(string(rune('a' + i/2)))
			if err := both[i%2].Admit(t.Context(), tag, statestore.Login{Slot: "a", Password: oldPassword, Connections: 3, Renew: true}); err != nil {
				t.Errorf("admitting: %v", err)
			}
		})
	}
	group.Wait()
}

// A server that a tenant brings erases with the tenant's own login.
func TestErasureOfATenantsOwnDatabase(t *testing.T) {
	t.Parallel()
	_, admin := servers.Postgres(t).Database(t)
	s, _ := open(t, statestore.Postgres, admin, nil, true)
	if more, err := s.Erase(t.Context(), acme); more || err != nil {
		t.Errorf("a database that nothing was kept in: %t, %v", more, err)
	}
	own, err := tags.PostgresOwn(acme)
	if err != nil {
		t.Fatal(err)
	}
	c, err := pgx.Connect(t.Context(), admin)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(context.Background()) }()
	for _, script := range []string{tags.PostgresSchema(), own, strings.Replace(insert, "%", acme, 1)} {
		if _, err := c.PgConn().Exec(t.Context(), script).ReadAll(); err != nil {
			t.Fatal(err)
		}
	}
	for more := true; more; {
		if more, err = s.Erase(t.Context(), acme); err != nil {
			t.Fatal(err)
		}
	}
	var left string
	if err := c.QueryRow(t.Context(), tally).Scan(&left); err != nil || left != "0" {
		t.Errorf("%s rows are left, %v", left, err)
	}
	if err := s.Expel(t.Context(), acme); err != nil {
		t.Errorf("expelling from its own: %v", err)
	}
}

func TestADatabaseThatRefuses(t *testing.T) {
	t.Parallel()
	server := servers.Postgres(t)
	name, _ := server.Database(t)
	s, _ := open(t, statestore.Postgres, server.URL(name, "c4nary-wrong", name), nil, false)
	err := s.Admit(t.Context(), acme, statestore.Login{Slot: "a", Password: oldPassword, Connections: 1, Renew: true})
	if err == nil || !strings.Contains(err.Error(), "doesn't take the login") || strings.Contains(err.Error(), "c4nary") {
		t.Errorf("wrong password: %v", err)
	}
	plain, _ := server.Database(t)
	s, _ = open(t, statestore.Postgres, server.URL(plain, "for-tests-only", name), nil, false)
	err = s.Admit(t.Context(), acme, statestore.Login{Slot: "a", Password: oldPassword, Connections: 1, Renew: true})
	if err == nil || !strings.Contains(err.Error(), "must own the database") {
		t.Errorf("somebody else's database: %v", err)
	}
}
