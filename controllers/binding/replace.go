package binding

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
)

// AnnotationSwitch on a binding names the index that is to serve from now on:
// status.next.id, once everything has been ingested into it.
const AnnotationSwitch = "ai.crispy-enigma.dev/switch-to"

// oldKept is how long an index is kept that was switched away from: for whoever finds
// that the new one lacks something.
const oldKept = 24 * time.Hour

// replaces tells whether a change of what can't change makes a new index.
func replaces(b *v1alpha1.CloudflareBinding) bool {
	return b.Spec.Vectorize != nil && b.Spec.Vectorize.Replacement == v1alpha1.ReplaceBlueGreen
}

// replace makes, beside the index that serves, one with the dimensions and metric that
// the spec asks for, and switches to it when told to. Until then the old one serves:
// message says what it waits for, empty if for nothing.
//
//	none → made → its metadata indexes made → ready → annotation names it → it serves
//	spec changes meanwhile → deleted, and begun again
func (p *pass) replace(ctx context.Context) (v *verdict, message string, err error) {
	s, spec := &p.b.Status, p.b.Spec.Vectorize
	wanted := replaces(p.b) && (spec.Dimensions != s.Dimensions || spec.Metric != s.Metric)
	next := s.Next
	switch {
	case next == nil && !wanted:
		return nil, p.strayed(), nil
	case next == nil:
		v, err = p.createNext(ctx)
		return v, "", err
	case !wanted || next.Dimensions != spec.Dimensions || next.Metric != spec.Metric:
		v, err = p.dropNext(ctx)
		return v, "", err
	}
	switchNow := p.b.Annotations[AnnotationSwitch] == next.ID
	if !next.Ready || switchNow {
		if v, err := p.prepareNext(ctx); v != nil || err != nil {
			return v, "", err
		}
	}
	if switchNow {
		return p.switchOver(), "", nil
	}
	message = fmt.Sprintf("Vectorize index %q serves; %q is ready to replace it: ingest everything, then switch with kubectl annotate cloudflarebinding %s %s=%s",
		s.ID, next.ID, p.b.Name, AnnotationSwitch, next.ID)
	if other := p.strayed(); other != "" {
		message += "; " + other
	}
	return nil, message, nil
}

// strayed says that the annotation names nothing that can be switched to.
func (p *pass) strayed() string {
	to := p.b.Annotations[AnnotationSwitch]
	if to == "" || to == p.b.Status.ID {
		return ""
	}
	return fmt.Sprintf("annotation %s names %q, which isn't an index that waits to be switched to, and is ignored", AnnotationSwitch, to)
}

func (p *pass) createNext(ctx context.Context) (*verdict, error) {
	want, missing, err := p.want(ctx, p.nextName())
	if missing != nil || err != nil {
		return missing, err
	}
	return p.create(ctx, want)
}

// nextName tells the new index from the one that serves, and from earlier ones.
func (p *pass) nextName() string {
	id := p.identity()
	id.Generation = p.b.Generation
	if name := p.b.Spec.Name; name != "" {
		end := "-g" + strconv.FormatInt(p.b.Generation, 10)
		return name[:min(len(name), 64-len(end))] + end
	}
	return cloudflare.Name(id, cloudflare.Vectorize)
}

// replaced tells whether a thing was replaced and is still to be removed.
func replaced(b *v1alpha1.CloudflareBinding, id string) bool {
	return slices.ContainsFunc(b.Status.Old, func(o v1alpha1.OldThing) bool { return o.ID == id })
}

// prepareNext makes the new index's metadata indexes, by one step at most; no verdict if
// it has them.
func (p *pass) prepareNext(ctx context.Context) (*verdict, error) {
	next := p.b.Status.Next
	have, err := p.account.Edit.Get(ctx, p.kind(), next.ID)
	if errors.Is(err, cloudflare.ErrNotFound) {
		p.warned("Lost", "Vectorize index %q, which was to replace %q, was deleted outside; it is made again", next.ID, p.b.Status.ID)
		p.b.Status.Next = nil
		return p.goOn(), nil
	}
	if err != nil {
		return nil, err
	}
	want, missing, err := p.want(ctx, next.ID)
	if missing != nil || err != nil {
		return missing, err
	}
	if v, err := p.change(ctx, want, have, true); v != nil || err != nil {
		return v, err
	}
	if !next.Ready {
		next.Ready = true
		p.happened("NextReady", "Vectorize index %q, which is to replace %q, is ready: ingest everything, then switch", next.ID, p.b.Status.ID)
	}
	return nil, nil
}

// dropNext deletes a new index that isn't wanted any more: it never served.
func (p *pass) dropNext(ctx context.Context) (*verdict, error) {
	next := p.b.Status.Next
	step := cloudflare.Step{Verb: cloudflare.Delete, Kind: p.kind(), ID: next.ID, Name: next.ID, Why: "it isn't wanted any more"}
	if v := p.dry(step); v != nil {
		return v, nil
	}
	if _, err := p.do(ctx, step); err != nil && !errors.Is(err, cloudflare.ErrNotFound) {
		return nil, err
	}
	p.b.Status.Next = nil
	p.happened("Removed", "Vectorize index %q, which was to replace %q and isn't wanted any more, was removed", next.ID, p.b.Status.ID)
	return p.goOn(), nil
}

// switchOver makes the new index the one that serves. The old one goes later.
func (p *pass) switchOver() *verdict {
	s := &p.b.Status
	old, next := s.ID, s.Next
	s.Old = append(s.Old, v1alpha1.OldThing{ID: old, RemoveAfter: metav1.NewTime(p.Clock.Now().Add(oldKept))})
	s.ID, s.Name, s.Dimensions, s.Metric, s.Next, s.Adopted = next.ID, next.ID, next.Dimensions, next.Metric, nil, false
	p.memory.unknow(p.b.UID)
	p.happened("Switched", "Vectorize index %q serves now; %q is kept for a day", next.ID, old)
	return p.goOn()
}
