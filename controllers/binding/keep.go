package binding

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
)

// keep brings the thing that there is to what the spec says, by one step at most.
//
//	gone → make it again    differs → change it    can't be changed → a new one beside it
//	token is old → a new one beside it    something replaced is due → remove it
func (p *pass) keep(ctx context.Context) (*verdict, error) {
	have, answered, err := p.have(ctx)
	if errors.Is(err, cloudflare.ErrNotFound) {
		return p.lost(ctx)
	}
	if err != nil {
		return nil, err
	}
	if p.b.Status.Dimensions == 0 {
		p.b.Status.Dimensions, p.b.Status.Metric = int32(have.Settings.Dimensions), have.Settings.Metric
	}
	want, missing, err := p.want(ctx, p.b.Status.Name)
	if missing != nil || err != nil {
		return missing, err
	}
	if replaces(p.b) {
		want.Settings.Dimensions, want.Settings.Metric = have.Settings.Dimensions, have.Settings.Metric
	}
	if v, err := p.change(ctx, want, have, answered); v != nil || err != nil {
		return v, err
	}
	if p.b.Spec.Type == v1alpha1.BindingAPIToken {
		return p.keepToken(ctx, want)
	}
	return p.conclude(ctx)
}

// have is the thing as Cloudflare says (answered), or as our last effect left it, if that
// was a moment ago.
func (p *pass) have(ctx context.Context) (thing cloudflare.Thing, answered bool, err error) {
	if thing, ok := p.memory.known(p.b.UID, p.b.Status.ID, p.Clock.Now()); ok {
		return thing, false, nil
	}
	thing, err = p.look(ctx, p.b.Status.ID)
	return thing, true, err
}

// pollPatience is how long a mere look waits for its turn: a worker that waits does
// nothing else.
const pollPatience = 2 * time.Second

// look reads a thing: of a binding that was Ready, behind whoever has something to do.
func (p *pass) look(ctx context.Context, id string) (cloudflare.Thing, error) {
	if !p.poll {
		return p.account.Edit.Get(ctx, p.kind(), id)
	}
	ctx, cancel := context.WithTimeout(ctx, pollPatience)
	defer cancel()
	return p.account.Poll.Get(ctx, p.kind(), id)
}

// change takes the first step from what there is to what is wanted; no verdict if there
// is none.
func (p *pass) change(ctx context.Context, want cloudflare.Want, have cloudflare.Thing, answered bool) (*verdict, error) {
	whole, building := p.memory.building(p.b.UID, have, p.Clock.Now())
	steps, err := cloudflare.Plan(want, &whole)
	if err != nil {
		return nil, err
	}
	if len(steps) == 0 {
		return p.built(want, have, building, answered), nil
	}
	step := steps[0]
	if v := p.dry(step); v != nil {
		return v, nil
	}
	after, err := p.do(ctx, step)
	// An index that is there and isn't shown yet was made by an earlier incarnation.
	if err != nil && !(step.Verb == cloudflare.CreateIndex && errors.Is(err, cloudflare.ErrNameTaken)) {
		return nil, err
	}
	p.memory.changed(p.b.UID, have, after, step, p.Clock.Now())
	if p.memory.repeats(p.b.UID, step, p.Clock.Now()) {
		return retry(v1alpha1.ReasonUpdating, fmt.Sprintf("%s %q: Cloudflare accepted a change and doesn't show it: %s; it is tried again by itself", noun(p.b), have.Name, step.Why), 0), nil
	}
	if step.Verb == cloudflare.CreateIndex && !settled(p.b) {
		// The first ones are told of together.
		if len(steps) == 1 {
			p.happened("Updated", "%s %q was given its metadata indexes: %s", noun(p.b), have.Name, strings.Join(slices.Sorted(maps.Keys(want.Settings.MetadataIndexes)), ", "))
		}
		return p.indexing(want, have, atOnce), nil
	}
	p.happened("Updated", "%s %q was changed: %s", noun(p.b), have.Name, step.Why)
	return p.going(v1alpha1.ReasonUpdating, fmt.Sprintf("%s %q is being changed to what the spec says", noun(p.b), have.Name), atOnce), nil
}

