package binding

import (
	"context"
	"errors"
	"fmt"
	"io"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/account"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
)

// +kubebuilder:rbac:groups=ai.crispy-enigma.dev,resources=cloudflarebindings,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=ai.crispy-enigma.dev,resources=cloudflarebindings/status,verbs=patch
// +kubebuilder:rbac:groups=ai.crispy-enigma.dev,resources=cloudflarebindings/finalizers,verbs=update
// +kubebuilder:rbac:groups=core,resources=secrets,verbs=get;create;patch;delete
// +kubebuilder:rbac:groups=core,resources=namespaces,verbs=get

// Reconciler brings one CloudflareBinding at a time to what its spec asks for.
type Reconciler struct {
	// Client reads bindings from the cache, and writes.
	Client client.Client
	// Live reads from the API server: what gates an effect outside.
	Live client.Reader
	// Accounts are opened, and tell what their lists showed.
	Accounts account.Accounts
	// Turns keep the bindings of one account from using up all workers.
	Turns *account.Turns
	// Recorder of events.
	Recorder events.EventRecorder
	// Clock of rotations, graces and polls.
	Clock clock.PassiveClock
	// Random is the source of nonces and of jitter: crypto/rand.Reader.
	Random io.Reader
	// Namespaces that may be read; none means all.
	Namespaces []string
	// Metrics of bindings.
	Metrics *Metrics

	memory  memory
	backoff backoff
}

// pass is one look at one binding.
type pass struct {
	*Reconciler
	// b is the binding as it was read live; its status becomes what the pass finds.
	b *v1alpha1.CloudflareBinding
	// base is b as the API server has it.
	base *v1alpha1.CloudflareBinding
	// account that the thing lies in, once it is open.
	account account.Opened
	// poll tells that the pass only looks whether anything has changed.
	poll bool
}

// Reconcile makes one pass over a binding. A cached look that finds nothing to do ends
// it; whatever else is decided is decided by what the API server says now.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	b := &v1alpha1.CloudflareBinding{}
	if err := r.Client.Get(ctx, request.NamespacedName, b); err != nil {
		return r.gone(request, err)
	}
	r.Metrics.observe(b)
	if after, quiet, err := r.quiet(ctx, b); quiet || err != nil {
		return r.again(after), err
	}
	lane := cloudflare.Edit
	if settled(b) {
		lane = cloudflare.Poll
	}
	leave, later := r.Turns.Enter(accountKey(b), lane, request.NamespacedName)
	if leave == nil {
		return r.again(later), nil
	}
	defer leave()
	// Another object: a decoder leaves alone what the answer doesn't mention.
	b = &v1alpha1.CloudflareBinding{}
	if err := r.Live.Get(ctx, request.NamespacedName, b); err != nil {
		return r.gone(request, err)
	}
	p := &pass{Reconciler: r, b: b, base: b.DeepCopy(), poll: settled(b)}
	v, err := p.run(ctx)
	if v == nil && err == nil {
		return reconcile.Result{}, nil // the binding is gone
	}
	if err != nil {
		if v = p.explain(err); v == nil {
			// What the pass did outside is recorded even so.
			return reconcile.Result{}, errors.Join(err, p.save(ctx))
		}
		if !errors.Is(err, cloudflare.ErrRateLimited) { // which is of all, and no news
			log.FromContext(ctx).Info("binding not brought on", "reason", v.reason, "error", err.Error())
		}
	}
	v.mark(p.b)
	p.b.Status.ObservedGeneration = p.b.Generation
	if err := p.save(ctx); err != nil {
		return reconcile.Result{}, err
	}
	return r.again(r.backoff.lengthen(request.NamespacedName, v)), nil
}

func (r *Reconciler) gone(request reconcile.Request, err error) (reconcile.Result, error) {
	if !apierrors.IsNotFound(err) {
		return reconcile.Result{}, fmt.Errorf("reading the binding: %w", err)
	}
	r.Metrics.forget(request.NamespacedName)
	r.backoff.forget(request.NamespacedName)
	return reconcile.Result{}, nil
}

// run decides what comes next and does it. Neither a verdict nor an error means that the
// binding is let go.
func (p *pass) run(ctx context.Context) (*verdict, error) {
	if !p.b.DeletionTimestamp.IsZero() {
		return p.finalize(ctx)
	}
	if v, err := p.open(ctx); v != nil || err != nil {
		return v, err
	}
	if p.b.Status.Create != nil {
		return p.resolve(ctx)
	}
	if p.b.Status.ID == "" {
		if v, err := p.remember(ctx); v != nil || err != nil {
			return v, err
		}
		return p.begin(ctx)
	}
	return p.keep(ctx)
}

// open opens the account, if the binding's namespace may use it.
func (p *pass) open(ctx context.Context) (*verdict, error) {
	var err error
	if p.account, err = p.Accounts.Open(ctx, accountKey(p.b)); err != nil {
		return nil, err
	}
	p.account = p.Metrics.counting(p.account)
	allowed, err := account.Allows(p.account.Account, p.b.Namespace, func() (map[string]string, error) {
		return p.namespaceLabels(ctx)
	})
	switch {
	case err != nil:
		return nil, err
	case !allowed:
		return wait(v1alpha1.ReasonAccountNotAllowed, fmt.Sprintf(
			"spec.accountRef: CloudflareAccount %s isn't for namespace %q; its owner can allow it in spec.allowedNamespaces", accountKey(p.b), p.b.Namespace), slow), nil
	case !p.account.Account.DeletionTimestamp.IsZero() && !p.pending():
		return wait(v1alpha1.ReasonAccountNotAllowed, fmt.Sprintf(
			"CloudflareAccount %s is being deleted, and nothing new is made in it; name another account in a new CloudflareBinding", accountKey(p.b)), slow), nil
	case p.account.Account.Spec.Actuation == v1alpha1.ActuationPaused:
		return nil, account.ErrPaused
	}
	if elsewhere := p.elsewhere(); elsewhere != "" {
		return stall(v1alpha1.ReasonWrongAccount, elsewhere+"; bring that account back, or make a new CloudflareBinding"), nil
	}
	p.b.Status.AccountID = p.account.Account.Spec.AccountID
	return nil, nil
}

// elsewhere says that what was made lies in another account than the one that is open:
// a CloudflareAccount was made anew under the name. What has the same id here is a
// stranger's. It is empty if nothing is wrong.
func (p *pass) elsewhere() string {
	was, is := p.b.Status.AccountID, p.account.Account.Spec.AccountID
	if was == "" || was == is || !p.pending() {
		return ""
	}
	return fmt.Sprintf("%s lies in account %s, and CloudflareAccount %s stands for account %s now", p.holdings(), was, accountKey(p.b), is)
}

// do has the pass's one effect outside.
func (p *pass) do(ctx context.Context, step cloudflare.Step) (cloudflare.Thing, error) {
	return p.account.Edit.Do(ctx, step)
}

// dry tells what a step would do where the account says DryRun; nil where it is done.
func (p *pass) dry(step cloudflare.Step) *verdict {
	if p.account.Account.Spec.Actuation != v1alpha1.ActuationDryRun {
		return nil
	}
	name := step.Name
	if name == "" {
		name = step.ID
	}
	return wait(v1alpha1.ReasonDryRun, fmt.Sprintf("dry run: would %s %q, for %s; set spec.actuation of CloudflareAccount %s to Reconciling to have it done",
		cloudflare.Op(step.Verb, step.Kind), name, step.Why, accountKey(p.b)), slow)
}
