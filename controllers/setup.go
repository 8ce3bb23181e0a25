package controllers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/client-go/discovery"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/account"
	"github.com/crispy-enigma/crispy-enigma/controllers/apply"
	"github.com/crispy-enigma/crispy-enigma/controllers/binding"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
	"github.com/crispy-enigma/crispy-enigma/controllers/statestore"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
)

const (
	// concurrent passes, over different Tenants. Asking a pod may take two seconds.
	concurrent = 8
	// concurrentBindings are many, since nearly all of them wait for their account's API
	// budget; how many of one account, its Turns say.
	concurrentBindings = 128
	// passTimeout bounds one pass; what is cut off is taken up again.
	passTimeout = 60 * time.Second
	// leaderID names the Lease of the leader.
	leaderID = "crispy-enigma-operator"
)

// Options of the operator.
type Options struct {
	// Operator is what children know of it; OwnerID may be empty, which takes the UID of
	// the namespace kube-system.
	Operator resources.Operator
	// UserNamespaces gives pods user namespaces of their own (hostUsers: false).
	UserNamespaces bool
	// Namespaces that are watched; none means all. With namespaces the operator needs no
	// right outside them.
	Namespaces []string
	// Class for an install with Namespaces, which may not read TenantClasses; nil for
	// the built-in defaults.
	Class *v1alpha1.TenantClass
	// Runtime asks pods for their status; nil asks over HTTP.
	Runtime tenant.StatusReader
	// ObserveEvery is how old what is known of a Cloudflare account may be; 0 means
	// account.ObserveEvery.
	ObserveEvery time.Duration
	// Dial reaches Cloudflare; nil is a cloudflare.Pool over HTTP.
	Dial func(cloudflare.Options, cloudflare.Lane) cloudflare.Account
	// Registerer of metrics.
	Registerer prometheus.Registerer
}

// Scheme knows every kind that the operator reads or writes.
func Scheme() (*runtime.Scheme, error) {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme, gatewayv1.Install} {
		if err := add(s); err != nil {
			return nil, fmt.Errorf("building the scheme: %w", err)
		}
	}
	return s, nil
}

// NewManager makes the manager in which Setup's controllers run. base holds what only
// the caller knows: listeners, leader election, logger.
func NewManager(c *rest.Config, o Options, base manager.Options) (manager.Manager, error) {
	scheme, err := Scheme()
	if err != nil {
		return nil, err
	}
	// No client-side throttle: the API server's priority and fairness is the one that
	// knows what it can bear.
	c = rest.CopyConfig(c)
	c.QPS = -1

	base.Scheme = scheme
	base.LeaderElectionID = leaderID
	base.LeaderElectionReleaseOnCancel = true
	base.Cache = cacheOptions(o)
	base.Client = clientOptions(o)
	base.Controller = config.Controller{
		UsePriorityQueue:        new(true),
		EnableWarmup:            new(true),
		MaxConcurrentReconciles: concurrent,
		ReconciliationTimeout:   passTimeout,
		Logger:                  base.Controller.Logger,
		SkipNameValidation:      base.Controller.SkipNameValidation,
	}
	mgr, err := ctrl.NewManager(c, base)
	if err != nil {
		return nil, fmt.Errorf("making the manager: %w", err)
	}
	return mgr, nil
}

// cacheOptions hold what is ours: our own kinds, and children by their label.
func cacheOptions(o Options) cache.Options {
	ours := having(resources.LabelTenant, selection.Exists)
	options := cache.Options{
		ReaderFailOnMissingInformer: true,
		DefaultTransform:            apply.KeepOwn,
		DefaultNamespaces:           namespaces(o),
		ByObject:                    map[client.Object]cache.ByObject{},
	}
	for _, child := range tenant.Children() {
		options.ByObject[child] = cache.ByObject{Label: ours, Transform: apply.KeepOwn}
	}
	stripped := cache.ByObject{Transform: cache.TransformStripManagedFields()}
	options.ByObject[&v1alpha1.Tenant{}] = stripped
	options.ByObject[&v1alpha1.CloudflareAccount{}] = stripped
	// Of these some are children, and others are written by hand.
	options.ByObject[&v1alpha1.CloudflareBinding{}] = cache.ByObject{Transform: apply.KeepOwn}
	if len(o.Namespaces) == 0 {
		options.ByObject[&v1alpha1.TenantClass{}] = stripped
	}
	return options
}

