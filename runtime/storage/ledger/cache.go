package ledger

import (
	"bytes"
	"sync"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// cacheEntryBytes is what an entry takes beside its key and value.
const cacheEntryBytes = 192

// Cache keeps what can be made again, up to a number of bytes for all tenants: beyond
// it what was asked for longest ago is forgotten.
type Cache struct {
	now func() time.Time
	max int

	mu    sync.Mutex
	byKey map[cacheKey]*cacheEntry
	// ring is the head of a circle: ring.next was asked for last, ring.prev longest ago.
	ring  cacheEntry
	bytes int
}

// cacheKey is a struct, so no tenant and key can spell those of another.
type cacheKey struct{ tenant, key string }

type cacheEntry struct {
	cacheKey
	value      []byte
	until      time.Time
	prev, next *cacheEntry
}

func (e *cacheEntry) bytes() int { return cacheEntryBytes + len(e.tenant) + len(e.key) + len(e.value) }

// NewCache returns an empty cache of up to maxBytes.
func NewCache(now func() time.Time, maxBytes int) *Cache {
	c := &Cache{now: now, max: maxBytes, byKey: map[cacheKey]*cacheEntry{}}
	c.ring.prev, c.ring.next = &c.ring, &c.ring
	return c
}

// Get is storage.Cache.Get.
func (c *Cache) Get(t tenancy.ID, key string) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byKey[cacheKey{t.Identity(), key}]
	if e == nil {
		return nil, false
	}
	if !c.now().Before(e.until) {
		c.remove(e)
		return nil, false
	}
	c.unlink(e)
	c.link(e)
	return bytes.Clone(e.value), true
}

// Put is storage.Cache.Put.
func (c *Cache) Put(t tenancy.ID, key string, value []byte, ttl time.Duration) error {
	if len(value) > storage.MaxCacheValue || ttl <= 0 {
		return storage.ErrBadEntry
	}
	e := &cacheEntry{cacheKey: cacheKey{t.Identity(), key}, value: append([]byte{}, value...), until: c.now().Add(ttl)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.byKey[e.cacheKey]; old != nil {
		c.remove(old)
	}
	c.byKey[e.cacheKey] = e
	c.link(e)
	c.bytes += e.bytes()
	for c.bytes > c.max {
		c.remove(c.ring.prev)
	}
	return nil
}

// Clear is storage.Cache.Clear.
func (c *Cache) Clear(t tenancy.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, e := range c.byKey {
		if k.tenant == t.Identity() {
			c.remove(e)
		}
	}
}

func (c *Cache) remove(e *cacheEntry) {
	c.unlink(e)
	delete(c.byKey, e.cacheKey)
	c.bytes -= e.bytes()
}

func (c *Cache) link(e *cacheEntry) {
	e.prev, e.next = &c.ring, c.ring.next
	e.prev.next, e.next.prev = e, e
}

func (c *Cache) unlink(e *cacheEntry) { e.prev.next, e.next.prev = e.next, e.prev }
