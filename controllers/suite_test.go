package controllers_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/yaml"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
	"github.com/crispy-enigma/crispy-enigma/controllers/testenv"
)

var (
	cluster *testenv.Cluster
	runtime *testenv.Runtime
	// restricted is the operator's own user, with the rights of config/rbac and no more.
	restricted *rest.Config
)

func TestControllers(t *testing.T) {
	log.SetLogger(logr.Discard())
	RegisterFailHandler(Fail)
	RunSpecs(t, "controllers")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	var err error
	cluster, err = testenv.Start(context.Background())
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(cluster.Stop()).To(Succeed()) })
	stop, err := cluster.RunControllerManager(GinkgoT().TempDir())
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(stop()).To(Succeed()) })
	runtime = &testenv.Runtime{Client: cluster.Client}
	restricted = restrictedUser(ctx)
})

// restrictedUser has the ClusterRole that is generated from the markers.
func restrictedUser(ctx context.Context) *rest.Config {
	GinkgoHelper()
	user, err := cluster.AddUser(envtest.User{Name: "operator"})
	Expect(err).NotTo(HaveOccurred())
	b, err := os.ReadFile(filepath.Join("..", "config", "rbac", "role.yaml"))
	Expect(err).NotTo(HaveOccurred())
	role := &rbacv1.ClusterRole{}
	Expect(yaml.UnmarshalStrict(b, role)).To(Succeed())
	Expect(cluster.Client.Create(ctx, role)).To(Succeed())
	Expect(cluster.Client.Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "operator"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "operator"}},
	})).To(Succeed())
	return user
}

func operatorOptions() controllers.Options {
	return controllers.Options{
		Operator: resources.Operator{
			RuntimeImage: testenv.Image, Namespace: "crispy-enigma-system",
			PodLabels: map[string]string{"app.kubernetes.io/name": "crispy-enigma-operator"},
		},
		Runtime:    runtime,
		Registerer: prometheus.NewRegistry(),
	}
}

func managerOptions() manager.Options {
	o := manager.Options{HealthProbeBindAddress: "0", Metrics: metricsserver.Options{BindAddress: "0"}}
	o.Controller.SkipNameValidation = new(true)
	return o
}

// startOperator runs an operator until stop is called, which waits for its end.
func startOperator(config *rest.Config, options controllers.Options, base manager.Options) (stop func()) {
	GinkgoHelper()
	ctx, cancel := context.WithCancel(context.Background())
	mgr, err := controllers.NewManager(config, options, base)
	Expect(err).NotTo(HaveOccurred())
	Expect(controllers.Setup(ctx, mgr, options)).To(Succeed())
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	stopped := false
	stop = func() {
		GinkgoHelper()
		if stopped {
			return
		}
		stopped = true
		cancel()
		Eventually(ended).WithTimeout(30 * time.Second).Should(Receive(BeNil()))
	}
	DeferCleanup(stop)
	return stop
}

func newNamespace(ctx context.Context) string {
	GinkgoHelper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "c-"}}
	Expect(cluster.Client.Create(ctx, ns)).To(Succeed())
	return ns.Name
}

func newTenant(ctx context.Context, namespace, name string, options ...testenv.Option) *v1alpha1.Tenant {
	GinkgoHelper()
	t := testenv.NewTenant(namespace, name, options...)
	Expect(cluster.Client.Create(ctx, t)).To(Succeed())
	return t
}

// reason of the Tenant's Ready condition, "Ready" if it is about this generation.
func reason(ctx context.Context, t *v1alpha1.Tenant) func() (string, error) {
	return func() (string, error) {
		if err := cluster.Client.Get(ctx, client.ObjectKeyFromObject(t), t); err != nil {
			return "", err
		}
		c := t.Condition(v1alpha1.ConditionReady)
		if c == nil || t.Status.ObservedGeneration != t.Generation {
			return "not seen yet", nil
		}
		return c.Reason, nil
	}
}

func eventually(actual any) AsyncAssertion {
	return Eventually(actual).WithTimeout(30 * time.Second).WithPolling(50 * time.Millisecond)
}
