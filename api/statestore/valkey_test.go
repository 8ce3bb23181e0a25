package statestore_test

import (
	"path"
	"strings"
	"testing"

	"github.com/crispy-enigma/crispy-enigma/api/statestore"
)

// A tenant's rules match its own keys and none of another's; whatever gives a command
// comes after all commands were taken away.
func TestACLRulesMatchTheTenantsKeysAlone(t *testing.T) {
	t.Parallel()
	tag, other := statestore.Tag("owner/ns/production/acme"), statestore.Tag("owner/ns/production/acme2")
	rules := strings.Join(statestore.ACLRules(tag), " ")
	if want := "resetkeys ~ce:{" + tag + "}:* resetchannels -@all +"; !strings.HasPrefix(rules, want) {
		t.Errorf("the rules begin %.80q, want %q", rules, want)
	}
	if n := strings.Count(rules, "~") + strings.Count(rules, "%") + strings.Count(rules, "&"); n != 1 {
		t.Errorf("%d patterns, want 1: %s", n, rules)
	}
	for _, never := range []string{"+@", "+scan", "+keys", "+config", "+acl", "+monitor", "+client", "+info", "+subscribe", "+publish", "+script", "+flush", "+select ~"} {
		if strings.Contains(rules, never) {
			t.Errorf("%s is allowed", never)
		}
	}
	pattern := statestore.KeyPrefix(tag) + "*"
	if ok, err := path.Match(pattern, statestore.KeyPrefix(tag)+"x"); err != nil || !ok {
		t.Errorf("%s doesn't match the tenant's own key: %v", pattern, err)
	}
	if ok, err := path.Match(pattern, statestore.KeyPrefix(other)+"x"); err != nil || ok {
		t.Errorf("%s matches another tenant's key: %v", pattern, err)
	}
	if got, want := statestore.ACLUser(tag), "ce-"+tag; got != want {
		t.Errorf("the login is %s, want %s", got, want)
	}
}
