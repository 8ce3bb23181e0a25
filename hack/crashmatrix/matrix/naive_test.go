package matrix_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/account"
	"github.com/crispy-enigma/crispy-enigma/controllers/binding"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
	"github.com/crispy-enigma/crispy-enigma/hack/crashmatrix/matrix"
)

// naive is the controller that everybody writes first: make, then write down. It keeps
// no token's value, so it is tried with what has none.
type naive struct{ matrix.Deps }

func newNaive(d matrix.Deps) (reconcile.Reconciler, error) { return naive{d}, nil }

func (r naive) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	b := &v1alpha1.CloudflareBinding{}
	if err := r.Live.Get(ctx, request.NamespacedName, b); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	opened, err := r.Accounts.Open(ctx, client.ObjectKey{})
	if err != nil {
		return reconcile.Result{}, err
	}
	kind := cloudflare.Kind(b.Spec.Type)
	if b.DeletionTimestamp != nil {
		if b.Status.ID != "" {
			if _, err := opened.Edit.Do(ctx, cloudflare.Step{Verb: cloudflare.Delete, Kind: kind, ID: b.Status.ID}); err != nil {
				return reconcile.Result{}, err
			}
		}
		before := b.DeepCopy()
		controllerutil.RemoveFinalizer(b, binding.Finalizer)
		return reconcile.Result{}, r.Client.Patch(ctx, b, client.MergeFrom(before))
	}
	if controllerutil.AddFinalizer(b, binding.Finalizer) {
		before := b.DeepCopy()
		before.Finalizers = nil
		if err := r.Client.Patch(ctx, b, client.MergeFrom(before)); err != nil {
			return reconcile.Result{}, err
		}
	}
	if b.Status.ID == "" {
		name := cloudflare.Name(cloudflare.Identity{OwnerID: opened.OwnerID, Namespace: b.Namespace, Nonce: r.Clock.Now().Format("150405")}, kind)
		made, err := opened.Edit.Do(ctx, cloudflare.Step{Verb: cloudflare.Create, Kind: kind, Name: name})
		if err != nil && !errors.Is(err, cloudflare.ErrNameTaken) {
			return reconcile.Result{}, err
		}
		before := b.DeepCopy()
		b.Status.ID, b.Status.ObservedGeneration = made.ID, b.Generation
		b.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: "Ready"}}
		return reconcile.Result{RequeueAfter: time.Hour}, r.Client.Status().Patch(ctx, b, client.MergeFrom(before))
	}
	return reconcile.Result{RequeueAfter: time.Hour}, nil
}

// trusting is our controller, but what gates its effects comes from the cache, and what
// it writes isn't bound to the version that it read.
func trusting(d matrix.Deps) (reconcile.Reconciler, error) {
	m, err := binding.NewMetrics(prometheus.NewRegistry())
	c := unbound{d.Client}
	return &binding.Reconciler{
		Client: c, Live: c, Accounts: d.Accounts, Recorder: d.Recorder, Clock: d.Clock, Random: d.Random, Metrics: m,
	}, err
}

// unbound leaves the precondition out of every patch.
type unbound struct{ client.WithWatch }

func (u unbound) Patch(ctx context.Context, o client.Object, p client.Patch, opts ...client.PatchOption) error {
	return u.WithWatch.Patch(ctx, o, without(o, p), opts...)
}

func (u unbound) Status() client.SubResourceWriter { return unboundStatus{u.WithWatch.Status()} }

type unboundStatus struct{ client.SubResourceWriter }

func (u unboundStatus) Patch(ctx context.Context, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
	return u.SubResourceWriter.Patch(ctx, o, without(o, p), opts...)
}

// wasteful is our controller over an account whose Find deletes what it finds: it makes
// anew what a crash left, and nothing is there twice in the end.
func wasteful(d matrix.Deps) (reconcile.Reconciler, error) {
	d.Accounts = deletingAccounts{d.Accounts}
	return matrix.Ours(d)
}

type deletingAccounts struct{ account.Accounts }

