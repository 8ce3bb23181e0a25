package matrix

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	accounts "github.com/crispy-enigma/crispy-enigma/controllers/account"
	"github.com/crispy-enigma/crispy-enigma/controllers/binding"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare/cloudflarefake"
)

// Scheme of what the controller reads and writes, and no more: the API server in memory
// goes through all of it at every patch.
func Scheme() (*runtime.Scheme, error) {
	s := runtime.NewScheme()
	s.AddKnownTypes(corev1.SchemeGroupVersion, &corev1.Secret{}, &corev1.SecretList{}, &corev1.Namespace{}, &corev1.NamespaceList{})
	metav1.AddToGroupVersion(s, corev1.SchemeGroupVersion)
	return s, v1alpha1.AddToScheme(s)
}

// NewClient is an API server in memory: it knows the status subresource, preconditions
// and finalizers, and neither schema nor garbage collection.
func NewClient() (client.WithWatch, error) {
	s, err := Scheme()
	if err != nil {
		return nil, err
	}
	return fake.NewClientBuilder().WithScheme(s).WithStatusSubresource(&v1alpha1.CloudflareBinding{}).Build(), nil
}

// Deps is what a controller gets.
type Deps struct {
	// Client reads from a cache that may lag; Live doesn't.
	Client, Live client.WithWatch
	Accounts     accounts.Accounts
	Clock        *clocktesting.FakePassiveClock
	Recorder     *Events
	Random       *rand.ChaCha8
}

// Maker makes a controller: ours, or one that is known to be wrong.
type Maker func(Deps) (reconcile.Reconciler, error)

// Ours makes the controller that is proven.
func Ours(d Deps) (reconcile.Reconciler, error) {
	m, err := binding.NewMetrics(prometheus.NewRegistry())
	return &binding.Reconciler{
		Client: d.Client, Live: d.Live, Accounts: d.Accounts, Recorder: d.Recorder, Clock: d.Clock, Random: d.Random, Metrics: m,
	}, err
}

// World is one Cloudflare account and a cluster's namespace.
type World struct {
	Cloudflare *cloudflarefake.World
	Clock      *clocktesting.FakePassiveClock
	// Client reads and writes as an administrator, past every gate.
	Client    client.WithWatch
	Namespace string
	OwnerID   string
	Account   *v1alpha1.CloudflareAccount
	Events    *Events
	// Problem, if there is one, is what opening the account ends with.
	Problem *accounts.Problem
	// Seen is what the last LIST showed, by kind.
	Seen map[cloudflare.Kind]accounts.Observation

	// Planted is the id of the thing that is to be adopted.
	Planted string

	history *history
	random  *rand.ChaCha8
	make    Maker
}

// Options of a World.
type Options struct {
	Client    client.WithWatch
	Namespace string
	OwnerID   string
	ListLag   time.Duration
	// SameNames lets several things have one name where the name isn't the id.
	SameNames bool
	Seed      uint64
	Make      Maker
	// Cloudflare and Clock are shared by Worlds on one account; nil for own ones.
	Cloudflare *cloudflarefake.World
	Clock      *clocktesting.FakePassiveClock
}

// NewWorld makes a World in which nothing happens yet.
func NewWorld(o Options) *World {
	w := &World{
		Cloudflare: o.Cloudflare, Clock: o.Clock, Namespace: o.Namespace, OwnerID: o.OwnerID, Events: &Events{}, make: o.Make,
		history: &history{versions: map[string][]client.Object{}}, Seen: map[cloudflare.Kind]accounts.Observation{},
	}
	var seed [32]byte
	for i := range 8 {
		seed[i] = byte(o.Seed >> (8 * i))
	}
	w.random = rand.NewChaCha8(seed)
	if w.Clock == nil {
		w.Clock = clocktesting.NewFakePassiveClock(time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC))
	}
	if w.Cloudflare == nil {
		w.Cloudflare = cloudflarefake.New(cloudflarefake.Options{Now: w.Clock.Now, ListLag: o.ListLag, SameNames: o.SameNames})
	}
	w.Client = w.history.recording(o.Client)
	w.Account = &v1alpha1.CloudflareAccount{}
	w.Account.Namespace, w.Account.Name = w.Namespace, "main"
	sum := sha256.Sum256([]byte(w.Namespace))
	w.Account.Spec.AccountID = hex.EncodeToString(sum[:16]) // each namespace has its account
	w.Account.Spec.Actuation = v1alpha1.ActuationReconciling
	return w
}

// Operator is one incarnation of an operator.
type Operator struct {
	*Gate
	reconcile.Reconciler
	w *World
	// Lag is how many versions its cache is behind, at most; it falls as it settles.
	Lag int
}

// Start starts an incarnation, which knows nothing.
func (w *World) Start(name string, gate *Gate, lag int) (*Operator, error) {
	o := &Operator{Gate: gate, w: w, Lag: lag}
	c := gate.client(w.Client)
	var err error
	o.Reconciler, err = w.make(Deps{
		Client: w.history.cached(c, func() int { return w.below(o.Lag + 1) }), Live: c,
		Accounts: opener{w, account{w.Cloudflare.Open(name), gate}}, Clock: w.Clock, Recorder: w.Events, Random: w.random,
	})
	return o, err
}

// below is a number from 0 up to n, without n.
func (w *World) below(n int) int { return int(w.random.Uint64() % uint64(max(n, 1))) }

// opener opens the World's one account.
type opener struct {
	w       *World
	account cloudflare.Account
}

