package ledger

import "sync"

// tenants is one book per storage identity, made when first used.
type tenants[B any] struct {
	mu    sync.RWMutex
	books map[string]*B
	open  func(identity string) *B
}

func newTenants[B any](open func(identity string) *B) *tenants[B] {
	return &tenants[B]{books: map[string]*B{}, open: open}
}

func (t *tenants[B]) of(identity string) *B {
	t.mu.RLock()
	b := t.books[identity]
	t.mu.RUnlock()
	if b != nil {
		return b
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if b = t.books[identity]; b == nil {
		b = t.open(identity)
		t.books[identity] = b
	}
	return b
}

func (t *tenants[B]) all() []*B {
	t.mu.RLock()
	defer t.mu.RUnlock()
	all := make([]*B, 0, len(t.books))
	for _, b := range t.books {
		all = append(all, b)
	}
	return all
}

// changes lists rows that differ from what was drained last. Each row carries a flag
// of its own, guarded by its book's lock, that says it is listed already.
type changes[R any] struct {
	mu   sync.Mutex
	rows []*R
}

func (c *changes[R]) add(row *R) {
	c.mu.Lock()
	c.rows = append(c.rows, row)
	c.mu.Unlock()
}

func (c *changes[R]) drain() []*R {
	c.mu.Lock()
	rows := c.rows
	c.rows = nil
	c.mu.Unlock()
	return rows
}