func (a deletingAccounts) Open(ctx context.Context, key client.ObjectKey) (account.Opened, error) {
	o, err := a.Accounts.Open(ctx, key)
	o.Edit = deletingFinds{o.Edit}
	return o, err
}

type deletingFinds struct{ cloudflare.Account }

func (d deletingFinds) Find(ctx context.Context, kind cloudflare.Kind, name string) ([]cloudflare.Thing, error) {
	found, err := d.Account.Find(ctx, kind, name)
	for _, t := range found {
		if _, err := d.Do(ctx, cloudflare.Step{Verb: cloudflare.Delete, Kind: kind, ID: t.ID}); err != nil {
			return nil, err
		}
	}
	return nil, err
}

// chapters of a life alone.
func chapters(kind cloudflare.Kind, names ...string) matrix.Life {
	for _, life := range matrix.Lives() {
		if life.Kind == kind && life.Name == "made" {
			life.Phases = slices.DeleteFunc(life.Phases, func(p matrix.Phase) bool { return !slices.Contains(names, p.Name) })
			return life
		}
	}
	return matrix.Life{}
}

// wrong breaks each of the first points of a life in each way, and counts what is wrong.
func wrong(t *testing.T, maker matrix.Maker, life matrix.Life, stale int, faults ...matrix.Fault) matrix.Result {
	t.Helper()
	c, err := matrix.NewClient()
	if err != nil {
		t.Fatal(err)
	}
	points, v, err := matrix.Scenario{Life: life, DeleteAt: -1}.Run(t.Context(), c, maker, "fair")
	if err != nil || !v.OK() {
		t.Fatalf("it fails without a fault, which proves nothing: %v %+v", err, v)
	}
	var all []matrix.Scenario
	for phase, list := range points {
		for at := range list {
			for _, fault := range faults {
				for seed := range uint64(4) {
					all = append(all, matrix.Scenario{Life: life, DeleteAt: -1, Stale: stale, Seed: seed, Break: func(p, incarnation, n int, _ string) matrix.Fault {
						if p == phase && incarnation == 0 && n == at {
							return fault
						}
						return ""
					}})
				}
			}
		}
	}
	r, err := matrix.Run(t.Context(), maker, workers, all)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d scenarios: duplicates=%d orphans=%d manual=%d", r.Scenarios, r.Duplicates, r.Orphans, r.Manual)
	return r
}

func TestAControllerThatWritesDownAfterwardsIsFound(t *testing.T) {
	life := chapters(cloudflare.KV, "create", "delete")
	if r := wrong(t, newNaive, life, 0, matrix.Faults...); r.Duplicates == 0 {
		t.Error("nothing is made twice")
	}
	if r := wrong(t, matrix.Ours, life, 0, matrix.Faults...); !r.OK() {
		t.Errorf("ours is found too: %+v", r.Failures)
	}
}

func TestAControllerThatTrustsItsCacheIsFound(t *testing.T) {
	life := chapters(cloudflare.APIToken, "create", "delete")
	if r := wrong(t, trusting, life, 3, matrix.CrashBefore, ""); r.Duplicates+r.Orphans == 0 {
		t.Error("nothing is made twice or left behind")
	}
	if r := wrong(t, matrix.Ours, life, 3, matrix.CrashBefore, ""); !r.OK() {
		t.Errorf("ours is found too: %+v", r.Failures)
	}
}

func TestAControllerThatMakesAnewWhatHoldsDataIsFound(t *testing.T) {
	if r := wrong(t, wasteful, chapters(cloudflare.R2, "create", "delete"), 0, matrix.CrashAfter); r.Manual == 0 {
		t.Error("no data was lost")
	}
}

// without gives a merge patch its own words but for the version.
func without(o client.Object, p client.Patch) client.Patch {
	data, err := p.Data(o)
	if err != nil {
		return p
	}
	var words map[string]any
	if json.Unmarshal(data, &words) != nil {
		return p
	}
	if meta, ok := words["metadata"].(map[string]any); ok {
		delete(meta, "resourceVersion")
	}
	data, err = json.Marshal(words)
	if err != nil {
		return p
	}
	return client.RawPatch(p.Type(), data)
}
