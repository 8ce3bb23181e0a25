package account

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
)

const (
	// verifyEvery is how often a token is asked how it is, one that is refused too.
	verifyEvery = 10 * time.Minute
	// verifyTimeout bounds the question, its wait for the budget with it.
	verifyTimeout = 20 * time.Second
)

// verification is what Cloudflare said of the tokens when it was asked last.
type verification struct {
	at         time.Time
	generation int64
	// current is the token that spec.credentials.secretRef held then.
	current fingerprint
	// expiresAt is when current expires, as far as Cloudflare has told.
	expiresAt time.Time
	// previous tells that the one of previousSecretRef is used in its place.
	previous bool
	// token is what is known of the one that is used.
	token cloudflare.Token
	// problem that a person must mend; nil if the token is good.
	problem *Problem
	// contradicted is when a token was last found good though a call was refused.
	contradicted time.Time
}

// verify asks Cloudflare about the account's tokens if it is time to: at first, when the
// spec or the token changed, when a call was refused, and every verifyEvery. An error
// means that nothing new is known.
func (d *Directory) verify(ctx context.Context, a *v1alpha1.CloudflareAccount) (verification, error) {
	key := client.ObjectKeyFromObject(a)
	current, err := d.current(ctx, a)
	if err != nil {
		return verification{}, err
	}
	d.remember(a, current)
	known, doubt, fresh := d.known(a, current.print)
	if fresh {
		return known, nil
	}
	v := verification{at: d.Clock.Now(), generation: a.Generation, current: current.print, contradicted: known.contradicted}
	refused := map[fingerprint]*Problem{}
	used := current
	if v.token, v.problem, err = d.ask(ctx, a, current); err != nil {
		return verification{}, err
	}
	v.expiresAt = v.token.ExpiresAt
	if v.expiresAt.IsZero() && known.current == current.print && v.problem != nil {
		v.expiresAt = known.expiresAt // what is refused isn't told of any more
	}
	if v.problem == nil && doubt != nil {
		v.settle(a, current, doubt)
	}
	if v.problem != nil {
		refused[current.print] = v.problem
		previous, err := d.previous(ctx, a, v.problem)
		if err != nil {
			return verification{}, err
		}
		if previous != nil {
			token, problem, err := d.ask(ctx, a, *previous)
			switch {
			case err != nil:
				return verification{}, err
			case problem != nil:
				refused[previous.print] = problem
			default:
				v.token, v.problem, v.previous, used = token, nil, true, *previous
			}
		}
	}
	d.conclude(key, v, used.print, refused)
	return v, nil
}

// known is what was found last, and whether it needn't be asked again. doubt is why a
// call was refused since.
func (d *Directory) known(a *v1alpha1.CloudflareAccount, current fingerprint) (v verification, doubt *Problem, fresh bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.entry(client.ObjectKeyFromObject(a))
	v = e.verified
	if v.problem == nil {
		doubt = e.refused[current]
	}
	doubted := v.problem == nil && e.refused[e.token] != nil
	return v, doubt, !v.at.IsZero() && v.generation == a.Generation && v.current == current && !doubted && d.Clock.Since(v.at) < verifyEvery
}

// settle decides where Cloudflare calls the token good and refused a call all the same.
// Of the account only calls tell. A token is given one more try, not one after the other.
func (v *verification) settle(a *v1alpha1.CloudflareAccount, c credential, doubt *Problem) {
	switch {
	case doubt.Reason == v1alpha1.ReasonWrongAccount:
		v.problem = wrongAccount(a)
	case v.at.Sub(v.contradicted) < verifyEvery:
		v.problem = tokenInvalid(c)
	default:
		v.contradicted = v.at
	}
}

// conclude replaces what was known of the tokens.
func (d *Directory) conclude(key client.ObjectKey, v verification, used fingerprint, refused map[fingerprint]*Problem) {
	d.mu.Lock()
	e := d.entry(key)
	spec := !e.verified.at.IsZero() && e.verified.generation != v.generation
	if v.problem == nil && (e.verified.problem != nil || len(e.refused) > 0 || e.verified.current != v.current || spec) {
		e.recovered = true
	}
	e.verified, e.refused = v, refused
	if spec {
		e.holds = map[scope]*hold{} // a person has changed something: ask again
	}
	d.mu.Unlock()
	if v.problem == nil {
		d.use(key, used)
	}
}

// ask asks Cloudflare about one token. The Problem is a person's to mend.
func (d *Directory) ask(ctx context.Context, a *v1alpha1.CloudflareAccount, c credential) (cloudflare.Token, *Problem, error) {
	ctx, cancel := context.WithTimeout(ctx, verifyTimeout)
	defer cancel()
	token, err := d.Dial(optionsOf(a, c), cloudflare.Edit).Token(ctx)
	expired := !token.ExpiresAt.IsZero() && !d.Clock.Now().Before(token.ExpiresAt)
	switch {
	case errors.Is(err, cloudflare.ErrUnauthorized):
		return token, d.unauthorized(a, c), nil
	case errors.Is(err, cloudflare.ErrWrongAccount):
		return token, wrongAccount(a), nil
	case err != nil:
		return token, nil, err
	case expired:
		return token, tokenExpired(c, token.ExpiresAt), nil
	case !token.Active:
		return token, tokenInvalid(c), nil
	}
	return token, nil, nil
}

// unauthorized is why a token is refused, as far as it is known: an expired one is
// refused like one that never was.
func (d *Directory) unauthorized(a *v1alpha1.CloudflareAccount, c credential) *Problem {
	d.mu.Lock()
	v := d.entry(client.ObjectKeyFromObject(a)).verified
	d.mu.Unlock()
	if at := v.expiresAt; v.current == c.print && !at.IsZero() && !d.Clock.Now().Before(at) {
		return tokenExpired(c, at)
	}
	return tokenInvalid(c)
}

func tokenInvalid(c credential) *Problem {
	return &Problem{v1alpha1.ReasonTokenInvalid, fmt.Sprintf(
		"%s: Cloudflare refuses the token in Secret %q: it is unknown, disabled or expired; put one that is active into the Secret", c.field, c.secret), verifyEvery}
}

func tokenExpired(c credential, at time.Time) *Problem {
	return &Problem{v1alpha1.ReasonTokenExpired, fmt.Sprintf(
		"%s: the token in Secret %q expired at %s; make a new one in Cloudflare's dashboard and put it into the Secret", c.field, c.secret, at.UTC().Format(time.RFC3339)), verifyEvery}
}

func wrongAccount(a *v1alpha1.CloudflareAccount) *Problem {
	return &Problem{v1alpha1.ReasonWrongAccount, fmt.Sprintf(
		"spec.accountID: there is no account %s that the token has to do with; use a token of that account, or make a new CloudflareAccount with the id that the dashboard shows", a.Spec.AccountID), verifyEvery}
}
