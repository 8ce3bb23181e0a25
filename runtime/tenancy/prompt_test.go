package tenancy_test

import (
	"testing"

	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

func TestSystemPrompt(t *testing.T) {
	for text, want := range map[string]string{
		"":                              "",
		"plain":                         "plain",
		"{{a}} and {{ b }}":             "A and {{a}}",
		"{{unknown}} {{a}}":             "{{unknown}} A",
		"{{a":                           "{{a",
		"{{{{a}}":                       "{{A",
		"{{}} {{a}}{{a}}":               "{{}} AA",
		"a }} closed before {{a}} open": "a }} closed before A open",
	} {
		c := newConfig("acme")
		c.Prompt.System, c.Prompt.Variables = text, map[string]string{"a": "A", "b": "{{a}}"}
		tenant, err := tenancy.NewTenant(c, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := tenant.SystemPrompt(); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}
