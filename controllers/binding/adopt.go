package binding

import (
	"context"
	"errors"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
)

// claim looks for what the spec names: a thing that exists becomes the binding's if its
// adoption allows it. No verdict means that it is to be made.
//
//	existingID: there → adopt                    not there → Stalled
//	name:       there → adopt, as spec.adoption  not there → make it
//	neither:    make it
func (p *pass) claim(ctx context.Context) (*verdict, error) {
	spec := p.b.Spec
	if spec.ExistingID == "" && spec.Name == "" {
		return nil, nil
	}
	if spec.Type == v1alpha1.BindingAIGateway && (spec.ExistingID == "default" || spec.Name == "default") {
		return stall(v1alpha1.ReasonNameTaken, `the AI Gateway "default" is Cloudflare's, which makes it again whenever it is called; name another, or use it through spec.gatewayID of the CloudflareAccount`), nil
	}
	if rival, err := p.rival(ctx); rival != nil || err != nil {
		return rival, err
	}
	thing, err := p.named(ctx)
	switch {
	case errors.Is(err, cloudflare.ErrNotFound) && spec.ExistingID != "":
		return stall(v1alpha1.ReasonNotFound, fmt.Sprintf("spec.existingID: account %s has no %s %q; correct it in a new CloudflareBinding, or leave it out to have one made", p.b.Status.AccountID, noun(p.b), spec.ExistingID)), nil
	case errors.Is(err, cloudflare.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return p.adopt(ctx, thing)
}

// named reads the thing that the spec names, or is cloudflare.ErrNotFound.
func (p *pass) named(ctx context.Context) (cloudflare.Thing, error) {
	if p.b.Spec.ExistingID != "" {
		return p.account.Edit.Get(ctx, p.kind(), p.b.Spec.ExistingID)
	}
	found, err := p.find(ctx, p.b.Spec.Name)
	if err != nil {
		return cloudflare.Thing{}, err
	}
	if found == nil {
		return cloudflare.Thing{}, cloudflare.ErrNotFound
	}
	return *found, nil
}

// adopt takes a thing that was there before, if that is allowed and it can become what
// the spec says.
func (p *pass) adopt(ctx context.Context, thing cloudflare.Thing) (*verdict, error) {
	switch p.b.Spec.Adoption {
	case v1alpha1.AdoptNever:
		return stall(v1alpha1.ReasonNameTaken, fmt.Sprintf("account %s has a %s %q already; choose another spec.name, or set spec.adoption to IfOwned or Force", p.b.Status.AccountID, noun(p.b), thing.Name)), nil
	case v1alpha1.AdoptForce:
	default:
		if !cloudflare.OwnedBy(thing.Name, p.account.OwnerID) {
			return stall(v1alpha1.ReasonForeignOwner, fmt.Sprintf("%s %q isn't this operator's, by its name; set spec.adoption to Force if it shall be, or choose another", noun(p.b), thing.Name)), nil
		}
	}
	want, missing, err := p.want(ctx, thing.Name)
	if missing != nil || err != nil {
		return missing, err
	}
	if replaces(p.b) {
		want.Settings.Dimensions, want.Settings.Metric = 0, ""
	}
	if _, err := cloudflare.Plan(want, &thing); err != nil {
		return nil, err
	}
	if v := p.dry(cloudflare.Step{Verb: "adopt", Kind: p.kind(), ID: thing.ID, Name: thing.Name, Why: "the spec names it"}); v != nil {
		return v, nil
	}
	if err := p.ensureFinalizer(ctx); err != nil {
		return nil, err
	}
	p.accept(thing, true)
	p.happened("Adopted", "%s %q is this binding's now", noun(p.b), thing.Name)
	return p.goOn(), nil
}

// remember finds what the binding had where its status was lost, as in a restore of an
// older copy of the API server's. That it had something shows in the finalizer, without
// the account that the first status of all names; a name of the spec's own is for claim to
// find. Where a creation was refused there is a status, and the look is saved.
func (p *pass) remember(ctx context.Context) (*verdict, error) {
	if !controllerutil.ContainsFinalizer(p.b, Finalizer) || p.base.Status.AccountID != "" || p.b.Spec.ExistingID != "" {
		return nil, nil
	}
	var found *cloudflare.Thing
	var err error
	switch {
	case p.kind() == cloudflare.APIToken:
		found, err = p.kept(ctx)
	case p.b.Spec.Name == "":
		found, err = p.find(ctx, cloudflare.Name(p.identity(), p.kind()))
	}
	if found == nil || err != nil || replaced(p.b, found.ID) {
		return nil, err
	}
	p.accept(*found, false)
	p.happened("Created", "%s %q, which the status had forgotten, was found", noun(p.b), found.Name)
	return p.goOn(), nil
}

// kept is the token that the binding's Secret holds; nil if there is none.
func (p *pass) kept(ctx context.Context) (*cloudflare.Thing, error) {
	secret, conflict, err := p.secret(ctx)
	if secret == nil || conflict != nil || err != nil || len(secret.Data[SecretID]) == 0 {
		return nil, err
	}
	thing, err := p.account.Edit.Get(ctx, cloudflare.APIToken, string(secret.Data[SecretID]))
	if errors.Is(err, cloudflare.ErrNotFound) {
		return nil, nil
	}
	return &thing, err
}

// rival looks for another binding of the same thing. Who has it keeps it; of two that
// only ask for it the older gets it.
func (p *pass) rival(ctx context.Context) (*verdict, error) {
	all, err := p.all(ctx)
	if err != nil {
		return nil, err
	}
	thing := p.b.Spec.ExistingID + p.b.Spec.Name
	for i := range all {
		other := &all[i]
		if other.UID == p.b.UID || other.Spec.Type != p.b.Spec.Type || !p.sameAccount(other) {
			continue
		}
		// One that it has replaced is removed with its time.
		if has := other.Status.ID == thing || other.Status.Name == thing || replaced(other, thing); has || asks(other, thing) && older(other, p.b) {
			return stall(v1alpha1.ReasonNameTaken, fmt.Sprintf("CloudflareBinding %s has %s %q; refer to that binding, or name another thing", client.ObjectKeyFromObject(other), noun(p.b), thing)), nil
		}
	}
	return nil, nil
}

// all are the bindings that the operator may read, as they are now.
func (p *pass) all(ctx context.Context) ([]v1alpha1.CloudflareBinding, error) {
	namespaces := p.Namespaces
	if len(namespaces) == 0 {
		namespaces = []string{""} // every one
	}
	var out []v1alpha1.CloudflareBinding
	for _, ns := range namespaces {
		var list v1alpha1.CloudflareBindingList
		if err := p.Live.List(ctx, &list, client.InNamespace(ns)); err != nil {
			return nil, fmt.Errorf("listing the bindings: %w", err)
		}
		out = append(out, list.Items...)
	}
	return out, nil
}

func (p *pass) sameAccount(other *v1alpha1.CloudflareBinding) bool {
	return accountKey(other) == accountKey(p.b) || other.Status.AccountID == p.b.Status.AccountID
}

func asks(b *v1alpha1.CloudflareBinding, thing string) bool {
	return b.Spec.ExistingID == thing || b.Spec.Name == thing ||
		b.Status.Create != nil && b.Status.Create.Name == thing || b.Status.Next != nil && b.Status.Next.ID == thing
}

func older(a, b *v1alpha1.CloudflareBinding) bool {
	if !a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return a.CreationTimestamp.Before(&b.CreationTimestamp)
	}
	return a.UID < b.UID
}
