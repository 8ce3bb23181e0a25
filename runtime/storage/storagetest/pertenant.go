package storagetest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// perTenantOpen is how many tenants' stores are open at once, and idle.
const perTenantOpen = 24

// PerTenant is one store over servers that give each tenant a login of its own: each call
// goes through its tenant's store, which open makes and Close, or a tenant that needs the
// room, closes. It is what many pods see of one server.
func PerTenant(open func(t tenancy.ID) (storage.Store, error)) storage.Store {
	return &perTenant{open: open, stores: map[string]*lent{}}
}

type perTenant struct {
	open   func(t tenancy.ID) (storage.Store, error)
	mu     sync.Mutex
	clock  int
	stores map[string]*lent
}

// lent is a store and how many calls use it now.
type lent struct {
	storage.Store
	users, last int
}

// with runs f with the tenant's store. The zero tenant goes to a store of somebody's.
func (p *perTenant) with(t tenancy.ID, f func(s storage.Store) error) error {
	asked := t
	if t.IsZero() {
		var err error
		if asked, err = tenancy.NewID("nobody", "nobody"); err != nil {
			return err
		}
	}
	p.mu.Lock()
	l := p.stores[asked.Identity()]
	if l == nil {
		if err := p.makeRoom(); err != nil {
			p.mu.Unlock()
			return err
		}
		s, err := p.open(asked)
		if err != nil {
			p.mu.Unlock()
			return err
		}
		l = &lent{Store: s}
		p.stores[asked.Identity()] = l
	}
	p.clock++
	l.last = p.clock
	l.users++
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		l.users--
		p.mu.Unlock()
	}()
	return f(l)
}

// makeRoom closes the store that nobody has used for longest. It needs the lock.
func (p *perTenant) makeRoom() error {
	if len(p.stores) < perTenantOpen {
		return nil
	}
	var oldest string
	for identity, l := range p.stores {
		if l.users == 0 && (oldest == "" || l.last < p.stores[oldest].last) {
			oldest = identity
		}
	}
	if oldest == "" {
		return nil
	}
	err := p.stores[oldest].Close(context.Background())
	delete(p.stores, oldest)
	return err
}

func (p *perTenant) Sessions() storage.Sessions { return routedSessions{p} }
func (p *perTenant) Windows() storage.Windows   { return routedWindows{p} }
func (p *perTenant) Budgets() storage.Budgets   { return routedBudgets{p} }
func (p *perTenant) Usage() storage.Usage       { return routedUsage{p} }
func (p *perTenant) Cache() storage.Cache       { return routedCache{p} }
func (p *perTenant) Audit() storage.Audit       { return routedAudit{p} }
func (p *perTenant) Portable() storage.Portable { return routedPortable{p} }

// Health is that of a store that isn't well, if there is one.
func (p *perTenant) Health() storage.Health {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.stores {
		if h := l.Health(); !h.OK {
			return h
		}
	}
	return storage.Health{OK: true}
}

func (p *perTenant) Close(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for identity, l := range p.stores {
		errs = append(errs, l.Close(ctx))
		delete(p.stores, identity)
	}
	return errors.Join(errs...)
}

type routedSessions struct{ p *perTenant }

func (r routedSessions) Append(ctx context.Context, t tenancy.ID, o storage.Owner, session string, msgs []storage.Message, keep storage.Keep) error {
	return r.p.with(t, func(s storage.Store) error { return s.Sessions().Append(ctx, t, o, session, msgs, keep) })
}

func (r routedSessions) History(ctx context.Context, t tenancy.ID, o storage.Owner, session string, page storage.Page) (found []storage.Message, err error) {
	err = r.p.with(t, func(s storage.Store) (err error) {
		found, err = s.Sessions().History(ctx, t, o, session, page)
		return err
	})
	return found, err
}

func (r routedSessions) Delete(ctx context.Context, t tenancy.ID, o storage.Owner, session string) error {
	return r.p.with(t, func(s storage.Store) error { return s.Sessions().Delete(ctx, t, o, session) })
}

func (r routedSessions) List(ctx context.Context, t tenancy.ID, o storage.Owner, limit int, cursor string) (found []storage.SessionInfo, next string, err error) {
	err = r.p.with(t, func(s storage.Store) (err error) {
		found, next, err = s.Sessions().List(ctx, t, o, limit, cursor)
		return err
	})
	return found, next, err
}

