package cloudflarefake

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
)

// Account is a World as one caller reaches it, with one API token. It is a
// cloudflare.Account.
type Account struct {
	w    *World
	name string
	// minted is the value of the token in the World; "" for one that isn't in it.
	minted string

	mu        sync.Mutex
	revoked   bool
	expiresAt time.Time
	lacks     []string
	onCall    func(Call) *Fault
}

var _ cloudflare.Account = (*Account)(nil)

// Open is the account with a token that may do everything and isn't among the World's
// own. The name is the caller's in the log.
func (w *World) Open(name string) *Account { return &Account{w: w, name: name} }

// OpenAs is the account with a token that was made in it, and its permissions.
func (w *World) OpenAs(value cloudflare.Secret) *Account {
	return &Account{w: w, name: "minted", minted: string(value)}
}

// Revoke makes the token unknown, or known again.
func (a *Account) Revoke(revoked bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.revoked = revoked
}

// Expire sets when the token ends; the zero time is never.
func (a *Account) Expire(at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.expiresAt = at
}

// Lack takes permissions away from the token, by Cloudflare's name: exactly these.
func (a *Account) Lack(permissions ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lacks = permissions
}

// OnCall lets f decide over each call of this Account, like World.OnCall, which is asked
// first.
func (a *Account) OnCall(f func(Call) *Fault) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.onCall = f
}

// Get reads one thing.
func (a *Account) Get(ctx context.Context, kind cloudflare.Kind, id string) (cloudflare.Thing, error) {
	var got cloudflare.Thing
	err := a.call(ctx, Call{Verb: cloudflare.OpGet, Kind: kind, ID: id}, func() error {
		e := a.w.find(kind, id, "")
		if e == nil {
			return cloudflare.ErrNotFound
		}
		got = shown(e)
		return nil
	})
	if err != nil {
		return cloudflare.Thing{}, err
	}
	return got, nil
}

// Find reads the things of a name: at once where the name is the id, and as late as
// LIST otherwise.
func (a *Account) Find(ctx context.Context, kind cloudflare.Kind, name string) ([]cloudflare.Thing, error) {
	var found []cloudflare.Thing
	err := a.call(ctx, Call{Verb: cloudflare.OpFind, Kind: kind, Name: name}, func() error {
		if kind.NameIsID() {
			if e := a.w.find(kind, name, ""); e != nil {
				found = append(found, shown(e))
			}
			return nil
		}
		for _, e := range a.w.listed(kind) {
			if e.Name == name {
				found = append(found, summary(e))
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// List reads what LIST shows of a kind.
func (a *Account) List(ctx context.Context, kind cloudflare.Kind) ([]cloudflare.Thing, error) {
	var all []cloudflare.Thing
	err := a.call(ctx, Call{Verb: cloudflare.OpList, Kind: kind}, func() error {
		for _, e := range a.w.listed(kind) {
			all = append(all, summary(e))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// Do has one effect.
func (a *Account) Do(ctx context.Context, s cloudflare.Step) (cloudflare.Thing, error) {
	var made cloudflare.Thing
	err := a.call(ctx, Call{Verb: s.Verb, Kind: s.Kind, ID: s.ID, Name: s.Name, Step: s}, func() error {
		var err error
		made, err = a.w.do(s)
		return err
	})
	if err != nil {
		return cloudflare.Thing{}, err
	}
	return made, nil
}

// Token tells who the token is. What it may do isn't told, as is usual.
func (a *Account) Token(ctx context.Context) (cloudflare.Token, error) {
	var t cloudflare.Token
	err := a.call(ctx, Call{Verb: Verify}, func() error {
		t = cloudflare.Token{ID: "token-" + a.name, Active: true, ExpiresAt: a.expiry()}
		if a.minted != "" {
			e := a.w.byValue(a.minted)
			t.ID, t.ExpiresAt = e.ID, e.Settings.ExpiresAt
		}
		return nil
	})
	if err != nil {
		return cloudflare.Token{}, err
	}
	return t, nil
}

func (a *Account) expiry() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.expiresAt
}

// admit says whether the token may make the call, and which permissions it lacks. The
// World is locked.
func (a *Account) admit(c Call) (missing []string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.revoked || !a.expiresAt.IsZero() && !a.w.opts.Now().Before(a.expiresAt) {
		return nil, cloudflare.ErrUnauthorized
	}
	var has func(string) bool
	if a.minted != "" {
		e := a.w.byValue(a.minted)
		if e == nil {
			return nil, cloudflare.ErrUnauthorized
		}
		has = func(permission string) bool {
			return slices.ContainsFunc(e.Settings.Policies, func(p cloudflare.Policy) bool {
				return p.Bucket == "" && slices.Contains(p.Permissions, permission)
			})
		}
	} else {
		has = func(permission string) bool { return !slices.Contains(a.lacks, permission) }
	}
	if c.Verb == Verify {
		return nil, nil
	}
	need := cloudflare.PermissionsTo(c.Kind, c.writes())
	if !slices.ContainsFunc(need, has) {
		return need, cloudflare.ErrForbidden
	}
	return nil, nil
}
