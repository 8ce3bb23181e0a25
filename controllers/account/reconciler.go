package account

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
)

// +kubebuilder:rbac:groups=ai.crispy-enigma.dev,resources=cloudflareaccounts,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=ai.crispy-enigma.dev,resources=cloudflareaccounts/status,verbs=patch
// +kubebuilder:rbac:groups=ai.crispy-enigma.dev,resources=cloudflareaccounts/finalizers,verbs=update
// +kubebuilder:rbac:groups=ai.crispy-enigma.dev,resources=cloudflarebindings,verbs=get;list;watch;create;delete
// +kubebuilder:rbac:groups=ai.crispy-enigma.dev,resources=tenants,verbs=get;list;watch
// +kubebuilder:rbac:groups=core,resources=secrets,verbs=get;list;watch
// +kubebuilder:rbac:groups=core,resources=namespaces,verbs=get
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconciler tells of one CloudflareAccount at a time how it is.
type Reconciler struct {
	// Client reads from the cache, and writes.
	Client client.Client
	// Live reads what gates a deletion.
	Live client.Reader
	// Accounts is what the calls through the account have taught.
	Accounts *Directory
	// Recorder of events.
	Recorder events.EventRecorder
	Clock    clock.PassiveClock
	// Namespaces that may be read; none means all.
	Namespaces []string
	// Metrics of accounts.
	Metrics *Metrics
}

// Reconcile makes one pass over an account.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	a := &v1alpha1.CloudflareAccount{}
	if err := r.Client.Get(ctx, request.NamespacedName, a); err != nil {
		if apierrors.IsNotFound(err) {
			r.Accounts.forget(request.NamespacedName)
			r.Metrics.forget(request.NamespacedName)
			return reconcile.Result{}, nil
		}
		return reconcile.Result{}, fmt.Errorf("reading the account: %w", err)
	}
	before := a.DeepCopy()
	if !a.DeletionTimestamp.IsZero() {
		return r.finalize(ctx, before, a)
	}
	result, err := r.pass(ctx, a)
	if err != nil {
		return reconcile.Result{}, err
	}
	return result, r.save(ctx, before, a)
}

// pass walks the phases. What it finds is written into the account's status in memory.
func (r *Reconciler) pass(ctx context.Context, a *v1alpha1.CloudflareAccount) (reconcile.Result, error) {
	if err := r.ensureFinalizer(ctx, a); err != nil {
		return reconcile.Result{}, err
	}
	used, err := usageOf(ctx, r.Client, client.ObjectKeyFromObject(a))
	if err != nil {
		return reconcile.Result{}, err
	}
	countOwned(a, used)
	gateway, err := r.gateway(ctx, a, used)
	if err != nil {
		return reconcile.Result{}, err
	}
	if a.Spec.Actuation == v1alpha1.ActuationPaused {
		markPaused(a)
		return later(settled), nil
	}
	credentials, next, err := r.credentials(ctx, a)
	if err != nil {
		return reconcile.Result{}, err
	}
	r.wakeRecovered(a, used)
	known := r.Accounts.ledger(client.ObjectKeyFromObject(a))
	permissions, quotas := relatePermissions(a, used, known), relateQuotas(a, known)
	if credentials == nil {
		more, err := r.strays(ctx, a)
		if err != nil {
			return reconcile.Result{}, err
		}
		next = min(next, more)
	}
	r.conclude(a, credentials, permissions, gateway, quotas)
	return later(next), nil
}

// conclude writes the summary: the first verdict that stalls, else the first at all.
func (r *Reconciler) conclude(a *v1alpha1.CloudflareAccount, verdicts ...*verdict) {
	var shown *verdict
	for _, v := range verdicts {
		if v != nil && (shown == nil || v.stalled && !shown.stalled) {
			shown = v
		}
	}
	switch {
	case shown != nil && shown.stalled:
		a.Marks().Stalled(shown.reason, shown.message)
	case shown != nil:
		a.Marks().Reconciling(shown.reason, shown.message)
	case a.Spec.Actuation == v1alpha1.ActuationDryRun:
		a.Marks().Ready("the account can be used; nothing in it is changed, for spec.actuation is DryRun")
	default:
		a.Marks().Ready("the account can be used")
	}
}

// verdict is why an account isn't Ready.
type verdict struct {
	// stalled means that waiting doesn't help.
	stalled         bool
	reason, message string
}

func stalledBy(p *Problem) *verdict {
	return &verdict{stalled: true, reason: p.Reason, message: p.Message}
}

