package statestore_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/controllers/statestore"
)

func TestAnAddressWithAnotherLogin(t *testing.T) {
	for _, c := range []struct {
		kind, url, want string
		endpoints       []statestore.Endpoint
	}{
		{"valkey", " redis://admin:c4nary@valkey.databases:6380/2\n", "redis://ce-x:p%25w@valkey.databases:6380/2", []statestore.Endpoint{{"valkey.databases", 6380}}},
		{"valkey", "rediss://valkey", "rediss://ce-x:p%25w@valkey", []statestore.Endpoint{{"valkey", 6379}}},
		{"valkey", "redis://:c4nary%40@[fd00::1]:7000?addr=b:7001", "redis://ce-x:p%25w@[fd00::1]:7000?addr=b:7001", []statestore.Endpoint{{"fd00::1", 7000}, {"b", 7001}}},
		{"valkey", "redis://u:c4nary@s:26379?master_set=main", "redis://ce-x:p%25w@s:26379?master_set=main", []statestore.Endpoint{{"s", 26379}, {"s", 6379}}},
		{"postgres", "postgres://admin:c4nary@pg.databases/state?sslmode=require", "postgres://ce-x:p%25w@pg.databases/state?sslmode=require", []statestore.Endpoint{{"pg.databases", 5432}}},
		{"postgres", "postgresql://a:c4nary@pg1:5433/state", "postgresql://ce-x:p%25w@pg1:5433/state", []statestore.Endpoint{{"pg1", 5433}}},
	} {
		a, err := statestore.Parse(c.kind, c.url, nil)
		if err != nil {
			t.Errorf("%s: %v", c.kind, err)
			continue
		}
		if got := a.As("ce-x", "p%w"); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
		if diff := cmp.Diff(c.endpoints, a.Endpoints()); diff != "" {
			t.Errorf("%s: %s", c.kind, diff)
		}
		if again, err := statestore.Parse(c.kind, a.As("ce-x", "p%w"), nil); err != nil {
			t.Errorf("its own URL: %v", err)
		} else if user, password := again.Login(); user != "ce-x" || password != "p%w" {
			t.Errorf("the login %s isn't read back", user)
		}
	}
}

func TestAnAddressThatCannotBeUsed(t *testing.T) {
	pem := []byte("-----BEGIN c4nary-----")
	for name, c := range map[string]struct {
		kind, url string
		ca        []byte
	}{
		"no URL":                    {"valkey", "c4nary", nil},
		"the other's scheme":        {"valkey", "postgres://u:c4nary@h/d", nil},
		"the other's scheme too":    {"postgres", "redis://u:c4nary@h", nil},
		"http":                      {"valkey", "http://u:c4nary@h", nil},
		"no host":                   {"valkey", "redis://u:c4nary@:6379", nil},
		"a port of letters":         {"valkey", "redis://u:c4nary@h:x", nil},
		"port 0":                    {"valkey", "redis://u:c4nary@h:0", nil},
		"a database of letters":     {"valkey", "redis://u:c4nary@h/x", nil},
		"a parameter":               {"valkey", "redis://u:c4nary@h?protocol=c4nary", nil},
		"certificates without TLS":  {"valkey", "redis://u:c4nary@h", pem},
		"certificates that are not": {"valkey", "rediss://u:c4nary@h", pem},
		"a bare per cent":           {"valkey", "redis://u:c4nary%zz@h", nil},
		"no database":               {"postgres", "postgres://u:c4nary@h", nil},
		"a socket":                  {"postgres", "postgres://u:c4nary@/d?host=/tmp", nil},
		"another login":             {"postgres", "postgres://h/d?user=u&password=c4nary", nil},
		"a file of the operator's":  {"postgres", "postgres://u:c4nary@h/d?sslkey=/c4nary", nil},
		"an sslmode of its own":     {"postgres", "postgres://u:c4nary@h/d?sslmode=c4nary", nil},
		"PEM for postgres":          {"postgres", "postgres://u:c4nary@h/d", pem},
	} {
		_, err := statestore.Parse(c.kind, c.url, c.ca)
		if !errors.Is(err, statestore.ErrURL) || strings.Contains(err.Error(), "c4nary") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
