package storagetest_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// cacheBy, auditBy and portableBy replace single methods.
type cacheBy struct {
	storage.Cache
	get   func(context.Context, tenancy.ID, string) ([]byte, bool, error)
	put   func(context.Context, tenancy.ID, string, []byte, time.Duration) error
	clear func(context.Context, tenancy.ID) error
}

func (c cacheBy) Get(ctx context.Context, t tenancy.ID, key string) ([]byte, bool, error) {
	if c.get == nil {
		return c.Cache.Get(ctx, t, key)
	}
	return c.get(ctx, t, key)
}

func (c cacheBy) Put(ctx context.Context, t tenancy.ID, key string, value []byte, ttl time.Duration) error {
	if c.put == nil {
		return c.Cache.Put(ctx, t, key, value, ttl)
	}
	return c.put(ctx, t, key, value, ttl)
}

func (c cacheBy) Clear(ctx context.Context, t tenancy.ID) error {
	if c.clear == nil {
		return c.Cache.Clear(ctx, t)
	}
	return c.clear(ctx, t)
}

type auditBy struct {
	storage.Audit
	record  func(context.Context, tenancy.ID, storage.AuditRecord) error
	records func(context.Context, tenancy.ID, time.Time, time.Time, int, string) ([]storage.AuditRecord, string, error)
}

func (a auditBy) Record(ctx context.Context, t tenancy.ID, r storage.AuditRecord) error {
	if a.record == nil {
		return a.Audit.Record(ctx, t, r)
	}
	return a.record(ctx, t, r)
}

func (a auditBy) Records(ctx context.Context, t tenancy.ID, from, to time.Time, limit int, cursor string) ([]storage.AuditRecord, string, error) {
	if a.records == nil {
		return a.Audit.Records(ctx, t, from, to, limit, cursor)
	}
	return a.records(ctx, t, from, to, limit, cursor)
}

type yield = func(storage.Record, string) error

type portableBy struct {
	storage.Portable
	dump  func(context.Context, tenancy.ID, string, yield) error
	load  func(context.Context, tenancy.ID, []storage.Record) error
	erase func(context.Context, tenancy.ID) (int, error)
}

func (p portableBy) Dump(ctx context.Context, t tenancy.ID, from string, y yield) error {
	if p.dump == nil {
		return p.Portable.Dump(ctx, t, from, y)
	}
	return p.dump(ctx, t, from, y)
}

func (p portableBy) Load(ctx context.Context, t tenancy.ID, records []storage.Record) error {
	if p.load == nil {
		return p.Portable.Load(ctx, t, records)
	}
	return p.load(ctx, t, records)
}

func (p portableBy) Erase(ctx context.Context, t tenancy.ID) (int, error) {
	if p.erase == nil {
		return p.Portable.Erase(ctx, t)
	}
	return p.erase(ctx, t)
}

// joinedCache forgets what a tenant has put when it should: that it mixes tenants up is all
// that there is to find.
func joinedCache(s storage.Store) storage.Store {
	p, in := plant(s), s.Cache()
	var all sync.Map // [2]string{tenant, key}
	join := func(t tenancy.ID, key string) string { return t.Identity() + ":" + key }
	forget := func(ctx context.Context, t tenancy.ID) (err error) {
		all.Range(func(k, _ any) bool {
			if name := k.([2]string); name[0] == t.Identity() {
				err = errors.Join(err, in.Put(ctx, everybody(), join(t, name[1]), nil, time.Nanosecond))
			}
			return true
		})
		return err
	}
	p.cache = cacheBy{
		Cache: in,
		get: func(ctx context.Context, t tenancy.ID, key string) ([]byte, bool, error) {
			return in.Get(ctx, everybody(), join(t, key))
		},
		put: func(ctx context.Context, t tenancy.ID, key string, value []byte, ttl time.Duration) error {
			all.Store([2]string{t.Identity(), key}, nil)
			return in.Put(ctx, everybody(), join(t, key), value, ttl)
		},
		clear: forget,
	}
	p.portable = portableBy{Portable: s.Portable(), erase: func(ctx context.Context, t tenancy.ID) (int, error) {
		n, err := s.Portable().Erase(ctx, t)
		return n, errors.Join(err, forget(ctx, t))
	}}
	return p
}

