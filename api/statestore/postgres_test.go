package statestore_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/crispy-enigma/crispy-enigma/api/statestore"
)

// No statement is made of what could say more than a name.
func TestPostgresStatementsRefuseWhatIsNoTag(t *testing.T) {
	t.Parallel()
	good := statestore.Tag("owner/acme")
	verifier, err := statestore.PostgresVerifier("ce_c4nary")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(verifier, "c4nary") {
		t.Error("a verifier holds the password")
	}
	refused := func(what string, _ string, err error) {
		t.Helper()
		if !errors.Is(err, statestore.ErrBadPostgres) {
			t.Errorf("%s: got %v, want ErrBadPostgres", what, err)
		}
	}
	for _, tag := range []string{"", "acme", good[:31], good + "0", strings.ToUpper(good), good[:31] + "'", good[:20] + "; DROP ROLE "} {
		for _, make := range []func(string) (string, error){
			statestore.PostgresTenant, statestore.PostgresErase, statestore.PostgresDrop, statestore.PostgresOwn,
			func(tag string) (string, error) { return statestore.PostgresUser(tag, "a") },
			func(tag string) (string, error) { return statestore.PostgresCloseLogin(tag, "b") },
			func(tag string) (string, error) { return statestore.PostgresLogin(tag, "a", verifier, 10) },
		} {
			sql, err := make(tag)
			refused("tag "+tag, sql, err)
		}
	}
	for _, slot := range []string{"", "c", "a; --"} {
		sql, err := statestore.PostgresUser(good, slot)
		refused("slot "+slot, sql, err)
	}
	for _, v := range []string{"", "plain", "SCRAM-SHA-256$'; DROP ROLE postgres; --"} {
		sql, err := statestore.PostgresLogin(good, "a", v, 10)
		refused("verifier", sql, err)
	}
	for _, password := range []string{"", "with space", "ü", "line\n"} {
		sql, err := statestore.PostgresVerifier(password)
		refused("password", sql, err)
	}
}
