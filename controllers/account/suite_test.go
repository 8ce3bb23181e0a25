package account_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/account"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare/cloudflarefake"
	"github.com/crispy-enigma/crispy-enigma/controllers/testenv"
)

// cluster is shared: each test has a namespace of its own.
var cluster *testenv.Cluster

func TestAccount(t *testing.T) {
	log.SetLogger(logr.Discard())
	RegisterFailHandler(Fail)
	RunSpecs(t, "account")
}

var _ = BeforeSuite(func() {
	var err error
	cluster, err = testenv.Start(context.Background())
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(cluster.Stop()).To(Succeed()) })
})

const (
	accountID = "0123456789abcdef0123456789abcdef"
	// good is a token that Cloudflare knows.
	good = "cfat_c4nary-good"
)

// world is a namespace, an account of Cloudflare's and the controllers between them.
type world struct {
	namespace  string
	client     client.Client
	gate       *testenv.Gate
	clock      *clocktesting.FakePassiveClock
	cloud      *cloudflarefake.World
	events     *testenv.Events
	directory  *account.Directory
	reconciler *account.Reconciler
	observer   *account.Observer
	// woken are the bindings that were rung for.
	woken workqueue.TypedRateLimitingInterface[reconcile.Request]
	// differs are the ids of things that aren't as their bindings want them.
	differs map[string]bool

	mu sync.Mutex
	// tokens that Cloudflare knows; any other is refused.
	tokens map[cloudflare.Secret]cloudflare.Account
	dialed []cloudflare.Options
}

func newWorld(ctx context.Context, options cloudflarefake.Options) *world {
	GinkgoHelper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "a-"}}
	Expect(cluster.Client.Create(ctx, ns)).To(Succeed())
	w := &world{
		namespace: ns.Name, gate: &testenv.Gate{}, events: &testenv.Events{},
		clock:   clocktesting.NewFakePassiveClock(time.Now().Truncate(time.Second)),
		differs: map[string]bool{},
	}
	options.Now = w.clock.Now
	w.cloud = cloudflarefake.New(options)
	w.tokens = map[cloudflare.Secret]cloudflare.Account{good: w.cloud.Open("good")}
	w.client = indexed(w.gate.Client(cluster.Client))
	w.restart(ctx)
	return w
}

// restart begins a new incarnation of the operator: nothing but the cluster remembers.
func (w *world) restart(ctx context.Context) {
	GinkgoHelper()
	metrics, err := account.NewMetrics(prometheus.NewRegistry())
	Expect(err).NotTo(HaveOccurred())
	w.directory = account.NewDirectory(account.Config{
		Client: w.client, Live: w.client, Dial: w.dial, OwnerID: testenv.OwnerID, Clock: w.clock,
	})
	w.reconciler = &account.Reconciler{
		Client: w.client, Live: w.client, Accounts: w.directory, Recorder: w.events, Clock: w.clock, Metrics: metrics,
	}
	w.observer = &account.Observer{
		Client: w.client, Accounts: w.directory, Clock: w.clock, Every: account.ObserveEvery, Metrics: metrics,
		Differs: func(_ *v1alpha1.CloudflareBinding, t cloudflare.Thing) bool { return w.differs[t.ID] },
	}
	w.woken = workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
	DeferCleanup(w.woken.ShutDown)
	Expect(w.directory.Bindings().Start(ctx, w.woken)).To(Succeed())
}

func (w *world) dial(o cloudflare.Options, _ cloudflare.Lane) cloudflare.Account {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dialed = append(w.dialed, o)
	if a := w.tokens[o.Token]; a != nil {
		return a
	}
	unknown := w.cloud.Open("unknown")
	unknown.Revoke(true)
	return unknown
}

// token is a token that Cloudflare knows.
func (w *world) token(value cloudflare.Secret) *cloudflarefake.Account {
	w.mu.Lock()
	defer w.mu.Unlock()
	a := w.cloud.Open(string(value))
	w.tokens[value] = a
	return a
}

// indexed makes a client that reads live answer for the indexes of the cache.
func indexed(c client.WithWatch) client.Client {
	return interceptor.NewClient(c, interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			asked := (&client.ListOptions{}).ApplyOptions(opts)
			if asked.FieldSelector == nil {
				return c.List(ctx, list, opts...)
			}
			value := asked.FieldSelector.Requirements()[0].Value
			asked.FieldSelector = nil
			if err := c.List(ctx, list, asked); err != nil {
				return err
			}
			other := func(o client.Object) bool { return !slices.Contains(account.ByAccount(o), value) }
			switch l := list.(type) {
			case *v1alpha1.CloudflareBindingList:
				l.Items = slices.DeleteFunc(l.Items, func(b v1alpha1.CloudflareBinding) bool { return other(&b) })
			case *v1alpha1.TenantList:
				l.Items = slices.DeleteFunc(l.Items, func(t v1alpha1.Tenant) bool { return other(&t) })
			}
			return nil
		},
	})
}

