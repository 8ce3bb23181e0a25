package servers_test

import (
	"fmt"
	"testing"

	"github.com/crispy-enigma/crispy-enigma/hack/servers"
)

// TestWhatWasStartedIsEnded: the last first, though one of them fails.
func TestWhatWasStartedIsEnded(t *testing.T) {
	k, ended := &servers.Keeper{}, ""
	for i := range 3 {
		k.Cleanup(func() {
			ended += fmt.Sprint(i)
			if i == 1 {
				k.Fatal("can't end it")
			}
		})
	}
	if k.End(); ended != "210" {
		t.Errorf("ended %q", ended)
	}
}