func sharedValues(s storage.Store) storage.Store {
	p := plant(s)
	var kept sync.Map
	p.cache = cacheBy{
		Cache: s.Cache(),
		get: func(_ context.Context, t tenancy.ID, key string) ([]byte, bool, error) {
			v, ok := kept.Load(t.Identity() + key)
			if !ok {
				return nil, false, nil
			}
			return v.([]byte), true, nil
		},
		put: func(_ context.Context, t tenancy.ID, key string, value []byte, _ time.Duration) error {
			kept.Store(t.Identity()+key, value)
			return nil
		},
	}
	return p
}

func livesForever(s storage.Store) storage.Store {
	p, in := plant(s), s.Cache()
	p.cache = cacheBy{Cache: in, put: func(ctx context.Context, t tenancy.ID, key string, value []byte, _ time.Duration) error {
		return in.Put(ctx, t, key, value, time.Hour)
	}}
	return p
}

func clearsAll(s storage.Store) storage.Store {
	p, in := plant(s), s.Cache()
	var epoch atomic.Int64
	at := func(key string) string { return time.Unix(epoch.Load(), 0).String() + key }
	p.cache = cacheBy{
		Cache: in,
		get: func(ctx context.Context, t tenancy.ID, key string) ([]byte, bool, error) {
			return in.Get(ctx, t, at(key))
		},
		put: func(ctx context.Context, t tenancy.ID, key string, value []byte, ttl time.Duration) error {
			return in.Put(ctx, t, at(key), value, ttl)
		},
		clear: func(context.Context, tenancy.ID) error { epoch.Add(1); return nil },
	}
	return p
}

func clearsNothing(s storage.Store) storage.Store {
	p := plant(s)
	p.cache = cacheBy{Cache: s.Cache(), clear: func(context.Context, tenancy.ID) error { return nil }}
	return p
}

func cachesAnything(s storage.Store) storage.Store {
	p, in := plant(s), s.Cache()
	p.cache = cacheBy{Cache: in, put: func(ctx context.Context, t tenancy.ID, key string, value []byte, ttl time.Duration) error {
		return in.Put(ctx, t, key, value[:min(len(value), storage.MaxCacheValue)], max(ttl, time.Hour))
	}}
	return p
}

func losesAudit(s storage.Store) storage.Store {
	p, in := plant(s), s.Audit()
	var n atomic.Int64
	p.audit = auditBy{Audit: in, record: func(ctx context.Context, t tenancy.ID, r storage.AuditRecord) error {
		if n.Add(1)%100 == 0 {
			return nil
		}
		return in.Record(ctx, t, r)
	}}
	return p
}

func closedSpan(s storage.Store) storage.Store {
	p, in := plant(s), s.Audit()
	p.audit = auditBy{Audit: in, records: func(ctx context.Context, t tenancy.ID, from, to time.Time, limit int, cursor string) ([]storage.AuditRecord, string, error) {
		return in.Records(ctx, t, from, to.Add(time.Millisecond), limit, cursor)
	}}
	return p
}

func anyAuditCursor(s storage.Store) storage.Store {
	p, in := plant(s), s.Audit()
	p.audit = auditBy{Audit: in, records: func(ctx context.Context, t tenancy.ID, from, to time.Time, limit int, cursor string) ([]storage.AuditRecord, string, error) {
		got, next, err := in.Records(ctx, t, from, to, limit, cursor)
		if errors.Is(err, storage.ErrBadCursor) {
			return in.Records(ctx, t, from, to, limit, "")
		}
		return got, next, err
	}}
	return p
}