func (w *world) key(name string) client.ObjectKey {
	return client.ObjectKey{Namespace: w.namespace, Name: name}
}

// newAccount creates an account whose token lies in Secret "cf".
func (w *world) newAccount(ctx context.Context, name string, options ...func(*v1alpha1.CloudflareAccount)) *v1alpha1.CloudflareAccount {
	GinkgoHelper()
	a := &v1alpha1.CloudflareAccount{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}}
	a.Spec.AccountID = accountID
	a.Spec.Credentials.SecretRef = v1alpha1.SecretKeyReference{Name: "cf"}
	for _, o := range options {
		o(a)
	}
	Expect(cluster.Client.Create(ctx, a)).To(Succeed())
	return a
}

// put writes a token into a Secret.
func (w *world) put(ctx context.Context, secret, token string) {
	GinkgoHelper()
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: secret}}
	Expect(client.IgnoreNotFound(cluster.Client.Delete(ctx, s))).To(Succeed())
	s = &corev1.Secret{ObjectMeta: s.ObjectMeta, StringData: map[string]string{"token": token}}
	s.ResourceVersion, s.UID = "", ""
	Expect(cluster.Client.Create(ctx, s)).To(Succeed())
}

// newBinding creates a binding in account "cf" that has a thing already.
func (w *world) newBinding(ctx context.Context, kind v1alpha1.BindingType, name, id string, options ...func(*v1alpha1.CloudflareBinding)) *v1alpha1.CloudflareBinding {
	GinkgoHelper()
	b := &v1alpha1.CloudflareBinding{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}}
	b.Spec.Type, b.Spec.AccountRef.Name = kind, "cf"
	switch kind {
	case v1alpha1.BindingVectorize:
		b.Spec.Vectorize = &v1alpha1.VectorizeSettings{Dimensions: 3}
	case v1alpha1.BindingAPIToken:
		b.Spec.APIToken = &v1alpha1.APITokenSettings{Permissions: []string{"Workers AI Read"}}
	}
	for _, o := range options {
		o(b)
	}
	status := b.Status
	Expect(cluster.Client.Create(ctx, b)).To(Succeed())
	b.Status = status
	b.Status.ID = id
	Expect(cluster.Client.Status().Update(ctx, b)).To(Succeed())
	// Ids repeat from one World to the next, and strays are looked for in all namespaces.
	DeferCleanup(func(ctx SpecContext) {
		Expect(client.IgnoreNotFound(cluster.Client.Delete(ctx, b))).To(Succeed())
	})
	return b
}

// pass reconciles an account that must end without an error, and reads it again.
func (w *world) pass(ctx context.Context, a *v1alpha1.CloudflareAccount) reconcile.Result {
	GinkgoHelper()
	result, err := w.reconciler.Reconcile(ctx, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(a)})
	Expect(err).NotTo(HaveOccurred())
	w.reload(ctx, a)
	return result
}

// observe makes one round of the observer.
func (w *world) observe(ctx context.Context, a *v1alpha1.CloudflareAccount) reconcile.Result {
	GinkgoHelper()
	result, err := w.observer.Reconcile(ctx, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(a)})
	Expect(err).NotTo(HaveOccurred())
	return result
}

func (w *world) reload(ctx context.Context, o client.Object) {
	GinkgoHelper()
	Expect(client.IgnoreNotFound(cluster.Client.Get(ctx, client.ObjectKeyFromObject(o), o))).To(Succeed())
}

func (w *world) after(d time.Duration) { w.clock.SetTime(w.clock.Now().Add(d)) }

// calls counts the calls of Cloudflare that f makes.
func (w *world) calls(f func()) int {
	before := w.cloud.Calls()
	f()
	return w.cloud.Calls() - before
}

// rung are the bindings that were woken since the last call, sorted.
func (w *world) rung() []string {
	var names []string
	for w.woken.Len() > 0 {
		request, _ := w.woken.Get()
		w.woken.Done(request)
		names = append(names, request.Name)
	}
	slices.Sort(names)
	return names
}

// condition gives a condition's status and reason, "" if there is none.
func condition(a *v1alpha1.CloudflareAccount, kind string) string {
	c := a.Marks().Get(kind)
	if c == nil {
		return ""
	}
	return string(c.Status) + "/" + c.Reason
}

func message(a *v1alpha1.CloudflareAccount, kind string) string {
	GinkgoHelper()
	c := a.Marks().Get(kind)
	Expect(c).NotTo(BeNil())
	return c.Message
}

// problem is the reason for which an account isn't opened.
func problem(err error) string {
	GinkgoHelper()
	var p *account.Problem
	Expect(errors.As(err, &p)).To(BeTrue(), "%v", err)
	Expect(p.After).To(BeNumerically(">", 0))
	return p.Reason
}

func names(things map[string]cloudflare.Thing) []string {
	return slices.Sorted(maps.Keys(things))
}
