package binding

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
)

// Finalizer keeps a binding until its thing is dealt with as its deletion policy says.
const Finalizer = "ai.crispy-enigma.dev/cloudflare"

// ensureFinalizer comes before any effect outside.
func (p *pass) ensureFinalizer(ctx context.Context) error {
	if controllerutil.ContainsFinalizer(p.b, Finalizer) {
		return nil
	}
	patched := p.base.DeepCopy()
	controllerutil.AddFinalizer(patched, Finalizer)
	if err := p.patchFinalizers(ctx, patched); err != nil {
		return fmt.Errorf("adding the finalizer: %w", err)
	}
	p.b.Finalizers, p.b.ResourceVersion = patched.Finalizers, patched.ResourceVersion
	status := p.base.Status
	p.base = p.b.DeepCopy()
	p.base.Status = status
	return nil
}

func (p *pass) removeFinalizer(ctx context.Context) error {
	patched := p.base.DeepCopy()
	controllerutil.RemoveFinalizer(patched, Finalizer)
	if err := p.patchFinalizers(ctx, patched); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("removing the finalizer: %w", err)
	}
	p.memory.forget(p.b.UID)
	return nil
}

// patchFinalizers fails if the binding changed meanwhile: a list is replaced whole.
func (p *pass) patchFinalizers(ctx context.Context, patched *v1alpha1.CloudflareBinding) error {
	return p.Client.Patch(ctx, patched, client.MergeFromWithOptions(p.base, client.MergeFromWithOptimisticLock{}))
}

// intend writes down what is about to be made. It fails if the binding isn't as it was
// read: another operator, or a person, was there first.
func (p *pass) intend(ctx context.Context, name, nonce string) error {
	if err := p.ensureFinalizer(ctx); err != nil {
		return err
	}
	p.b.Status.Create = &v1alpha1.PendingCreate{Nonce: nonce, Name: name, At: metav1.NewTime(p.Clock.Now())}
	if !settled(p.b) && !refused(p.b) {
		p.b.Marks().Reconciling(v1alpha1.ReasonCreating, fmt.Sprintf("%s %q is being made", noun(p.b), name))
		p.b.Status.ObservedGeneration = p.b.Generation
	}
	if err := p.persist(ctx); err != nil {
		return fmt.Errorf("writing down what is about to be made: %w", err)
	}
	return nil
}

// refused tells that the spec was tried before and why it came to nothing: that stays true
// until another try has an outcome, and isn't told anew each time.
func refused(b *v1alpha1.CloudflareBinding) bool {
	c := b.Marks().Get(v1alpha1.ConditionReady)
	return c != nil && c.ObservedGeneration == b.Generation && c.Status == metav1.ConditionFalse && !underway[c.Reason]
}

// persist writes the status, if the pass changed it and nobody else changed the binding.
func (p *pass) persist(ctx context.Context) error {
	if equality.Semantic.DeepEqual(p.base.Status, p.b.Status) {
		return nil
	}
	patched := p.b.DeepCopy()
	err := p.Client.Status().Patch(ctx, patched, client.MergeFromWithOptions(p.base, client.MergeFromWithOptimisticLock{}))
	if err != nil {
		return err
	}
	p.announce(p.base, patched)
	p.Metrics.observe(patched)
	p.b, p.base = patched, patched.DeepCopy()
	return nil
}

// save ends a pass: what it did outside must not be lost because a person changed the
// spec meanwhile. If somebody else wrote the status, it is lost: what was begun is
// looked up by the next pass.
func (p *pass) save(ctx context.Context) error {
	for range 3 {
		err := p.persist(ctx)
		if err == nil || apierrors.IsNotFound(err) {
			return nil
		}
		if !apierrors.IsConflict(err) {
			return fmt.Errorf("saving the status: %w", err)
		}
		live := &v1alpha1.CloudflareBinding{}
		if err := p.Live.Get(ctx, client.ObjectKeyFromObject(p.b), live); err != nil {
			return fmt.Errorf("reading the binding again: %w", err)
		}
		if live.UID != p.b.UID || !sameRecord(&live.Status, &p.base.Status) {
			return fmt.Errorf("saving the status: %w", err)
		}
		p.base = live
		found := p.b.Status
		p.b = live.DeepCopy()
		p.b.Status = found
	}
	return fmt.Errorf("saving the status of %s: it changes all the time", client.ObjectKeyFromObject(p.b))
}

// sameRecord compares what is known of the thing; conditions may differ.
func sameRecord(a, b *v1alpha1.CloudflareBindingStatus) bool {
	bare := func(s *v1alpha1.CloudflareBindingStatus) *v1alpha1.CloudflareBindingStatus {
		s = s.DeepCopy()
		s.Conditions, s.ObservedGeneration, s.ObservedAt = nil, 0, nil
		return s
	}
	return equality.Semantic.DeepEqual(bare(a), bare(b))
}

// rememberSeen is how old observedAt may be: it isn't worth a write each look.
const rememberSeen = time.Hour

// saw notes that the thing was seen as it shall be.
func (p *pass) saw() {
	now := p.Clock.Now()
	p.memory.looked(p.b.UID, now)
	if at := p.b.Status.ObservedAt; at == nil || now.Sub(at.Time) >= rememberSeen || !equality.Semantic.DeepEqual(p.base.Status, p.b.Status) {
		p.b.Status.ObservedAt = &metav1.Time{Time: now}
	}
}