// going leaves Ready a binding that serves while it is worked on.
func (p *pass) going(reason, message string, after time.Duration) *verdict {
	v := wait(reason, message, after)
	v.unchanged = settled(p.b)
	return v
}

// built waits until Cloudflare shows the metadata indexes that were made: what is written
// before isn't in them.
func (p *pass) built(want cloudflare.Want, have cloudflare.Thing, building []string, answered bool) *verdict {
	if len(building) == 0 {
		return nil
	}
	after := buildPatience
	if !answered {
		after = atOnce
	}
	return p.indexing(want, have, after)
}

// indexing names the metadata indexes that Cloudflare doesn't show yet: from the first
// that is asked for to the last that is built it says the same, and costs no write.
func (p *pass) indexing(want cloudflare.Want, have cloudflare.Thing, after time.Duration) *verdict {
	missing := maps.Clone(want.Settings.MetadataIndexes)
	for property := range have.Settings.MetadataIndexes {
		delete(missing, property)
	}
	return p.going(v1alpha1.ReasonUpdating, fmt.Sprintf("metadata indexes of %q are being built: %s", have.Name, strings.Join(slices.Sorted(maps.Keys(missing)), ", ")), after)
}

// buildPatience is how often is asked whether metadata indexes are built.
const buildPatience = 5 * time.Second

// lost makes again what was deleted outside. What it held is gone.
func (p *pass) lost(ctx context.Context) (*verdict, error) {
	p.memory.unknow(p.b.UID)
	if p.b.Spec.ExistingID != "" {
		return stall(v1alpha1.ReasonNotFound, fmt.Sprintf("%s %q, which spec.existingID names, is gone with what it held; make a new CloudflareBinding", noun(p.b), p.b.Status.ID)), nil
	}
	if v := p.dry(cloudflare.Step{Verb: cloudflare.Create, Kind: p.kind(), Name: p.b.Status.Name, Why: "it was deleted outside"}); v != nil {
		return v, nil
	}
	s := &p.b.Status
	if next := s.Next; next != nil {
		// What was ingested since it is ready is in it, and nothing better is left.
		p.warned("Lost", "%s %q was deleted outside; %q, which was to replace it, serves now; what wasn't ingested into both is gone", noun(p.b), s.Name, next.ID)
		s.ID, s.Name, s.Adopted, s.Dimensions, s.Metric, s.Next = next.ID, next.ID, false, next.Dimensions, next.Metric, nil
		return p.goOn(), nil
	}
	p.warned("Lost", "%s %q was deleted outside and is made again; what it held is gone", noun(p.b), p.b.Status.Name)
	p.poll = false
	s.ID, s.Name, s.Adopted, s.Dimensions, s.Metric, s.Token = "", "", false, 0, "", nil
	return p.begin(ctx)
}

// keepToken replaces a token when it is time.
func (p *pass) keepToken(ctx context.Context, want cloudflare.Want) (*verdict, error) {
	secret, conflict, err := p.secret(ctx)
	if conflict != nil || err != nil {
		return conflict, err
	}
	if p.b.Status.Token != nil {
		p.b.Status.Token.PolicyHash = policyHash(want.Settings.Policies)
	}
	now := p.Clock.Now()
	_, when := p.rotation(secret)
	switch {
	case !when.After(now) && len(p.b.Status.Old) >= mostOld:
		return p.revokeOldest(ctx)
	case !when.After(now):
		return p.mint(ctx)
	case !secret.holds(p.b.Status.ID):
		return wait(v1alpha1.ReasonCreating, fmt.Sprintf("Secret %q doesn't hold the token any more; another is made in a moment", secretName(p.b)), when.Sub(now)), nil
	}
	return p.conclude(ctx)
}

