package binding

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/account"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
)

// AnnotationLetGo on a binding that is being deleted, with the value "true", lets it go
// though what it made can't be deleted.
const AnnotationLetGo = "ai.crispy-enigma.dev/let-go"

// finalize does with the thing what the deletion policy says, one effect a pass, the last
// made first, then lets the binding go.
//
//	what was begun → found and deleted    next → old → the thing → the Secret
func (p *pass) finalize(ctx context.Context) (*verdict, error) {
	if !controllerutil.ContainsFinalizer(p.b, Finalizer) {
		return nil, nil
	}
	if p.b.Annotations[AnnotationLetGo] == "true" {
		p.warned("LetGo", "the binding was let go by its annotation; account %s may still hold %s", p.b.Status.AccountID, p.holdings())
		return nil, p.release(ctx)
	}
	if !p.pending() {
		return nil, p.release(ctx)
	}
	if !deletes(p.b) && !p.worthless() {
		p.happened("Retained", "account %s keeps %s; adopt it with spec.existingID, or delete it there", p.b.Status.AccountID, p.holdings())
		return nil, p.release(ctx)
	}
	if v, err := p.openToDelete(ctx); v != nil || err != nil {
		return v, err
	}
	v, err := p.deleteNext(ctx)
	if errors.Is(err, cloudflare.ErrUnauthorized) || errors.Is(err, cloudflare.ErrWrongAccount) {
		return p.credentialsGone(steady(err)), nil
	}
	return v, err
}

// pending tells whether something may exist outside.
func (p *pass) pending() bool {
	s := p.b.Status
	return s.ID != "" || s.Create != nil || s.Next != nil || len(s.Old) > 0
}

// worthless tells whether a token may have been begun whose value nobody has: it is
// deleted whatever the policy.
func (p *pass) worthless() bool {
	return p.b.Spec.Type == v1alpha1.BindingAPIToken && p.b.Status.Create != nil
}

// holdings names what the binding has outside.
func (p *pass) holdings() string {
	s := p.b.Status
	out := noun(p.b)
	switch {
	case s.ID != "":
		out += fmt.Sprintf(" %q (id %s)", s.Name, s.ID)
	case s.Create != nil:
		out += fmt.Sprintf(" %q, if it came about", s.Create.Name)
	}
	if s.Next != nil {
		out += fmt.Sprintf(", %q", s.Next.ID)
	}
	for _, old := range s.Old {
		out += fmt.Sprintf(", %q", old.ID)
	}
	return out
}

// openToDelete opens the account: without its credentials nothing can be deleted, and a
// person must say what then.
func (p *pass) openToDelete(ctx context.Context) (*verdict, error) {
	var problem *account.Problem
	var err error
	p.account, err = p.Accounts.Open(ctx, accountKey(p.b))
	switch {
	case errors.As(err, &problem) && problem.Reason != v1alpha1.ReasonPaused:
		return p.credentialsGone(problem.Message), nil
	case err != nil:
		return nil, err
	case p.account.Account.Spec.Actuation == v1alpha1.ActuationPaused:
		return nil, account.ErrPaused
	}
	p.account = p.Metrics.counting(p.account)
	if elsewhere := p.elsewhere(); elsewhere != "" {
		return p.credentialsGone(elsewhere), nil
	}
	p.b.Status.AccountID = p.account.Account.Spec.AccountID
	return nil, nil
}

func (p *pass) credentialsGone(why string) *verdict {
	return stall(v1alpha1.ReasonCredentialsGone, fmt.Sprintf(
		"%s can't be deleted: %s; mend that, or let the binding go and delete it yourself: kubectl annotate cloudflarebinding %s %s=true",
		p.holdings(), why, p.b.Name, AnnotationLetGo))
}

// deleteNext deletes one thing; something is left to delete.
func (p *pass) deleteNext(ctx context.Context) (*verdict, error) {
	s := &p.b.Status
	switch {
	case s.Create != nil:
		return p.deleteBegun(ctx)
	case s.Next != nil:
		return p.deleteOne(ctx, s.Next.ID, func() { s.Next = nil })
	case len(s.Old) > 0:
		return p.deleteOne(ctx, s.Old[0].ID, func() { s.Old = s.Old[1:] })
	}
	return p.deleteOne(ctx, s.ID, func() { s.ID = "" })
}

func (p *pass) deleting(after time.Duration) *verdict {
	return wait(v1alpha1.ReasonDeleting, fmt.Sprintf("%s is being deleted", p.holdings()), after)
}

func (p *pass) deleteOne(ctx context.Context, id string, done func()) (*verdict, error) {
	step := cloudflare.Step{Verb: cloudflare.Delete, Kind: p.kind(), ID: id, Settings: cloudflare.Settings{Jurisdiction: settings(p.b).Jurisdiction}, Why: "the binding is deleted"}
	if v := p.dry(step); v != nil {
		return v, nil
	}
	if _, err := p.do(ctx, step); err != nil && !errors.Is(err, cloudflare.ErrNotFound) {
		return nil, err
	}
	done()
	p.happened("Deleted", "%s %q was deleted", noun(p.b), id)
	return p.deleting(atOnce), nil
}

// deleteBegun finds out whether what was begun came about, and deletes it. What can't be
// known yet is waited for.
func (p *pass) deleteBegun(ctx context.Context) (*verdict, error) {
	s := &p.b.Status
	begun := s.Create
	if p.b.Spec.Type == v1alpha1.BindingAPIToken {
		secret, conflict, err := p.secret(ctx)
		if err != nil {
			return nil, err
		}
		if id := secret.proves(begun.Nonce); conflict == nil && id != "" {
			p.takeToken(id, "")
			return p.deleting(atOnce), nil
		}
		gone, err := p.deleteWorthless(ctx)
		if gone {
			s.Create = nil
		}
		return p.deleting(patience), err
	}
	thing, err := p.find(ctx, begun.Name)
	switch {
	case err != nil:
		return nil, err
	case thing != nil && (begun.Name != p.b.Spec.Name || madeSince(*thing, begun)):
		return p.deleteOne(ctx, thing.ID, func() { s.Create = nil })
	case thing != nil || !p.Clock.Now().Before(begun.At.Add(listGrace)):
		s.Create = nil // another's, or nothing came of it
		return p.deleting(atOnce), nil
	}
	return p.deleting(patience), nil
}

// release drops the Secret of a token that is deleted, then the finalizer.
func (p *pass) release(ctx context.Context) error {
	if p.b.Spec.Type == v1alpha1.BindingAPIToken && deletes(p.b) {
		if err := p.dropSecret(ctx); err != nil {
			return err
		}
	}
	return p.removeFinalizer(ctx)
}
