package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/config"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/cmd/internal/memory"
	"github.com/crispy-enigma/crispy-enigma/controllers"
	"github.com/crispy-enigma/crispy-enigma/controllers/account"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
)

// flags of the running operator.
type flags struct {
	runtimeImage   string
	ownerID        string
	namespaces     string
	classFile      string
	leaderElect    bool
	userNamespaces bool
	metricsAddress string
	probeAddress   string
	podNamespace   string
	podLabels      string
	observeEvery   time.Duration
	logLevel       slog.Level
}

func parseFlags(args []string, notes io.Writer) (flags, error) {
	var f flags
	set := flag.NewFlagSet("operator", flag.ContinueOnError)
	set.SetOutput(notes)
	set.Usage = func() { fmt.Fprintln(notes, usage); set.PrintDefaults() }
	config.RegisterFlags(set)
	set.StringVar(&f.runtimeImage, "runtime-image", os.Getenv("RUNTIME_IMAGE"), "image of the tenants' runtime, best by digest")
	set.StringVar(&f.ownerID, "owner-id", "", "this cluster's mark on stored data; default: the UID of namespace kube-system")
	set.StringVar(&f.namespaces, "namespaces", "", "namespaces to watch, separated by commas; default: all")
	set.StringVar(&f.classFile, "class-file", "", "manifest of the one TenantClass, with --namespaces; read at start")
	set.BoolVar(&f.leaderElect, "leader-elect", false, "work only while holding the Lease; needed with more than one replica")
	set.BoolVar(&f.userNamespaces, "user-namespaces", false, "give tenants' pods user namespaces of their own (hostUsers: false)")
	set.StringVar(&f.metricsAddress, "metrics-bind-address", ":8443", "address of the metrics; 0 for none. Served with TLS to those whom the cluster allows, or plainly on a loopback address")
	set.StringVar(&f.probeAddress, "health-probe-bind-address", ":8081", "address of /healthz and /readyz; 0 for none")
	set.StringVar(&f.podNamespace, "pod-namespace", os.Getenv("POD_NAMESPACE"), "namespace of the operator's pods, which tenants' NetworkPolicies let in")
	set.StringVar(&f.podLabels, "pod-labels", "app.kubernetes.io/name=crispy-enigma-operator", "labels of the operator's pods, as key=value separated by commas")
	set.DurationVar(&f.observeEvery, "observe-every", account.ObserveEvery, "how often each kind of thing in a Cloudflare account is listed, which shows what was changed there by hand; from 1m")
	set.TextVar(&f.logLevel, "log-level", slog.LevelInfo, "least level that is logged: debug, info, warn or error")
	if err := set.Parse(args); err != nil {
		return f, err
	}
	if set.NArg() > 0 {
		return f, fmt.Errorf("unknown argument %q\n%s", set.Arg(0), usage)
	}
	if f.runtimeImage == "" {
		return f, fmt.Errorf("--runtime-image is required: the image that tenants' pods run")
	}
	if f.observeEvery < time.Minute {
		return f, fmt.Errorf("--observe-every: %s is less than a minute, and would leave no API budget for changes", f.observeEvery)
	}
	if f.classFile != "" && f.namespaces == "" {
		return f, fmt.Errorf("--class-file goes with --namespaces: an operator of the whole cluster reads TenantClasses")
	}
	return f, nil
}

func run(ctx context.Context, args []string, notes io.Writer) error {
	f, err := parseFlags(args, notes)
	if err != nil {
		return err
	}
	memory.Limit()
	memory.Pace()
	logger := logr.FromSlogHandler(slog.NewJSONHandler(notes, &slog.HandlerOptions{Level: f.logLevel}))
	log.SetLogger(logger)
	options, err := operatorOptions(ctx, f)
	if err != nil {
		return err
	}
	cluster, err := config.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the cluster: %w", err)
	}
	mgr, err := controllers.NewManager(cluster, options, managerOptions(f, logger))
	if err != nil {
		return err
	}
	if err := controllers.Setup(ctx, mgr, options); err != nil {
		return err
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return fmt.Errorf("adding the health check: %w", err)
	}
	if err := mgr.AddReadyzCheck("ping", healthz.Ping); err != nil {
		return fmt.Errorf("adding the readiness check: %w", err)
	}
	logger.Info("starting", "version", buildVersion(), "runtimeImage", f.runtimeImage, "namespaces", f.namespaces)
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("running: %w", err)
	}
	return nil
}

func managerOptions(f flags, logger logr.Logger) manager.Options {
	o := ctrl.Options{
		Logger:                 logger,
		LeaderElection:         f.leaderElect,
		HealthProbeBindAddress: f.probeAddress,
		Metrics:                metricsserver.Options{BindAddress: f.metricsAddress},
	}
	o.Controller.Logger = logger
	if !isLoopback(f.metricsAddress) {
		o.Metrics.SecureServing = true
		o.Metrics.FilterProvider = filters.WithAuthenticationAndAuthorization
	}
	return o
}

// isLoopback tells whether only the pod itself reaches an address.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}

func operatorOptions(ctx context.Context, f flags) (controllers.Options, error) {
	o := controllers.Options{
		Operator: resources.Operator{
			OwnerID:      f.ownerID,
			RuntimeImage: f.runtimeImage,
			Namespace:    f.podNamespace,
			PodLabels:    map[string]string{},
		},
		UserNamespaces: f.userNamespaces,
		ObserveEvery:   f.observeEvery,
		Registerer:     metrics.Registry,
	}
	for pair := range strings.SplitSeq(f.podLabels, ",") {
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			return o, fmt.Errorf("--pod-labels: %q isn't key=value", pair)
		}
		o.Operator.PodLabels[key] = value
	}
	for namespace := range strings.SplitSeq(f.namespaces, ",") {
		if namespace != "" {
			o.Namespaces = append(o.Namespaces, namespace)
		}
	}
	if f.classFile == "" {
		return o, nil
	}
	class, err := readClass(ctx, f.classFile)
	o.Class = class
	return o, err
}

func readClass(ctx context.Context, path string) (*v1alpha1.TenantClass, error) {
	objects, err := readManifests(ctx, []string{path})
	if err != nil {
		return nil, err
	}
	if len(objects.Classes) != 1 {
		return nil, fmt.Errorf("%s holds %d TenantClasses, not one", path, len(objects.Classes))
	}
	return &objects.Classes[0], nil
}