// conclude does what isn't urgent, and says how things stand.
func (p *pass) conclude(ctx context.Context) (*verdict, error) {
	reason, message := v1alpha1.ReasonReady, p.asItShallBe()
	if p.b.Spec.Type == v1alpha1.BindingVectorize {
		v, why, err := p.replace(ctx)
		if v != nil || err != nil {
			return v, err
		}
		if why != "" {
			reason, message = v1alpha1.ReasonAwaitingSwitch, why
		}
	}
	trouble, err := p.removeOld(ctx)
	if err != nil {
		return nil, err
	}
	p.saw()
	v := ready(reason, message, p.next())
	if trouble != nil {
		// It serves all the same.
		v.message = message + "; " + trouble.message
		v.after, v.failed = trouble.after, true
	}
	return v, nil
}

func (p *pass) asItShallBe() string {
	return fmt.Sprintf("%s %q is as the spec says", noun(p.b), p.b.Status.Name)
}

// removeOld removes one thing that was replaced and whose time has come. What keeps it
// from being removed is tried again for ever, and is the verdict.
func (p *pass) removeOld(ctx context.Context) (trouble *verdict, err error) {
	s := &p.b.Status
	due := slices.IndexFunc(s.Old, func(o v1alpha1.OldThing) bool { return !p.Clock.Now().Before(o.RemoveAfter.Time) })
	if due < 0 {
		return nil, nil
	}
	old := s.Old[due]
	if old.ID == s.ID { // what serves is removed by nothing but a deletion
		s.Old = slices.Delete(s.Old, due, due+1)
		return nil, nil
	}
	if p.b.Spec.Type != v1alpha1.BindingAPIToken && !deletes(p.b) {
		s.Old = slices.Delete(s.Old, due, due+1)
		p.happened("Retained", "%s %q, which was replaced, is left in account %s", noun(p.b), old.ID, s.AccountID)
		return nil, nil
	}
	step := cloudflare.Step{Verb: cloudflare.Delete, Kind: p.kind(), ID: old.ID, Why: "it was replaced"}
	if v := p.dry(step); v != nil {
		return v, nil
	}
	if _, err := p.do(ctx, step); err != nil && !errors.Is(err, cloudflare.ErrNotFound) {
		v := p.explain(err)
		if v == nil {
			return nil, err
		}
		v.message = fmt.Sprintf("%s %q, which was replaced, is still to be removed: %s", noun(p.b), old.ID, v.message)
		return v, nil
	}
	s.Old = slices.Delete(s.Old, due, due+1)
	p.happened("Removed", "%s %q, which was replaced, was removed", noun(p.b), old.ID)
	return nil, nil
}

// next is when something is due that nothing wakes the binding for.
func (p *pass) next() time.Duration {
	after := pollInterval(p.b)
	for _, due := range dues(p.b) {
		after = min(after, max(due.Sub(p.Clock.Now()), atOnce))
	}
	return after
}

// dues are the times at which something must be done.
func dues(b *v1alpha1.CloudflareBinding) []time.Time {
	var out []time.Time
	for _, old := range b.Status.Old {
		out = append(out, old.RemoveAfter.Time)
	}
	if t := b.Status.Token; t != nil && t.CreatedAt != nil && b.Spec.APIToken != nil {
		out = append(out, t.CreatedAt.Add(durationOf(b.Spec.APIToken.RotateAfter, defaultRotateAfter)))
	}
	return out
}

func pollInterval(b *v1alpha1.CloudflareBinding) time.Duration {
	return durationOf(b.Spec.PollInterval, 10*time.Minute)
}

// wayOut says what helps where something can't be changed.
func (p *pass) wayOut(e *cloudflare.ImmutableError) string {
	if p.b.Spec.Type == v1alpha1.BindingVectorize {
		return e.Error() + "; set spec.vectorize.replacement to BlueGreen to have a new index made beside it, or take the change back"
	}
	return e.Error() + "; make a new CloudflareBinding and move what it holds, or take the change back"
}
