package storagetest

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

// Check is one promise. Run uses a store that nothing else uses, and fails t if the
// promise is broken.
type Check struct {
	Name string
	Run  func(t rapid.TB, s storage.Store)
}

// Checks are all promises.
func Checks() []Check {
	return slices.Concat(tenantChecks, sessionChecks, listChecks, windowChecks, budgetChecks, usageChecks, cacheChecks, auditChecks,
		portableChecks, contextChecks)
}

// Run runs every check against a store of its own. open closes the store when its
// test ends.
func Run(t *testing.T, open func(t *testing.T) storage.Store) {
	for _, c := range Checks() {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			c.Run(t, open(t))
		})
	}
}