func repeatsAudit(s storage.Store) storage.Store {
	p, in := plant(s), s.Audit()
	p.audit = auditBy{Audit: in, records: func(ctx context.Context, t tenancy.ID, from, to time.Time, limit int, cursor string) ([]storage.AuditRecord, string, error) {
		if cursor != "" {
			if at, err := storage.ParseAuditCursor(t, cursor); err == nil {
				at.Seq++
				cursor = storage.AuditCursor(t, at)
			}
		}
		got, next, err := in.Records(ctx, t, from, to, limit, cursor)
		if limit == 1 {
			next = "" // it would never end
		}
		return got, next, err
	}}
	return p
}

func dumpsAnew(s storage.Store) storage.Store {
	p, in := plant(s), s.Portable()
	p.portable = portableBy{Portable: in, dump: func(ctx context.Context, t tenancy.ID, _ string, y yield) error {
		return in.Dump(ctx, t, "", y)
	}}
	return p
}

func dumpsNoAudit(s storage.Store) storage.Store {
	p, in := plant(s), s.Portable()
	p.portable = portableBy{Portable: in, dump: func(ctx context.Context, t tenancy.ID, from string, y yield) error {
		return in.Dump(ctx, t, from, func(r storage.Record, next string) error {
			if r.Audit != nil {
				return nil
			}
			return y(r, next)
		})
	}}
	return p
}

func anyPosition(s storage.Store) storage.Store {
	p, in := plant(s), s.Portable()
	p.portable = portableBy{Portable: in, dump: func(ctx context.Context, t tenancy.ID, from string, y yield) error {
		err := in.Dump(ctx, t, from, y)
		if errors.Is(err, storage.ErrBadCursor) {
			return in.Dump(ctx, t, "", y)
		}
		return err
	}}
	return p
}

func loadAppends(s storage.Store) storage.Store {
	p, in := plant(s), s.Portable()
	p.portable = portableBy{Portable: in, load: func(ctx context.Context, t tenancy.ID, records []storage.Record) error {
		for _, r := range records {
			if r.Session == nil {
				if err := in.Load(ctx, t, []storage.Record{r}); err != nil {
					return err
				}
				continue
			}
			o := storage.Owner{Caller: r.Session.Caller}
			if err := s.Sessions().Append(ctx, t, o, r.Session.ID, r.Session.Messages, storage.Keep{}); err != nil {
				return err
			}
		}
		return nil
	}}
	return p
}

func loadsOneByOne(s storage.Store) storage.Store {
	p, in := plant(s), s.Portable()
	p.portable = portableBy{Portable: in, load: func(ctx context.Context, t tenancy.ID, records []storage.Record) error {
		for i := range records {
			if err := in.Load(ctx, t, records[i:i+1]); err != nil {
				return err
			}
		}
		return nil
	}}
	return p
}

func keepsCache(s storage.Store) storage.Store {
	p, cache := plant(s), s.Cache()
	var kept sync.Map
	p.cache = cacheBy{
		Cache: cache,
		get: func(_ context.Context, t tenancy.ID, key string) ([]byte, bool, error) {
			v, ok := kept.Load([2]string{t.Identity(), key})
			if !ok {
				return nil, false, nil
			}
			return v.([]byte), true, nil
		},
		put: func(_ context.Context, t tenancy.ID, key string, value []byte, _ time.Duration) error {
			kept.Store([2]string{t.Identity(), key}, value)
			return nil
		},
	}
	return p
}

func erasesPrefix(s storage.Store) storage.Store {
	p, in := plant(s), s.Portable()
	var seen sync.Map
	p.portable = portableBy{
		Portable: in,
		load: func(ctx context.Context, t tenancy.ID, records []storage.Record) error {
			seen.Store(t, nil)
			return in.Load(ctx, t, records)
		},
		erase: func(ctx context.Context, t tenancy.ID) (n int, err error) {
			seen.Range(func(k, _ any) bool {
				if other := k.(tenancy.ID); other != t && strings.HasPrefix(other.Identity(), t.Identity()) {
					_, err = in.Erase(ctx, other)
				}
				return err == nil
			})
			if err != nil {
				return 0, err
			}
			return in.Erase(ctx, t)
		},
	}
	return p
}
