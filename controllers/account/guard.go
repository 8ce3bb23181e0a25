package account

import (
	"context"
	"errors"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
)

// holdFor is how long what was refused for want of a permission or of quota isn't asked
// again: then one call is let through, and the others after it if it succeeds.
const holdFor = 5 * time.Minute

// scope is what one refusal speaks for.
type scope struct {
	kind cloudflare.Kind
	act  act
}

// act is what a permission or a quota is about.
type act string

const (
	looking act = "look"
	writing act = "write"
	// making is bounded by the quota; all else that writes isn't.
	making act = "make"
)

// hold keeps calls back.
type hold struct {
	err   *cloudflare.Error
	until time.Time
	// used is how many things of the kind were listed last; 0 if none was.
	used int
}

// guarded is an Account whose refusals are remembered for all who use it.
type guarded struct {
	inner     cloudflare.Account
	directory *Directory
	account   client.ObjectKey
	token     fingerprint
	actuation v1alpha1.Actuation
}

// Get implements cloudflare.Account.
func (g *guarded) Get(ctx context.Context, kind cloudflare.Kind, id string) (cloudflare.Thing, error) {
	return guard(g, cloudflare.Op(cloudflare.OpGet, kind), []scope{{kind, looking}}, func() (cloudflare.Thing, error) {
		return g.inner.Get(ctx, kind, id)
	})
}

// Find implements cloudflare.Account.
func (g *guarded) Find(ctx context.Context, kind cloudflare.Kind, name string) ([]cloudflare.Thing, error) {
	return guard(g, cloudflare.Op(cloudflare.OpFind, kind), []scope{{kind, looking}}, func() ([]cloudflare.Thing, error) {
		return g.inner.Find(ctx, kind, name)
	})
}

// List implements cloudflare.Account.
func (g *guarded) List(ctx context.Context, kind cloudflare.Kind) ([]cloudflare.Thing, error) {
	return guard(g, cloudflare.Op(cloudflare.OpList, kind), []scope{{kind, looking}}, func() ([]cloudflare.Thing, error) {
		return g.inner.List(ctx, kind)
	})
}

// Do implements cloudflare.Account.
func (g *guarded) Do(ctx context.Context, s cloudflare.Step) (cloudflare.Thing, error) {
	op, scopes := cloudflare.Op(s.Verb, s.Kind), []scope{{s.Kind, writing}}
	if s.Verb == cloudflare.Create {
		scopes = append(scopes, scope{s.Kind, making})
	}
	if g.actuation == v1alpha1.ActuationDryRun {
		return cloudflare.Thing{}, &cloudflare.Error{Op: op, Meaning: ErrDryRun}
	}
	thing, err := guard(g, op, scopes, func() (cloudflare.Thing, error) { return g.inner.Do(ctx, s) })
	if err == nil && s.Verb == cloudflare.Delete {
		g.directory.roomMade(g.account, s.Kind)
	}
	return thing, err
}

// Token implements cloudflare.Account.
func (g *guarded) Token(ctx context.Context) (cloudflare.Token, error) {
	return guard(g, "verify API token", nil, func() (cloudflare.Token, error) { return g.inner.Token(ctx) })
}

func guard[T any](g *guarded, op string, scopes []scope, call func() (T, error)) (T, error) {
	var nothing T
	if g.actuation == v1alpha1.ActuationPaused {
		return nothing, &cloudflare.Error{Op: op, Meaning: ErrPaused}
	}
	if err := g.directory.admit(g.account, g.token, op, scopes); err != nil {
		return nothing, err
	}
	got, err := call()
	g.directory.learn(g.account, g.token, scopes, err)
	return got, err
}

// admit refuses what Cloudflare has just refused.
func (d *Directory) admit(key client.ObjectKey, token fingerprint, op string, scopes []scope) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	e, now := d.entry(key), d.Clock.Now()
	if p := e.refused[token]; p != nil {
		meaning := cloudflare.ErrUnauthorized
		if p.Reason == v1alpha1.ReasonWrongAccount {
			meaning = cloudflare.ErrWrongAccount
		}
		return &cloudflare.Error{Op: op, Meaning: meaning, After: p.After}
	}
	for _, s := range scopes {
		if h := e.holds[s]; h != nil && now.Before(h.until) {
			again := *h.err
			again.Op, again.After = op, h.until.Sub(now)
			return &again
		}
	}
	for _, s := range scopes {
		if h := e.holds[s]; h != nil {
			h.until = now.Add(holdFor) // this call is the one to try
		}
	}
	return nil
}

// learn remembers what a call's outcome says of calls like it.
func (d *Directory) learn(key client.ObjectKey, token fingerprint, scopes []scope, err error) {
	d.mu.Lock()
	news := d.entry(key).learn(token, scopes, err, d.Clock.Now())
	d.mu.Unlock()
	if news {
		d.accounts.ring(key)
	}
}

// learn tells whether the account's conditions change by it.
func (e *entry) learn(token fingerprint, scopes []scope, err error, now time.Time) (news bool) {
	var refused *cloudflare.Error
	last := len(scopes) - 1
	switch {
	case e.token != token:
		return false // of a token that isn't in use any more
	case err == nil:
		return e.release(scopes)
	case errors.Is(err, cloudflare.ErrUnauthorized):
		return e.doubt(token, v1alpha1.ReasonTokenInvalid, "Cloudflare refuses the account's token; its CloudflareAccount says more")
	case errors.Is(err, cloudflare.ErrWrongAccount):
		return e.doubt(token, v1alpha1.ReasonWrongAccount, "there is no such account for the token; its CloudflareAccount says more")
	case !errors.As(err, &refused):
		return false
	case errors.Is(err, cloudflare.ErrForbidden) && last >= 0:
		return e.hold(scopes[0], refused, now)
	case errors.Is(err, cloudflare.ErrQuota) && last >= 0 && scopes[last].act == making:
		// Only of things: that one index has its ten metadata indexes says nothing of others.
		return e.hold(scopes[last], refused, now)
	}
	for _, s := range scopes {
		if h := e.holds[s]; h != nil {
			h.until = now // it told nothing about what holds back
		}
	}
	return false
}

// release ends the holds that a call has proved wrong.
func (e *entry) release(scopes []scope) (news bool) {
	for _, s := range scopes {
		if e.holds[s] != nil {
			delete(e.holds, s)
			e.recovered, news = true, true
		}
	}
	return news
}

func (e *entry) doubt(token fingerprint, reason, message string) (news bool) {
	if e.refused[token] != nil {
		return false
	}
	e.refused[token] = &Problem{reason, message, verifyEvery}
	return true
}

func (e *entry) hold(s scope, err *cloudflare.Error, now time.Time) bool {
	known := e.holds[s]
	h := &hold{err: err, until: now.Add(holdFor)}
	if l := e.lists[s.kind]; l != nil {
		h.used = l.total
	}
	e.holds[s] = h
	return known == nil
}

// roomMade lets the next one be made: something of the kind was deleted.
func (d *Directory) roomMade(key client.ObjectKey, kind cloudflare.Kind) {
	d.mu.Lock()
	e := d.entry(key)
	h := e.holds[scope{kind, making}]
	if h != nil {
		h.until = d.Clock.Now()
		e.recovered = true
	}
	d.mu.Unlock()
	if h != nil {
		d.accounts.ring(key)
	}
}
