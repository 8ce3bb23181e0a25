package tenant

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/statestore"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
)

// +kubebuilder:rbac:groups=ai.crispy-enigma.dev,resources=tenants,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=ai.crispy-enigma.dev,resources=tenants/status,verbs=patch
// +kubebuilder:rbac:groups=ai.crispy-enigma.dev,resources=tenants/finalizers,verbs=update
// +kubebuilder:rbac:groups=ai.crispy-enigma.dev,resources=tenantclasses;cloudflareaccounts,verbs=get;list;watch
// +kubebuilder:rbac:groups=ai.crispy-enigma.dev,resources=cloudflarebindings,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=core,resources=secrets;serviceaccounts;services,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=core,resources=persistentvolumeclaims,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=core,resources=pods,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=core,resources=namespaces,verbs=get
// +kubebuilder:rbac:groups=apps,resources=deployments,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=networking.k8s.io,resources=networkpolicies;ingresses,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=policy,resources=poddisruptionbudgets,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=autoscaling,resources=horizontalpodautoscalers,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=gateway.networking.k8s.io,resources=httproutes,verbs=get;list;create;patch;delete
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconciler brings one Tenant at a time to what its spec asks for.
type Reconciler struct {
	// Client reads from the cache what is ours, and writes.
	Client client.Client
	// Live reads from the API server: what gates the making of a secret, and what
	// people bring.
	Live client.Reader
	// Runtime asks pods how they are.
	Runtime StatusReader
	// Gateway knows whether the Gateway API is there.
	Gateway *GatewayAPI
	// Recorder of events.
	Recorder events.EventRecorder
	// Clock of rotations and grace periods.
	Clock clock.PassiveClock
	// States are the servers that Tenants share their state on.
	States *statestore.Pool
	// Random is the source of keys and tokens: crypto/rand.Reader.
	Random io.Reader
	// Operator is what children know of the operator.
	Operator resources.Operator
	// Cluster capabilities that don't change while the operator runs.
	Cluster resources.Capabilities
	// Namespaces that may be read; none means all, and TenantClasses with them.
	Namespaces []string
	// ClassFile is the one class of an install that may not read TenantClasses.
	ClassFile *v1alpha1.TenantClass
	// Metrics of tenants.
	Metrics *Metrics
}

// Reconcile makes one pass over a Tenant.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	t := &v1alpha1.Tenant{}
	if err := r.Client.Get(ctx, request.NamespacedName, t); err != nil {
		if apierrors.IsNotFound(err) {
			r.Metrics.forget(request.NamespacedName)
			return reconcile.Result{}, nil
		}
		return reconcile.Result{}, fmt.Errorf("reading the tenant: %w", err)
	}
	if !t.DeletionTimestamp.IsZero() {
		return r.finalize(ctx, t)
	}
	before := t.DeepCopy()
	result, err := r.pass(ctx, t)
	if err != nil {
		return reconcile.Result{}, errors.Join(err, r.saveFailing(ctx, before))
	}
	return result, r.save(ctx, before, t)
}

// saveFailing tells of an error that no verdict stands for, where the status is about an
// earlier generation or none; else what it says is true until a pass finds otherwise. The
// error isn't quoted: nobody knows what it holds.
func (r *Reconciler) saveFailing(ctx context.Context, before *v1alpha1.Tenant) error {
	if c := before.Condition(v1alpha1.ConditionReady); c != nil && c.ObservedGeneration >= before.Generation {
		return nil
	}
	t := before.DeepCopy()
	t.MarkReconciling(v1alpha1.ReasonRetrying, "a step failed and is tried again; if this stays, the operator's log says which, under this Tenant's name")
	return r.save(ctx, before, t)
}

