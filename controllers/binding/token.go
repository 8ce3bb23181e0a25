package binding

import (
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/account"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
)

// A token's value is shown once, to who makes it, and its name isn't unique. So each
// attempt has a nonce in its token's name, and the Secret that holds the value is the
// proof that the attempt succeeded:
//
//	write down nonce → make token → Secret with value and nonce → id into the status
//
// After a crash the Secret has the nonce: go on with its id. It hasn't: every token with
// the nonce is worthless and is deleted; once no more can appear, another is made.

// Defaults of a token, where the schema's weren't applied.
const (
	defaultRotateAfter = 90 * 24 * time.Hour
	defaultOverlap     = time.Hour
)

// Who may delete a token's Secret may do so in a loop; the account has room for 500
// tokens, and its budget is everybody's.
const (
	// mintPause is between a token and the next, where its Secret was lost.
	mintPause = 30 * time.Second
	// mostOld tokens work on beside the one that serves.
	mostOld = 3
)

// mint makes a token beside the one that serves, if there is one.
func (p *pass) mint(ctx context.Context) (*verdict, error) {
	nonce, err := p.nonce()
	if err != nil {
		return nil, err
	}
	name := p.tokenName(nonce)
	want, missing, err := p.want(ctx, name)
	if missing != nil || err != nil {
		return missing, err
	}
	secret, conflict, err := p.secret(ctx)
	if conflict != nil || err != nil {
		return conflict, err
	}
	step := cloudflare.Step{Verb: cloudflare.Create, Kind: cloudflare.APIToken, Name: name, Settings: want.Settings, Why: p.whyMint()}
	if v := p.dry(step); v != nil {
		return v, nil
	}
	if err := p.intend(ctx, name, nonce); err != nil {
		return nil, err
	}
	thing, err := p.do(ctx, step)
	if err != nil {
		if nothingDone(err) {
			p.b.Status.Create = nil
		}
		return nil, err
	}
	// From here the token lives. If its value can't be kept it is found by its nonce and
	// deleted.
	if err := p.keepValue(ctx, secret, thing); err != nil {
		return nil, err
	}
	p.takeToken(thing.ID, policyHash(want.Settings.Policies))
	p.memory.know(p.b.UID, thing, p.Clock.Now())
	return p.made(want, thing), nil
}

func (p *pass) whyMint() string {
	if p.b.Status.ID == "" {
		return "there is none"
	}
	return "the one before is to be replaced"
}

func (p *pass) tokenName(nonce string) string {
	if p.b.Spec.Name != "" {
		return p.b.Spec.Name + "-" + nonce
	}
	id := p.identity()
	id.Generation, id.Nonce = p.b.Spec.APIToken.Revision, nonce
	return cloudflare.Name(id, cloudflare.APIToken)
}

// takeToken makes a token the one that serves; the one before works until the overlap
// ends.
func (p *pass) takeToken(id, policies string) {
	s, spec := &p.b.Status, p.b.Spec.APIToken
	begun := s.Create
	if s.ID != "" && s.ID != id {
		s.Old = append(s.Old, v1alpha1.OldThing{ID: s.ID, RemoveAfter: metav1.NewTime(p.Clock.Now().Add(durationOf(spec.Overlap, defaultOverlap)))})
		p.happened("Rotated", "the token in Secret %q was replaced; the one before works until its overlap ends", secretName(p.b))
		p.Metrics.rotated()
	} else {
		p.happened("Created", "an API token was made; it is in Secret %q", secretName(p.b))
	}
	s.ID, s.Name, s.Create = id, begun.Name, nil
	s.Token = &v1alpha1.TokenStatus{SecretName: secretName(p.b), Revision: spec.Revision, PolicyHash: policies, CreatedAt: begun.At.DeepCopy()}
	s.ObservedAt = &metav1.Time{Time: p.Clock.Now()}
}

func durationOf(d *metav1.Duration, otherwise time.Duration) time.Duration {
	if d == nil {
		return otherwise
	}
	return d.Duration
}

// resolveToken finds out what became of a token that was begun.
func (p *pass) resolveToken(ctx context.Context) (*verdict, error) {
	secret, conflict, err := p.secret(ctx)
	if conflict != nil || err != nil {
		return conflict, err
	}
	if id := secret.proves(p.b.Status.Create.Nonce); id != "" {
		p.takeToken(id, "") // what it may do is compared by the next pass
		return p.goOn(), nil
	}
	gone, err := p.deleteWorthless(ctx)
	switch {
	case err != nil:
		return nil, err
	case !gone:
		return p.undecided(), nil
	}
	p.b.Status.Create = nil
	return p.going(v1alpha1.ReasonCreating, "an API token whose value was lost was deleted; another is made", atOnce), nil
}

// deleteWorthless deletes a token that was begun and whose value nobody has. It tells
// whether none is left and none can appear any more.
func (p *pass) deleteWorthless(ctx context.Context) (gone bool, err error) {
	begun := p.b.Status.Create
	found, err := p.account.Edit.Find(ctx, cloudflare.APIToken, begun.Name)
	if err != nil {
		return false, err
	}
	if len(found) == 0 {
		return !p.Clock.Now().Before(begun.At.Add(listGrace)), nil
	}
	if p.account.Account.Spec.Actuation == v1alpha1.ActuationDryRun {
		return false, account.ErrDryRun
	}
	_, err = p.do(ctx, cloudflare.Step{Verb: cloudflare.Delete, Kind: cloudflare.APIToken, ID: found[0].ID, Name: begun.Name, Why: "its value was lost"})
	if err != nil && !errors.Is(err, cloudflare.ErrNotFound) {
		return false, err
	}
	p.happened("Revoked", "API token %q, whose value was lost, was deleted", begun.Name)
	// One attempt makes one token at most.
	return len(found) == 1, nil
}

// revokeOldest makes room for another token, before the overlap has run.
func (p *pass) revokeOldest(ctx context.Context) (*verdict, error) {
	old := p.b.Status.Old[0]
	step := cloudflare.Step{Verb: cloudflare.Delete, Kind: cloudflare.APIToken, ID: old.ID, Why: "too many were made since"}
	if v := p.dry(step); v != nil {
		return v, nil
	}
	if _, err := p.do(ctx, step); err != nil && !errors.Is(err, cloudflare.ErrNotFound) {
		return nil, err
	}
	p.b.Status.Old = p.b.Status.Old[1:]
	p.happened("Removed", "API token %q was revoked before its overlap ended: too many were made since", old.ID)
	return p.goOn(), nil
}

// rotation is why and when the token is replaced; at once if when is past.
func (p *pass) rotation(secret *kept) (why string, when time.Time) {
	spec, s := p.b.Spec.APIToken, p.b.Status.Token
	switch {
	case s == nil || s.CreatedAt == nil:
		return "nothing is known of the one before", time.Time{}
	case !secret.holds(p.b.Status.ID):
		return fmt.Sprintf("Secret %q doesn't hold it any more", secretName(p.b)), s.CreatedAt.Add(mintPause)
	case spec.Revision > s.Revision:
		return "spec.apiToken.revision was raised", time.Time{}
	}
	return "it is as old as spec.apiToken.rotateAfter lets it become", s.CreatedAt.Add(durationOf(spec.RotateAfter, defaultRotateAfter))
}