// credentials verifies the token. next is when to look again.
func (r *Reconciler) credentials(ctx context.Context, a *v1alpha1.CloudflareAccount) (v *verdict, next time.Duration, err error) {
	found, err := r.Accounts.verify(ctx, a)
	if err != nil {
		return unverified(a, err)
	}
	if found.problem != nil {
		a.Marks().False(v1alpha1.ConditionCredentialsReady, found.problem.Reason, found.problem.Message)
		// The Secret is read often, Cloudflare asked seldom.
		return stalledBy(found.problem), refusedSecret, nil //nolint:nilerr // the problem becomes the verdict
	}
	markVerified(a, found)
	return nil, min(settled, max(found.at.Add(verifyEvery).Sub(r.Clock.Now()), time.Second)), nil
}

// refusedSecret is how often the Secret of a refused token is read.
const refusedSecret = 30 * time.Second

func markVerified(a *v1alpha1.CloudflareAccount, v verification) {
	a.Status.TokenID = v.token.ID
	a.Status.TokenExpiresAt = nil
	if !v.token.ExpiresAt.IsZero() {
		a.Status.TokenExpiresAt = new(metav1.NewTime(v.token.ExpiresAt))
	}
	a.Status.VerifiedAt = new(metav1.NewTime(v.at))
	message := "Cloudflare knows the token and it is active"
	if v.previous {
		message = "the token of spec.credentials.secretRef is refused, and the one of spec.credentials.previousSecretRef is used in its place; put a token that is active into the first"
	}
	a.Marks().True(v1alpha1.ConditionCredentialsReady, v1alpha1.ReasonTokenVerified, message)
}

// unverified tells why a token isn't verified: a person must bring it, or the question had
// no answer. An error that is neither is given back.
func unverified(a *v1alpha1.CloudflareAccount, err error) (*verdict, time.Duration, error) {
	var problem *Problem
	var failed *cloudflare.Error
	switch {
	case errors.As(err, &problem):
		// Heals by itself once the Secret is there, and is read often until then.
		a.Marks().False(v1alpha1.ConditionCredentialsReady, problem.Reason, problem.Message)
		return &verdict{reason: problem.Reason, message: problem.Message}, problem.After, nil
	case errors.As(err, &failed):
		return unanswered(a, failed), max(failed.After, unsure), nil
	}
	return nil, 0, err
}

// unanswered tells of a question that had no answer. A token that was good before is taken
// for good.
func unanswered(a *v1alpha1.CloudflareAccount, failed *cloudflare.Error) *verdict {
	if c := a.Marks().Get(v1alpha1.ConditionCredentialsReady); c != nil && c.Status == metav1.ConditionTrue && c.ObservedGeneration == a.Generation {
		return nil
	}
	v := &verdict{reason: v1alpha1.ReasonCloudflareUnavailable, message: "Cloudflare didn't tell whether the token is good; it is asked again"}
	switch {
	case errors.Is(failed, cloudflare.ErrRateLimited):
		v.reason, v.message = v1alpha1.ReasonRateLimited, "the token's API budget is used up; the token is verified when there is room again"
	case errors.Is(failed, cloudflare.ErrForbidden):
		v.reason, v.message = v1alpha1.ReasonPermissionMissing, "the token may not ask who it is; use a token that Cloudflare's dashboard made"
	}
	a.Marks().Unknown(v1alpha1.ConditionCredentialsReady, v.reason, v.message)
	return v
}

// markPaused says that the account is left alone because its spec says so. Nothing is
// under way or broken.
func markPaused(a *v1alpha1.CloudflareAccount) {
	m := a.Marks()
	m.Remove(v1alpha1.ConditionReconciling)
	m.Remove(v1alpha1.ConditionStalled)
	m.False(v1alpha1.ConditionReady, v1alpha1.ReasonPaused, "nothing in the account is looked at or changed; set spec.actuation to Reconciling to go on")
}

// wakeRecovered wakes who waits for what works again.
func (r *Reconciler) wakeRecovered(a *v1alpha1.CloudflareAccount, used usage) {
	key := client.ObjectKeyFromObject(a)
	if !r.Accounts.takeRecovered(key) {
		return
	}
	for i := range used.bindings {
		if awaited(&used.bindings[i]) {
			r.Accounts.bindings.ring(client.ObjectKeyFromObject(&used.bindings[i]))
		}
	}
	r.Accounts.observers.ring(key)
}

// save patches the status if the pass changed it.
func (r *Reconciler) save(ctx context.Context, before, a *v1alpha1.CloudflareAccount) error {
	a.Status.ObservedGeneration = a.Generation
	r.Metrics.observe(a)
	r.announce(before, a)
	if equality.Semantic.DeepEqual(before.Status, a.Status) {
		return nil
	}
	from := a.DeepCopy() // the finalizer may have come since
	from.Status = before.Status
	if err := r.Client.Status().Patch(ctx, a, client.MergeFrom(from)); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("saving the status: %w", err)
	}
	return nil
}
