package ledger

import "github.com/crispy-enigma/crispy-enigma/runtime/tenancy"

// Keys is how many keys are kept for t.
func Keys(w *Windows, t tenancy.ID) int {
	book := w.tenants.of(t.Identity())
	book.mu.Lock()
	defer book.mu.Unlock()
	return len(book.keys)
}
