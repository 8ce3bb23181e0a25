package binding

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/account"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
)

const (
	// listGrace is how long after a write-ahead it is known whether the thing was made:
	// the call leaves within a pass's minute, and a LIST lags by no more than two.
	listGrace = 3 * time.Minute
	// patience is how often something that comes by itself is looked for.
	patience = 10 * time.Second
)

// begin makes the thing, or adopts it where the spec says which it is.
//
// A generated name needs no look before: it holds the binding's UID, so that who has it
// can only be an earlier, forgotten, attempt of this very binding.
func (p *pass) begin(ctx context.Context) (*verdict, error) {
	if p.kind() == cloudflare.APIToken {
		return p.mint(ctx)
	}
	name := cloudflare.Name(p.identity(), p.kind())
	if p.b.Spec.Name != "" {
		name = p.b.Spec.Name
	}
	if replaced(p.b, name) {
		name = p.nextName() // what has the first name is to be removed
	} else if v, err := p.claim(ctx); v != nil || err != nil {
		return v, err
	}
	want, missing, err := p.want(ctx, name)
	if missing != nil || err != nil {
		return missing, err
	}
	return p.create(ctx, want)
}

// create makes what is wanted under a name that nothing has: write down, call, and the
// pass's end writes down what came of it.
func (p *pass) create(ctx context.Context, want cloudflare.Want) (*verdict, error) {
	steps, err := cloudflare.Plan(want, nil)
	if err != nil {
		return nil, err
	}
	if v := p.dry(steps[0]); v != nil {
		return v, nil
	}
	nonce, err := p.nonce()
	if err != nil {
		return nil, err
	}
	again := p.b.Status.Create != nil
	if err := p.intend(ctx, want.Name, nonce); err != nil {
		return nil, err
	}
	thing, err := p.do(ctx, steps[0])
	switch {
	case err == nil:
		if thing.Settings.MetadataIndexes == nil {
			thing.Settings.MetadataIndexes = map[string]string{} // a new index has none
		}
		p.accept(thing, false)
		p.happened("Created", "%s %q was made", noun(p.b), thing.Name)
		return p.made(want, thing), nil
	case errors.Is(err, cloudflare.ErrNameTaken) && want.Name != p.b.Spec.Name:
		// An attempt of ours had its effect after all: the next pass finds it.
		return p.undecided(), nil
	case nothingDone(err) && !again:
		p.b.Status.Create = nil
	}
	return nil, err
}

// nothingDone tells the errors that say that a call had no effect.
func nothingDone(err error) bool {
	for _, meaning := range []error{
		cloudflare.ErrNameTaken, cloudflare.ErrNotFound, cloudflare.ErrUnauthorized, cloudflare.ErrForbidden, cloudflare.ErrWrongAccount,
		cloudflare.ErrQuota, cloudflare.ErrRateLimited, cloudflare.ErrInvalid, cloudflare.ErrUnavailable,
		account.ErrPaused, account.ErrDryRun,
	} {
		if errors.Is(err, meaning) {
			return true
		}
	}
	return false
}

// resolve finds out what became of a creation that was begun.
func (p *pass) resolve(ctx context.Context) (*verdict, error) {
	if p.kind() == cloudflare.APIToken {
		return p.resolveToken(ctx)
	}
	begun := p.b.Status.Create
	found, err := p.find(ctx, begun.Name)
	if err != nil {
		return nil, err
	}
	if found != nil {
		return p.recover(*found)
	}
	if !p.kind().NameIsID() && p.Clock.Now().Before(begun.At.Add(listGrace)) {
		return p.undecided(), nil
	}
	// Absent. Making it again is safe: a name that is an id can't be had twice, and what
	// has an id from the server would be listed by now.
	want, missing, err := p.want(ctx, begun.Name)
	if missing != nil || err != nil {
		return missing, err
	}
	return p.create(ctx, want)
}

