package testenv

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/statestore"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
)

// Image that the Worlds' pods run.
const Image = "registry.example/runtime@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// OwnerID of the Worlds' operator.
const OwnerID = "test-cluster"

// World is a namespace, a Reconciler for it, and what plays the rest.
type World struct {
	*Cluster
	Namespace string
	Gate      *Gate
	Runtime   *Runtime
	Clock     *clocktesting.FakePassiveClock
	Events    *Events
	Registry  *prometheus.Registry
	// Reconciler of the present incarnation; its reads are live.
	Reconciler *tenant.Reconciler

	logs   *lockedBuffer
	logger logr.Logger
}

// NewWorld makes a namespace and the first incarnation of an operator.
func (c *Cluster) NewWorld(ctx context.Context) (*World, error) {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "w-"}}
	if err := c.Client.Create(ctx, ns); err != nil {
		return nil, fmt.Errorf("making a namespace: %w", err)
	}
	logs := &lockedBuffer{}
	w := &World{
		Cluster: c, Namespace: ns.Name,
		Runtime: &Runtime{Client: c.Client},
		// Whole seconds, as the API keeps them, and now, for conditions carry real times.
		Clock:  clocktesting.NewFakePassiveClock(time.Now().Truncate(time.Second)),
		Events: &Events{},
		logs:   logs,
		logger: logr.FromSlogHandler(slog.NewJSONHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	return w, w.Restart()
}

// Restart starts a new incarnation of the operator: nothing but the cluster remembers.
func (w *World) Restart() error {
	w.Gate = &Gate{}
	w.Registry = prometheus.NewRegistry()
	metrics, err := tenant.NewMetrics(w.Registry)
	if err != nil {
		return err
	}
	served, err := discovery.NewDiscoveryClientForConfig(w.Config)
	if err != nil {
		return err
	}
	c := Indexed(w.Gate.Client(w.Client))
	w.Reconciler = &tenant.Reconciler{
		Client: c, Live: c, Runtime: w.Runtime,
		Gateway:  &tenant.GatewayAPI{Discovery: served, Clock: w.Clock},
		Recorder: w.Events, Clock: w.Clock, Random: rand.Reader,
		Operator: resources.Operator{
			OwnerID: OwnerID, RuntimeImage: Image, Namespace: "crispy-enigma-system",
			PodLabels: map[string]string{"app.kubernetes.io/name": "crispy-enigma-operator"},
		},
		Metrics: metrics, States: &statestore.Pool{},
	}
	return nil
}

// Logs are all that was logged so far.
func (w *World) Logs() string { return w.logs.String() }

// NewTenant makes a Tenant in the World's namespace and creates it.
func (w *World) NewTenant(ctx context.Context, name string, options ...Option) (*v1alpha1.Tenant, error) {
	t := NewTenant(w.Namespace, name, options...)
	return t, w.Client.Create(ctx, t)
}

// Reconcile makes one pass.
func (w *World) Reconcile(ctx context.Context, t *v1alpha1.Tenant) (reconcile.Result, error) {
	key := client.ObjectKeyFromObject(t)
	ctx = log.IntoContext(ctx, w.logger.WithValues("tenant", key.String()))
	return w.Reconciler.Reconcile(ctx, reconcile.Request{NamespacedName: key})
}

// maxPasses is far above what any way of a Tenant takes; more is a livelock.
const maxPasses = 25

// Settle makes passes, and plays the cluster's controllers after each, until a pass
// writes nothing. A crash is followed by a new incarnation, an error by another pass.
func (w *World) Settle(ctx context.Context, t *v1alpha1.Tenant) error {
	for range maxPasses {
		before := len(w.Gate.Writes())
		_, err := w.Reconcile(ctx, t)
		if w.Gate.Dead() {
			if err := w.Restart(); err != nil {
				return err
			}
			continue
		}
		if err != nil && !retried(err) {
			return err
		}
		moved, rollErr := w.RollOut(ctx, t)
		if rollErr != nil {
			return rollErr
		}
		if err == nil && !moved && len(w.Gate.Writes()) == before {
			return nil
		}
	}
	return fmt.Errorf("tenant %s doesn't settle: %v", t.Name, w.Gate.Writes())
}

// retried tells the errors that the queue tries again.
func retried(err error) bool {
	return errors.Is(err, ErrCrashed) || apierrors.IsConflict(err) || apierrors.IsInternalError(err) || apierrors.IsTimeout(err) || apierrors.IsAlreadyExists(err)
}

// RollOut plays the Deployment's controllers and the kubelet: running pods of the newest
// template, and the status that says so. It tells whether anything moved.
func (w *World) RollOut(ctx context.Context, t *v1alpha1.Tenant) (bool, error) {
	d := &appsv1.Deployment{}
	err := w.Client.Get(ctx, client.ObjectKey{Namespace: t.Namespace, Name: resources.NamesOf(t.Name).Base}, d)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil || d.Status.ObservedGeneration == d.Generation {
		return false, err
	}
	had := &corev1.PodList{}
	if err := w.Client.List(ctx, had, client.InNamespace(t.Namespace), client.MatchingLabels(resources.Selector(t.Name))); err != nil {
		return false, err
	}
	for i := range had.Items {
		if err := w.Client.Delete(ctx, &had.Items[i]); client.IgnoreNotFound(err) != nil {
			return false, err
		}
	}
	replicas := *d.Spec.Replicas
	for n := range replicas {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: t.Namespace, Name: fmt.Sprintf("%s-%d", d.Name, n)}}
		if err := w.runPod(ctx, d, pod); err != nil {
			return false, err
		}
	}
	d.Status = appsv1.DeploymentStatus{
		ObservedGeneration: d.Generation, Replicas: replicas, UpdatedReplicas: replicas,
		ReadyReplicas: replicas, AvailableReplicas: replicas,
	}
	return true, w.Client.Status().Update(ctx, d)
}

func (w *World) runPod(ctx context.Context, d *appsv1.Deployment, pod *corev1.Pod) error {
	pod = &corev1.Pod{ObjectMeta: *pod.ObjectMeta.DeepCopy(), Spec: *d.Spec.Template.Spec.DeepCopy()}
	pod.ResourceVersion, pod.UID = "", ""
	pod.Labels, pod.Annotations = d.Spec.Template.Labels, d.Spec.Template.Annotations
	if err := w.Client.Create(ctx, pod); err != nil {
		return err
	}
	RunPod(pod)
	return w.Client.Status().Update(ctx, pod)
}

// Pod is the Tenant's one pod.
func (w *World) Pod(ctx context.Context, t *v1alpha1.Tenant) (*corev1.Pod, error) {
	pod := &corev1.Pod{}
	err := w.Client.Get(ctx, client.ObjectKey{Namespace: t.Namespace, Name: resources.NamesOf(t.Name).Base + "-0"}, pod)
	return pod, err
}

// lockedBuffer lets several goroutines log.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
