package statestore_test

import (
	"testing"

	"github.com/crispy-enigma/crispy-enigma/api/statestore"
)

// Data lies under these names for ever: a change of the algorithm loses it.
func TestTagsStayAsTheyAre(t *testing.T) {
	t.Parallel()
	if got, want := statestore.Tag("owner/ns/production/acme"), "747c91f12e881a572391fa3a5f12b59e"; got != want {
		t.Errorf("the tag is %s, was %s", got, want)
	}
}