func (o opener) Open(context.Context, client.ObjectKey) (accounts.Opened, error) {
	if o.w.Problem != nil {
		return accounts.Opened{}, o.w.Problem
	}
	return accounts.Opened{Account: o.w.Account, OwnerID: o.w.OwnerID, Edit: o.account, Poll: o.account}, nil
}

func (o opener) Observed(_ client.ObjectKey, kind cloudflare.Kind) (accounts.Observation, bool) {
	seen, ok := o.w.Seen[kind]
	return seen, ok
}

// List makes the last LIST one of now.
func (w *World) List(ctx context.Context, kind cloudflare.Kind) error {
	things, err := w.Cloudflare.Open("lister").List(ctx, kind)
	seen := accounts.Observation{Begun: w.Clock.Now(), Things: map[string]cloudflare.Thing{}}
	for _, t := range things {
		seen.Things[t.ID] = t
	}
	w.Seen[kind] = seen
	return err
}

// Get reads a binding; nil if it is gone.
func (w *World) Get(ctx context.Context, name string) (*v1alpha1.CloudflareBinding, error) {
	b := &v1alpha1.CloudflareBinding{}
	err := w.Client.Get(ctx, client.ObjectKey{Namespace: w.Namespace, Name: name}, b)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return b, err
}

// Secret reads a token's Secret; nil if there is none.
func (w *World) Secret(ctx context.Context, name string) (*corev1.Secret, error) {
	s := &corev1.Secret{}
	err := w.Client.Get(ctx, client.ObjectKey{Namespace: w.Namespace, Name: name}, s)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return s, err
}

// maxPasses is far above what any story takes; more is a livelock.
const maxPasses = 300

// Settle lets an operator pass over a binding until nothing is left to do, with time
// going on as the passes ask for. Who crashes is followed by who next starts.
func (w *World) Settle(ctx context.Context, o *Operator, name string, next func() (*Operator, error)) (*Operator, error) {
	stalled := 0
	for range maxPasses {
		before, faults := o.effects(), o.Faults()
		result, err := o.Pass(ctx, name)
		if o.Dead() {
			if o, err = next(); err != nil {
				return nil, err
			}
			w.Sleep(time.Second)
			continue
		}
		// A look that was broken has seen nothing: it is taken again.
		idle := err == nil && o.effects() == before && o.Faults() == faults && o.Lag == 0
		o.Lag = max(o.Lag-1, 0)
		b, readErr := w.Get(ctx, name)
		switch {
		case readErr != nil:
			return o, readErr
		case idle && (b == nil || finished(b) && result.RequeueAfter >= time.Minute):
			return o, nil
		case b != nil && b.Marks().Get(v1alpha1.ConditionStalled) != nil && o.Faults() == faults:
			stalled++
		default:
			stalled = 0
		}
		if stalled == patience {
			return o, nil
		}
		if err == nil {
			w.Sleep(max(result.RequeueAfter, time.Millisecond))
		} else {
			w.Sleep(time.Second)
		}
	}
	return o, fmt.Errorf("binding %s doesn't settle: %v", name, o.Points())
}

// patience with a binding that is Stalled though nothing is broken any more: what heals
// without a human has done so then.
const patience = 4

// Pass makes one pass.
func (o *Operator) Pass(ctx context.Context, name string) (reconcile.Result, error) {
	return o.Reconcile(ctx, reconcile.Request{NamespacedName: client.ObjectKey{Namespace: o.w.Namespace, Name: name}})
}

// effects are the points passed that aren't looks or what is written of them.
func (o *Operator) effects() int {
	n := 0
	for _, what := range o.Points() {
		if !strings.HasPrefix(what, "get ") && !strings.HasPrefix(what, "find ") && !strings.HasPrefix(what, "patch status ") {
			n++
		}
	}
	return n
}

// Sleep lets time go on.
func (w *World) Sleep(d time.Duration) { w.Clock.SetTime(w.Clock.Now().Add(d)) }

// finished tells that the binding is as its spec says, and that nothing is begun or still
// to be removed.
func finished(b *v1alpha1.CloudflareBinding) bool {
	c := b.Marks().Get(v1alpha1.ConditionReady)
	return c != nil && c.Status == metav1.ConditionTrue && b.Status.ObservedGeneration == b.Generation && b.DeletionTimestamp == nil && b.Status.Create == nil && len(b.Status.Old) == 0
}

// Events keeps what was recorded.
type Events struct {
	mu  sync.Mutex
	all []Event
}

// Event that was recorded.
type Event struct{ Object, Type, Reason, Note string }

// Eventf implements events.EventRecorder.
func (e *Events) Eventf(regarding, _ runtime.Object, kind, reason, _, note string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	name := ""
	if o, ok := regarding.(client.Object); ok {
		name = o.GetName()
	}
	e.all = append(e.all, Event{name, kind, reason, fmt.Sprintf(note, args...)})
}

// All are the events so far.
func (e *Events) All() []Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]Event(nil), e.all...)
}

// Reasons of the events so far.
func (e *Events) Reasons() []string {
	var out []string
	for _, event := range e.All() {
		out = append(out, event.Reason)
	}
	return out
}

// assign copies an object of the same kind.
func assign(to, from client.Object) error {
	switch to := to.(type) {
	case *v1alpha1.CloudflareBinding:
		from.(*v1alpha1.CloudflareBinding).DeepCopyInto(to)
	case *corev1.Secret:
		from.(*corev1.Secret).DeepCopyInto(to)
	default:
		return fmt.Errorf("no cache of %T", to)
	}
	return nil
}
