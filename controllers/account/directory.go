package account

import (
	"context"
	"fmt"
	"slices"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
)

// Config is what a Directory is made of.
type Config struct {
	// Client reads CloudflareAccounts from the cache.
	Client client.Reader
	// Live reads Secrets from the API server.
	Live client.Reader
	// Dial reaches an account in a lane. All that it gives for one token share one budget.
	Dial func(cloudflare.Options, cloudflare.Lane) cloudflare.Account
	// OwnerID is the operator's; an account may have one of its own.
	OwnerID string
	// Namespaces that may be read; none means all.
	Namespaces []string
	Clock      clock.PassiveClock
}

// Directory implements Accounts. Of every account it remembers what the calls that went
// through it have taught, so that what Cloudflare refused once isn't asked again by a
// thousand others: tokens, permissions, quotas, and what the last LIST of a kind showed.
// All of it is in memory alone and learnt again after a start.
type Directory struct {
	Config

	mu      sync.Mutex
	entries map[client.ObjectKey]*entry

	accounts, bindings, observers bell
}

// entry is what is remembered of one account.
type entry struct {
	// token in use.
	token fingerprint
	// read is what the account's Secret held a moment ago.
	read reading
	// refused are the tokens that Cloudflare doesn't take, and why.
	refused map[fingerprint]*Problem
	// holds keep calls back that were refused.
	holds map[scope]*hold
	// lists are what there is.
	lists    map[cloudflare.Kind]*listing
	verified verification
	// recovered tells that something works again that bindings wait for.
	recovered bool
}

// NewDirectory knows nothing yet.
func NewDirectory(c Config) *Directory {
	return &Directory{Config: c, entries: map[client.ObjectKey]*entry{}}
}

// Bindings wakes CloudflareBindings: those whose thing a LIST showed to differ or to be
// missing, and those of an account that works again.
func (d *Directory) Bindings() source.Source { return d.bindings.source() }

// Open implements Accounts.
func (d *Directory) Open(ctx context.Context, key client.ObjectKey) (Opened, error) {
	a, err := d.read(ctx, key)
	if err != nil {
		return Opened{}, err
	}
	used, err := d.credential(ctx, a)
	if err != nil {
		return Opened{}, err
	}
	d.use(key, used.print)
	lane := func(l cloudflare.Lane) cloudflare.Account {
		return &guarded{inner: d.Dial(optionsOf(a, used), l), directory: d, account: key, token: used.print, actuation: a.Spec.Actuation}
	}
	return Opened{Account: a, OwnerID: d.ownerOf(a), Edit: lane(cloudflare.Edit), Poll: lane(cloudflare.Poll)}, nil
}

// Observed implements Accounts.
func (d *Directory) Observed(key client.ObjectKey, kind cloudflare.Kind) (Observation, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.entries[key]
	if e == nil || e.lists[kind] == nil {
		return Observation{}, false
	}
	return e.lists[kind].Observation, true
}

func (d *Directory) read(ctx context.Context, key client.ObjectKey) (*v1alpha1.CloudflareAccount, error) {
	if len(d.Namespaces) > 0 && !slices.Contains(d.Namespaces, key.Namespace) {
		return nil, &Problem{v1alpha1.ReasonAccountNotFound, fmt.Sprintf(
			"the operator doesn't watch namespace %q; name a CloudflareAccount in a namespace that it watches", key.Namespace), settled}
	}
	a := &v1alpha1.CloudflareAccount{}
	err := d.Client.Get(ctx, key, a)
	if apierrors.IsNotFound(err) {
		return nil, &Problem{v1alpha1.ReasonAccountNotFound, fmt.Sprintf("CloudflareAccount %s doesn't exist; create it", key), missing}
	}
	if err != nil {
		return nil, fmt.Errorf("reading CloudflareAccount %s: %w", key, err)
	}
	return a, nil
}

func (d *Directory) ownerOf(a *v1alpha1.CloudflareAccount) string {
	if a.Spec.OwnerID != "" {
		return a.Spec.OwnerID
	}
	return d.OwnerID
}

// use makes a token the one in use. What another token was shown or refused says nothing
// about what this one sees.
func (d *Directory) use(key client.ObjectKey, token fingerprint) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.entry(key)
	if e.token == token {
		return
	}
	e.token, e.lists, e.holds = token, map[cloudflare.Kind]*listing{}, map[scope]*hold{}
}

// entry is called with the lock held.
func (d *Directory) entry(key client.ObjectKey) *entry {
	e := d.entries[key]
	if e == nil {
		e = &entry{refused: map[fingerprint]*Problem{}, holds: map[scope]*hold{}, lists: map[cloudflare.Kind]*listing{}}
		d.entries[key] = e
	}
	return e
}

// forget an account that is gone.
func (d *Directory) forget(key client.ObjectKey) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.entries, key)
}

func optionsOf(a *v1alpha1.CloudflareAccount, c credential) cloudflare.Options {
	b := a.Spec.APIBudget
	o := cloudflare.Options{
		AccountID: a.Spec.AccountID, Endpoint: a.Spec.APIEndpoint, Token: c.value,
		Requests: int(b.Requests), ReservePercent: 20, PollPercent: pollPercent,
	}
	if b.Window != nil {
		o.Window = b.Window.Duration
	}
	if b.ReservePercent != nil {
		o.ReservePercent = int(*b.ReservePercent)
	}
	return o
}

// pollPercent of the budget is for looking whether anything has changed.
const pollPercent = 25