func (r routedSessions) Expire(ctx context.Context, t tenancy.ID, before time.Time) (n int, err error) {
	err = r.p.with(t, func(s storage.Store) (err error) { n, err = s.Sessions().Expire(ctx, t, before); return err })
	return n, err
}

type routedWindows struct{ p *perTenant }

func (r routedWindows) Take(ctx context.Context, t tenancy.ID, key string, windows []storage.Window, now time.Time) (taken storage.Taken, err error) {
	err = r.p.with(t, func(s storage.Store) (err error) {
		taken, err = s.Windows().Take(ctx, t, key, windows, now)
		return err
	})
	return taken, err
}

func (r routedWindows) Return(ctx context.Context, t tenancy.ID, key string, windows []storage.Window, at time.Time) error {
	return r.p.with(t, func(s storage.Store) error { return s.Windows().Return(ctx, t, key, windows, at) })
}

type routedBudgets struct{ p *perTenant }

func (r routedBudgets) Reserve(ctx context.Context, t tenancy.ID, limits []storage.Limit, amounts []int64) (held storage.Reservation, err error) {
	err = r.p.with(t, func(s storage.Store) (err error) {
		held, err = s.Budgets().Reserve(ctx, t, limits, amounts)
		return err
	})
	return held, err
}

func (r routedBudgets) Settle(ctx context.Context, t tenancy.ID, held storage.Reservation, used []int64) error {
	return r.p.with(t, func(s storage.Store) error { return s.Budgets().Settle(ctx, t, held, used) })
}

func (r routedBudgets) Spent(ctx context.Context, t tenancy.ID, names []string) (used, reserved []int64, err error) {
	err = r.p.with(t, func(s storage.Store) (err error) { used, reserved, err = s.Budgets().Spent(ctx, t, names); return err })
	return used, reserved, err
}

type routedUsage struct{ p *perTenant }

func (r routedUsage) Add(ctx context.Context, t tenancy.ID, u storage.UsageRecord) error {
	return r.p.with(t, func(s storage.Store) error { return s.Usage().Add(ctx, t, u) })
}

func (r routedUsage) Sum(ctx context.Context, t tenancy.ID, from, to time.Time) (found []storage.UsageBucket, err error) {
	err = r.p.with(t, func(s storage.Store) (err error) { found, err = s.Usage().Sum(ctx, t, from, to); return err })
	return found, err
}

type routedCache struct{ p *perTenant }

func (r routedCache) Get(ctx context.Context, t tenancy.ID, key string) (value []byte, ok bool, err error) {
	err = r.p.with(t, func(s storage.Store) (err error) { value, ok, err = s.Cache().Get(ctx, t, key); return err })
	return value, ok, err
}

func (r routedCache) Put(ctx context.Context, t tenancy.ID, key string, value []byte, ttl time.Duration) error {
	return r.p.with(t, func(s storage.Store) error { return s.Cache().Put(ctx, t, key, value, ttl) })
}

func (r routedCache) Clear(ctx context.Context, t tenancy.ID) error {
	return r.p.with(t, func(s storage.Store) error { return s.Cache().Clear(ctx, t) })
}

type routedAudit struct{ p *perTenant }

func (r routedAudit) Record(ctx context.Context, t tenancy.ID, a storage.AuditRecord) error {
	return r.p.with(t, func(s storage.Store) error { return s.Audit().Record(ctx, t, a) })
}

func (r routedAudit) Records(ctx context.Context, t tenancy.ID, from, to time.Time, limit int, cursor string) (found []storage.AuditRecord, next string, err error) {
	err = r.p.with(t, func(s storage.Store) (err error) {
		found, next, err = s.Audit().Records(ctx, t, from, to, limit, cursor)
		return err
	})
	return found, next, err
}

type routedPortable struct{ p *perTenant }

func (r routedPortable) Dump(ctx context.Context, t tenancy.ID, from string, yield func(storage.Record, string) error) error {
	return r.p.with(t, func(s storage.Store) error { return s.Portable().Dump(ctx, t, from, yield) })
}

func (r routedPortable) Load(ctx context.Context, t tenancy.ID, all []storage.Record) error {
	return r.p.with(t, func(s storage.Store) error { return s.Portable().Load(ctx, t, all) })
}

func (r routedPortable) Erase(ctx context.Context, t tenancy.ID) (n int, err error) {
	err = r.p.with(t, func(s storage.Store) (err error) { n, err = s.Portable().Erase(ctx, t); return err })
	return n, err
}
