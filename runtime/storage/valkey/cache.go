package valkey

import (
	"context"
	"strconv"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

type cache struct{ s *Store }

func (c cache) Get(ctx context.Context, t tenancy.ID, key string) ([]byte, bool, error) {
	if err := c.s.admit(ctx, t); err != nil {
		return nil, false, err
	}
	n := c.s.namesOf(t)
	entry := n.key("cached", key)
	reply, err := c.s.do(ctx, n, []string{entry}, []string{"GET", entry})
	if err != nil || reply[0].IsNil() {
		return nil, false, err
	}
	value, err := c.s.value(n, &reply[0])
	return []byte(value), err == nil, err
}

func (c cache) Put(ctx context.Context, t tenancy.ID, key string, value []byte, ttl time.Duration) error {
	if err := c.s.admit(ctx, t); err != nil {
		return err
	}
	if len(value) > storage.MaxCacheValue || ttl <= 0 {
		return storage.ErrBadEntry
	}
	n := c.s.namesOf(t)
	life := (ttl + time.Millisecond - 1).Milliseconds()
	_, err := c.s.run(ctx, n, putScript, []string{n.key("cache"), n.key("cached", key)},
		n.mark, string(value), strconv.FormatInt(life, 10))
	return err
}

func (c cache) Clear(ctx context.Context, t tenancy.ID) error {
	if err := c.s.admit(ctx, t); err != nil {
		return err
	}
	n := c.s.namesOf(t)
	return c.s.unlinkListed(ctx, n, n.key("cache"))
}

// unlinkListed removes the keys that an index names, those put there
// meanwhile too.
func (s *Store) unlinkListed(ctx context.Context, n *names, index string) error {
	for {
		reply, err := s.do(ctx, n, []string{index}, []string{"ZRANGE", index, "0", strconv.Itoa(atOnce - 1)})
		if err != nil {
			return err
		}
		keys, err := reply[0].AsStrSlice()
		if err != nil {
			return unreadable(err)
		}
		if len(keys) == 0 {
			return nil
		}
		_, err = s.do(ctx, n, append([]string{index}, keys...), append([]string{"UNLINK"}, keys...), append([]string{"ZREM", index}, keys...))
		if err != nil {
			return err
		}
	}
}