// find reads the thing of a name, nil if there is none. A list may still show what is
// gone: only what can be read by its id counts.
func (p *pass) find(ctx context.Context, name string) (*cloudflare.Thing, error) {
	found, err := p.account.Edit.Find(ctx, p.kind(), name)
	if err != nil {
		return nil, err
	}
	for _, f := range found {
		thing, err := p.account.Edit.Get(ctx, p.kind(), f.ID)
		if errors.Is(err, cloudflare.ErrNotFound) {
			continue
		}
		return &thing, err
	}
	return nil, nil
}

// recover takes what a forgotten attempt made.
func (p *pass) recover(thing cloudflare.Thing) (*verdict, error) {
	begun := p.b.Status.Create
	if begun.Name == p.b.Spec.Name && !madeSince(thing, begun) {
		// A name that a person chose, and the thing was there before: the spec's adoption
		// decides, as if nothing had been begun.
		p.b.Status.Create = nil
		return wait(v1alpha1.ReasonCreating, fmt.Sprintf("%s %q was there before the binding", noun(p.b), begun.Name), atOnce), nil
	}
	p.accept(thing, false)
	p.happened("Created", "%s %q, which was begun before, was found", noun(p.b), thing.Name)
	return p.goOn(), nil
}

// clockSkew between this cluster and Cloudflare.
const clockSkew = 5 * time.Minute

// madeSince tells whether the thing can be what was begun. Where Cloudflare doesn't tell
// when it was made, the look before the attempt, which found nothing, must do.
func madeSince(thing cloudflare.Thing, begun *v1alpha1.PendingCreate) bool {
	return thing.CreatedAt.IsZero() || !thing.CreatedAt.Before(begun.At.Add(-clockSkew))
}

// undecided waits until it can be known whether the thing was made.
func (p *pass) undecided() *verdict {
	return retry(v1alpha1.ReasonCreating, fmt.Sprintf("%s %q was asked for and the answer was lost; it is looked for before it is asked for again", noun(p.b), p.b.Status.Create.Name), 0)
}

// made ends the pass that made a thing. If nothing is left to do the binding is Ready by
// what Cloudflare has just answered; whatever is left is the next pass's.
func (p *pass) made(want cloudflare.Want, thing cloudflare.Thing) *verdict {
	s := p.b.Status
	steps, err := cloudflare.Plan(want, &thing)
	switch {
	case err != nil || s.Next != nil || len(s.Old) > 0 || p.strayed() != "":
		return p.goOn()
	case len(steps) > 0 && steps[0].Verb == cloudflare.CreateIndex:
		return p.indexing(want, thing, atOnce)
	case len(steps) > 0:
		return p.goOn()
	}
	p.memory.unknow(p.b.UID)
	p.saw()
	return ready(v1alpha1.ReasonReady, p.asItShallBe(), p.next())
}

// goOn lets the next pass take the next step.
func (p *pass) goOn() *verdict {
	return p.going(v1alpha1.ReasonCreating, fmt.Sprintf("%s %q is there and is being set up", noun(p.b), p.b.Status.Name), atOnce)
}

// accept records a thing as the binding's: the one that serves, or the index that is to
// replace it.
func (p *pass) accept(thing cloudflare.Thing, adopted bool) {
	s := &p.b.Status
	s.Create = nil
	if p.kind() == cloudflare.Vectorize && s.ID != "" {
		s.Next = &v1alpha1.NextIndex{ID: thing.ID, Dimensions: int32(thing.Settings.Dimensions), Metric: thing.Settings.Metric}
		return
	}
	s.ID, s.Name, s.Adopted = thing.ID, thing.Name, adopted
	s.Dimensions, s.Metric = int32(thing.Settings.Dimensions), thing.Settings.Metric
	s.ObservedAt = &metav1.Time{Time: p.Clock.Now()}
	p.memory.know(p.b.UID, thing, p.Clock.Now())
}

// nonce tells one attempt from another.
func (p *pass) nonce() (string, error) {
	b := make([]byte, 8)
	if _, err := io.ReadFull(p.Random, b); err != nil {
		return "", fmt.Errorf("reading random bytes: %w", err)
	}
	return hex.EncodeToString(b), nil
}
