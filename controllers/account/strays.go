package account

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
)

const (
	// strayGrace is how old a token must be that no binding knows: far older than any
	// creation takes, its retries and the lag of LIST with it.
	strayGrace = 30 * time.Minute
	// nextStray is when the next one is dealt with.
	nextStray = 10 * time.Second
)

// strays deletes one API token that carries this operator's mark and that no binding
// knows: a credential that nobody would ever revoke. What shows it is a LIST; what decides
// is read live. It gives when to look again.
//
// An operator of some namespaces deletes none: tokens of its mark may belong to bindings
// that it can't see.
func (r *Reconciler) strays(ctx context.Context, a *v1alpha1.CloudflareAccount) (time.Duration, error) {
	if len(r.Namespaces) > 0 || a.Spec.Actuation != v1alpha1.ActuationReconciling && a.Spec.Actuation != "" {
		return settled, nil
	}
	key := client.ObjectKeyFromObject(a)
	suspects := r.Accounts.suspects(key, r.Accounts.ownerOf(a), r.Clock.Now())
	if len(suspects) == 0 {
		return settled, nil
	}
	// Of all accounts: two CloudflareAccounts may stand for one account of Cloudflare's.
	var all v1alpha1.CloudflareBindingList
	if err := r.Live.List(ctx, &all); err != nil {
		return 0, fmt.Errorf("listing all bindings: %w", err)
	}
	suspects = unknown(suspects, all.Items)
	if len(suspects) == 0 {
		return settled, nil
	}
	return r.deleteStray(ctx, a, suspects[0])
}

func (r *Reconciler) deleteStray(ctx context.Context, a *v1alpha1.CloudflareAccount, stray cloudflare.Thing) (time.Duration, error) {
	key := client.ObjectKeyFromObject(a)
	opened, err := r.Accounts.Open(ctx, key)
	if err != nil {
		var problem *Problem
		if errors.As(err, &problem) {
			return problem.After, nil
		}
		return 0, err
	}
	live, err := opened.Edit.Get(ctx, cloudflare.APIToken, stray.ID)
	if err == nil && live.Name != stray.Name {
		r.Accounts.dropSuspect(key, stray.ID) // renamed: somebody has taken it up
		return nextStray, nil
	}
	if err == nil {
		_, err = opened.Edit.Do(ctx, cloudflare.Step{Verb: cloudflare.Delete, Kind: cloudflare.APIToken, ID: stray.ID, Name: stray.Name, Why: "no CloudflareBinding knows it"})
		if err == nil {
			r.Recorder.Eventf(a, nil, corev1.EventTypeWarning, "StrayTokenDeleted", actionDelete,
				"API token %s carried this operator's mark and no CloudflareBinding knew it", note(stray.Name))
		}
	}
	var failed *cloudflare.Error
	switch {
	case err == nil || errors.Is(err, cloudflare.ErrNotFound):
		r.Accounts.dropSuspect(key, stray.ID)
		return nextStray, nil
	case errors.As(err, &failed):
		log.FromContext(ctx).Info("stray token not deleted", "error", failed.Error())
		return max(failed.After, unsure), nil
	}
	return 0, err
}

// suspects are the API tokens of our mark that are old enough, by id.
func (d *Directory) suspects(key client.ObjectKey, ownerID string, now time.Time) []cloudflare.Thing {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.entry(key)
	l := e.lists[cloudflare.APIToken]
	if l == nil {
		return nil
	}
	inUse := e.verified.token.ID // whoever made it, and whatever it is called
	var out []cloudflare.Thing
	for _, id := range slices.Sorted(maps.Keys(l.Things)) {
		t := l.Things[id]
		born := t.CreatedAt
		if born.IsZero() {
			born = l.firstSeen[id]
		}
		if id != inUse && cloudflare.OwnedBy(t.Name, ownerID) && now.Sub(born) >= strayGrace {
			out = append(out, t)
		}
	}
	return out
}

// dropSuspect forgets what the LIST showed of one token; the next one tells again.
func (d *Directory) dropSuspect(key client.ObjectKey, id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if l := d.entry(key).lists[cloudflare.APIToken]; l != nil {
		// Who was given the Observation still reads it.
		l.Things = maps.Clone(l.Things)
		delete(l.Things, id)
	}
}

// unknown are the things that no binding claims.
func unknown(things []cloudflare.Thing, bindings []v1alpha1.CloudflareBinding) []cloudflare.Thing {
	claimed := map[string]bool{}
	for i := range bindings {
		for _, id := range identifiers(&bindings[i]) {
			claimed[id] = true
		}
	}
	return slices.DeleteFunc(things, func(t cloudflare.Thing) bool { return claimed[t.ID] || claimed[t.Name] })
}