// pass walks the phases. What it finds is written into the Tenant's status in memory.
func (r *Reconciler) pass(ctx context.Context, t *v1alpha1.Tenant) (reconcile.Result, error) {
	if gone, err := r.namespaceGoes(ctx, t); gone || err != nil {
		return reconcile.Result{}, err
	}
	seen, err := r.observe(ctx, t)
	if err != nil {
		return reconcile.Result{}, err
	}
	describe(seen)
	if failed := firstFailure(seen); failed != nil {
		return r.stopShort(ctx, t, failed)
	}
	found, missing, err := r.readCredentials(ctx, seen)
	if missing != nil || err != nil {
		return r.stopShort(ctx, t, missing, err)
	}
	if err := r.ensureFinalizer(ctx, seen, found); err != nil {
		return reconcile.Result{}, err
	}
	shut, ok, err := r.logIn(ctx, seen, found)
	if !ok || err != nil {
		return r.stopShort(ctx, t, shut, err)
	}
	unready, ok, err := r.bind(ctx, seen, &found)
	if !ok || err != nil {
		return r.stopShort(ctx, t, unready, err)
	}
	built, failed, err := r.applyChildren(ctx, seen, found)
	if failed != nil || err != nil {
		return r.stopShort(ctx, t, failed, err)
	}
	verdicts, err := r.inspect(ctx, seen, built)
	if err != nil {
		return reconcile.Result{}, err
	}
	verdicts = moving(seen, append(verdicts, unready, shut))
	if worst(verdicts...) == nil {
		if err := r.pruneBindings(ctx, seen, found); err != nil {
			return reconcile.Result{}, err
		}
		arrived, err := r.moved(ctx, seen)
		if err != nil {
			return reconcile.Result{}, err
		}
		verdicts = append(verdicts, arrived)
	}
	return r.conclude(seen, built, verdicts), nil
}

// stopShort ends the pass with a verdict, or an error. What serves isn't undone for it,
// but a suspended Tenant's pods are stopped whatever else is amiss.
func (r *Reconciler) stopShort(ctx context.Context, t *v1alpha1.Tenant, v *verdict, errs ...error) (reconcile.Result, error) {
	err := errors.Join(errs...)
	if t.Spec.Suspend {
		err = errors.Join(err, r.stopPods(ctx, t))
	}
	if v == nil || err != nil {
		return reconcile.Result{}, err
	}
	v.mark(t)
	return again(v.after), nil
}

// conclude writes the summary of a pass that reached its end, and says when to look
// again.
func (r *Reconciler) conclude(o *observed, b *built, verdicts []*verdict) reconcile.Result {
	t, after := o.tenant, pollStatus
	for _, v := range verdicts {
		if v != nil {
			after = min(after, v.after)
		}
	}
	switch v := worst(verdicts...); {
	case v != nil:
		v.mark(t)
	case t.Spec.Suspend:
		t.MarkSuspended("the tenant is suspended; set spec.suspend to false to start it")
	case o.effective.Replicas == 0:
		t.MarkSuspended("the tenant has no pods; set spec.runtime.replicas to 1 to start it")
	default:
		t.MarkReady("the pods serve the tenant as its spec says")
	}
	if suspect(t) {
		after = min(after, pollSilent)
	}
	if b.toolsLack != nil {
		after = min(after, b.toolsLack.after)
	}
	result := again(after)
	if next := b.nextChange; !next.IsZero() {
		// Not jittered backwards: a grace period is never cut short.
		result.RequeueAfter = min(result.RequeueAfter, max(next.Sub(r.Clock.Now()), 0)+pollConfig)
	}
	return result
}

// save patches the status if the pass changed it.
func (r *Reconciler) save(ctx context.Context, before, t *v1alpha1.Tenant) error {
	t.Status.ObservedGeneration = t.Generation
	r.Metrics.observe(t)
	r.announce(before, t)
	if equality.Semantic.DeepEqual(before.Status, t.Status) {
		return nil
	}
	from := t.DeepCopy() // the finalizer may have come since
	from.Status = before.Status
	err := r.Client.Status().Patch(ctx, t, client.MergeFrom(from))
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("saving the status: %w", err)
	}
	return nil
}

// again asks for another look. Slow polls are of low priority: changes that people make
// go first.
func again(after time.Duration) reconcile.Result {
	result := reconcile.Result{RequeueAfter: jittered(after)}
	if after >= pollMissing {
		result.Priority = new(handler.LowPriority)
	}
	return result
}