func clientOptions(o Options) client.Options {
	options := client.Options{Cache: &client.CacheOptions{
		// Secrets are never cached; routes may have no kind.
		DisableFor: []client.Object{&corev1.Secret{}, &gatewayv1.HTTPRoute{}},
	}}
	if len(o.Namespaces) == 0 {
		// Not with several namespaces a kind: it doesn't work there.
		options.Cache.EnableReadYourWritesConsistency = new(true)
	}
	return options
}

func namespaces(o Options) map[string]cache.Config {
	if len(o.Namespaces) == 0 {
		return nil
	}
	out := map[string]cache.Config{}
	for _, n := range o.Namespaces {
		out[n] = cache.Config{}
	}
	return out
}

// having selects by one label. Its arguments are constants that are known to be valid.
func having(label string, op selection.Operator, values ...string) labels.Selector {
	r, err := labels.NewRequirement(label, op, values)
	if err != nil {
		return labels.Nothing()
	}
	return labels.NewSelector().Add(*r)
}

// Setup puts the operator's controllers into a manager that NewManager made.
func Setup(ctx context.Context, mgr manager.Manager, o Options) error {
	if o.Operator.RuntimeImage == "" {
		return errors.New("no runtime image: the operator needs --runtime-image")
	}
	if o.Operator.OwnerID == "" {
		id, err := clusterID(ctx, mgr.GetAPIReader())
		if err != nil {
			return err
		}
		o.Operator.OwnerID = id
	}
	if err := tenant.RegisterIndexes(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	metrics, err := tenant.NewMetrics(o.Registerer)
	if err != nil {
		return fmt.Errorf("registering the metrics: %w", err)
	}
	served, err := discovery.NewDiscoveryClientForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return fmt.Errorf("making the discovery client: %w", err)
	}
	secrets, err := secretCaches(mgr, o)
	if err != nil {
		return err
	}
	if o.Runtime == nil {
		o.Runtime = tenant.NewPodStatus()
	}
	r := &tenant.Reconciler{
		Client:     mgr.GetClient(),
		Live:       mgr.GetAPIReader(),
		Runtime:    o.Runtime,
		Gateway:    &tenant.GatewayAPI{Discovery: served, Clock: clock.RealClock{}},
		Recorder:   mgr.GetEventRecorder("crispy-enigma"),
		Clock:      clock.RealClock{},
		Random:     rand.Reader,
		Operator:   o.Operator,
		Cluster:    resources.Capabilities{HostUsers: o.UserNamespaces},
		Namespaces: o.Namespaces,
		ClassFile:  o.Class,
		Metrics:    metrics,
		States:     &statestore.Pool{Rest: statestore.Rest},
	}
	if err := r.SetupWithManager(mgr, controller.Options{}, secrets...); err != nil {
		return fmt.Errorf("setting up the tenant controller: %w", err)
	}
	return setupCloudflare(ctx, mgr, o, secrets)
}

