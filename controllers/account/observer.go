package account

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
)

// ObserveEvery is how long after a LIST the next one of the kind begins, at the latest,
// where nobody says otherwise.
const ObserveEvery = 10 * time.Minute

// listing is one LIST and what it says of the whole account.
type listing struct {
	Observation
	// total of things, whoever made them.
	total int
	// firstSeen is when things were seen first whose age Cloudflare doesn't tell.
	firstSeen map[string]time.Time
}

// Observer lists, of every account, each kind that some CloudflareBinding is of, and
// wakes the bindings whose thing isn't as they want it. It has a controller of its own,
// so that a LIST that waits for the budget keeps nobody from taking up a new token.
type Observer struct {
	// Client reads from the cache.
	Client   client.Reader
	Accounts *Directory
	Clock    clock.PassiveClock
	// Every is how long after a LIST the next one of the kind begins, at the latest.
	Every time.Duration
	// Differs tells whether a thing isn't as a binding wants it, as far as LIST shows.
	Differs func(*v1alpha1.CloudflareBinding, cloudflare.Thing) bool
	// Metrics of accounts.
	Metrics *Metrics
}

// Reconcile lists what is due of one account.
func (o *Observer) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	key := request.NamespacedName
	opened, err := o.Accounts.Open(ctx, key)
	var problem *Problem
	switch {
	case errors.As(err, &problem) && problem.Reason == v1alpha1.ReasonAccountNotFound:
		return reconcile.Result{}, nil
	case errors.As(err, &problem):
		return later(problem.After), nil
	case err != nil:
		return reconcile.Result{}, err
	case opened.Account.Spec.Actuation == v1alpha1.ActuationPaused:
		return reconcile.Result{}, nil
	}
	bindings, err := bindingsOf(ctx, o.Client, key)
	if err != nil {
		return reconcile.Result{}, err
	}
	next, listed := o.earliest(), false
	for _, kind := range kindsOf(bindings) {
		due := o.earliest() - o.Accounts.age(key, kind, o.Clock.Now())
		if due <= 0 {
			if due, err = o.list(ctx, opened, kind); err != nil {
				return reconcile.Result{}, err
			}
			listed = true
		}
		next = min(next, due)
	}
	if listed {
		o.Accounts.accounts.ring(key)
	}
	return reconcile.Result{RequeueAfter: max(next, 0) + rand.N(o.Every-o.earliest()), Priority: new(handler.LowPriority)}, nil
}

// list makes one LIST and says when the next is due. A call that failed is told of in the
// account's conditions, where a person can do something, and made again later.
func (o *Observer) list(ctx context.Context, opened Opened, kind cloudflare.Kind) (time.Duration, error) {
	key, begun := client.ObjectKeyFromObject(opened.Account), o.Clock.Now()
	things, err := opened.Poll.List(ctx, kind)
	o.Metrics.listed(kind, err)
	var failed *cloudflare.Error
	switch {
	case errors.As(err, &failed):
		log.FromContext(ctx).Info("account not listed", "kind", kind, "error", failed.Error())
		return max(failed.After, unsure), nil
	case err != nil:
		return 0, err
	}
	// Read after the LIST: what was made meanwhile is known by its binding.
	bindings, err := bindingsOf(ctx, o.Client, key)
	if err != nil {
		return 0, err
	}
	seen := Observation{Begun: begun, Things: ofInterest(things, kind, bindings, opened.OwnerID)}
	o.Accounts.saw(key, kind, listing{Observation: seen, total: len(things)})
	o.Accounts.bindings.ring(differing(bindings, kind, seen, o.Differs)...)
	return o.earliest(), nil
}

// earliest is when a LIST may be made again: accounts are kept out of step by making it
// up to a tenth before it is due.
func (o *Observer) earliest() time.Duration { return o.Every - o.Every/10 }

// ofInterest keeps of what an account holds what may be ours: an account may hold a
// million buckets.
func ofInterest(things []cloudflare.Thing, kind cloudflare.Kind, bindings []v1alpha1.CloudflareBinding, ownerID string) map[string]cloudflare.Thing {
	named := map[string]bool{}
	for i := range bindings {
		if cloudflare.Kind(bindings[i].Spec.Type) == kind {
			for _, id := range identifiers(&bindings[i]) {
				named[id] = true
			}
		}
	}
	kept := map[string]cloudflare.Thing{}
	for _, t := range things {
		if named[t.ID] || named[t.Name] || cloudflare.OwnedBy(t.Name, ownerID) {
			kept[t.ID] = t
		}
	}
	return kept
}

// differing are the bindings whose thing isn't there or isn't as they want it. That it was
// made after the LIST began is for the binding to judge, which knows.
func differing(bindings []v1alpha1.CloudflareBinding, kind cloudflare.Kind, seen Observation, differs func(*v1alpha1.CloudflareBinding, cloudflare.Thing) bool) []client.ObjectKey {
	var out []client.ObjectKey
	for i := range bindings {
		b := &bindings[i]
		if cloudflare.Kind(b.Spec.Type) != kind || b.Status.ID == "" {
			continue
		}
		if thing, there := seen.Things[b.Status.ID]; !there || differs(b, thing) {
			out = append(out, client.ObjectKeyFromObject(b))
		}
	}
	return out
}

// age of what is known of a kind; of what isn't, older than anything.
func (d *Directory) age(key client.ObjectKey, kind cloudflare.Kind, now time.Time) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if l := d.entry(key).lists[kind]; l != nil {
		return now.Sub(l.Begun)
	}
	return math.MaxInt64
}

// saw remembers a LIST.
func (d *Directory) saw(key client.ObjectKey, kind cloudflare.Kind, l listing) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.entry(key)
	l.firstSeen = map[string]time.Time{}
	for id, t := range l.Things {
		if !t.CreatedAt.IsZero() {
			continue
		}
		l.firstSeen[id] = l.Begun
		if before := e.lists[kind]; before != nil {
			if at, known := before.firstSeen[id]; known {
				l.firstSeen[id] = at
			}
		}
	}
	e.lists[kind] = &l
}

// later asks for another look, at low priority and out of step with others.
func later(after time.Duration) reconcile.Result {
	return reconcile.Result{RequeueAfter: after + rand.N(after/5+1), Priority: new(handler.LowPriority)}
}