// setupCloudflare puts in the controllers of accounts and of what lies in them. They share
// one Directory, and so one budget for each API token.
func setupCloudflare(ctx context.Context, mgr manager.Manager, o Options, secrets []cache.Cache) error {
	if err := account.RegisterIndexes(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	metrics, err := account.NewMetrics(o.Registerer)
	if err != nil {
		return fmt.Errorf("registering the metrics of accounts: %w", err)
	}
	bindingMetrics, err := binding.NewMetrics(o.Registerer)
	if err != nil {
		return fmt.Errorf("registering the metrics of bindings: %w", err)
	}
	if o.ObserveEvery <= 0 {
		o.ObserveEvery = account.ObserveEvery
	}
	dial := o.Dial
	if dial == nil {
		pool := cloudflare.NewPool(cloudflare.PoolOptions{})
		dial = func(opts cloudflare.Options, lane cloudflare.Lane) cloudflare.Account { return pool.Open(opts, lane) }
	}
	directory := account.NewDirectory(account.Config{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Dial: dial,
		OwnerID: o.Operator.OwnerID, Namespaces: o.Namespaces, Clock: clock.RealClock{},
	})
	recorder := mgr.GetEventRecorder("crispy-enigma")
	accounts := &account.Reconciler{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Accounts: directory, Recorder: recorder,
		Clock: clock.RealClock{}, Namespaces: o.Namespaces, Metrics: metrics,
	}
	if err := accounts.SetupWithManager(mgr, controller.Options{}, secrets...); err != nil {
		return fmt.Errorf("setting up the account controller: %w", err)
	}
	observer := &account.Observer{
		Client: mgr.GetClient(), Accounts: directory, Clock: clock.RealClock{}, Every: o.ObserveEvery,
		Differs: binding.Differs, Metrics: metrics,
	}
	if err := observer.SetupWithManager(mgr, controller.Options{}); err != nil {
		return fmt.Errorf("setting up the controller of observations: %w", err)
	}
	bindings := &binding.Reconciler{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Accounts: directory, Turns: directory.Turns(), Recorder: recorder,
		Clock: clock.RealClock{}, Random: rand.Reader, Namespaces: o.Namespaces, Metrics: bindingMetrics,
	}
	err = bindings.SetupWithManager(ctx, mgr, controller.Options{MaxConcurrentReconciles: concurrentBindings}, directory.Bindings(), secrets...)
	if err != nil {
		return fmt.Errorf("setting up the binding controller: %w", err)
	}
	return nil
}

// clusterID marks all that this cluster's tenants store: the UID of kube-system lives as
// long as the cluster does.
func clusterID(ctx context.Context, live client.Reader) (string, error) {
	ns := &metav1.PartialObjectMetadata{}
	ns.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	if err := live.Get(ctx, client.ObjectKey{Name: metav1.NamespaceSystem}, ns); err != nil {
		return "", fmt.Errorf("reading the cluster's id from namespace kube-system (give --owner-id where that isn't allowed): %w", err)
	}
	return string(ns.UID), nil
}

// secretCaches watch the metadata of Secrets, never their values: those of Tenants, and
// those that people have labelled to be seen at once.
func secretCaches(mgr manager.Manager, o Options) ([]cache.Cache, error) {
	var out []cache.Cache
	for _, selector := range []labels.Selector{
		having(resources.LabelTenant, selection.Exists),
		having(tenant.LabelWatch, selection.In, "true"),
	} {
		c, err := cache.New(mgr.GetConfig(), cache.Options{
			Scheme:               mgr.GetScheme(),
			HTTPClient:           mgr.GetHTTPClient(),
			Mapper:               mgr.GetRESTMapper(),
			DefaultLabelSelector: selector,
			DefaultNamespaces:    namespaces(o),
			DefaultTransform:     cache.TransformStripManagedFields(),
		})
		if err != nil {
			return nil, fmt.Errorf("making the cache of Secrets' metadata: %w", err)
		}
		if err := mgr.Add(started{c}); err != nil {
			return nil, fmt.Errorf("adding the cache of Secrets' metadata: %w", err)
		}
		out = append(out, c)
	}
	return out, nil
}

// started makes the manager start a cache with its own, before any controller waits for
// it.
type started struct{ cache.Cache }

func (s started) GetCache() cache.Cache { return s.Cache }
