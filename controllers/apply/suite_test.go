package apply_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/apply"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
)

var (
	server   *envtest.Environment
	restConf *rest.Config
	types    = runtime.NewScheme()
	// writes counts what api sends to change something.
	writes atomic.Int64
	// api counts its writes; plain, which plays everybody else, doesn't.
	api   client.WithWatch
	plain client.WithWatch
)

func TestApply(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "apply")
}

var _ = BeforeSuite(func() {
	Expect(scheme.AddToScheme(types)).To(Succeed())
	Expect(gatewayv1.Install(types)).To(Succeed())
	Expect(v1alpha1.AddToScheme(types)).To(Succeed())
	server = &envtest.Environment{
		Scheme:                types,
		BinaryAssetsDirectory: assets(),
		CRDDirectoryPaths: []string{
			filepath.Join(command("go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/gateway-api"), "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"),
		},
		ErrorIfCRDPathMissing: true,
	}
	var err error
	restConf, err = server.Start()
	Expect(err).NotTo(HaveOccurred())
	restConf.QPS = -1
	plain, err = client.NewWithWatch(restConf, client.Options{Scheme: types})
	Expect(err).NotTo(HaveOccurred())
	api = counting(plain)
})

var _ = AfterSuite(func() { Expect(server.Stop()).To(Succeed()) })

// assets are etcd and kube-apiserver: where KUBEBUILDER_ASSETS says, else built once.
func assets() string {
	if dir := os.Getenv("KUBEBUILDER_ASSETS"); dir != "" {
		return dir
	}
	return command("go", "run", "./hack/toolbox", "assets")
}

// command runs in the module's root.
func command(name string, args ...string) string {
	c := exec.Command(name, args...)
	c.Dir = "../.."
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, GinkgoWriter
	Expect(c.Run()).To(Succeed())
	return strings.TrimSpace(out.String())
}

func counting(c client.WithWatch) client.WithWatch {
	return interceptor.NewClient(c, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			writes.Add(1)
			return c.Create(ctx, o, opts...)
		},
		Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			writes.Add(1)
			return c.Update(ctx, o, opts...)
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			writes.Add(1)
			return c.Patch(ctx, o, p, opts...)
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			writes.Add(1)
			return c.Delete(ctx, o, opts...)
		},
		Apply: func(ctx context.Context, c client.WithWatch, o runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			writes.Add(1)
			return c.Apply(ctx, o, opts...)
		},
	})
}

// tenant is a set of inputs in a namespace of its own.
type tenant struct {
	resources.Inputs
	ctx context.Context
}

// newTenant has about everything that there are children for.
func newTenant(ctx context.Context, edits ...func(*resources.Inputs)) *tenant {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "apply-"}}
	ExpectWithOffset(1, plain.Create(ctx, ns)).To(Succeed())
	t := &tenant{ctx: ctx, Inputs: resources.Inputs{
		Tenant: &v1alpha1.Tenant{ObjectMeta: metav1.ObjectMeta{Name: "acme", Namespace: ns.Name, UID: "0c0ffee0-0000-4000-8000-000000000001"}},
		Operator: resources.Operator{
			OwnerID: "c1u57e4", RuntimeImage: "registry.example/runtime:v1", Namespace: "enigma-system",
			PodLabels: map[string]string{"app.kubernetes.io/name": "crispy-enigma"},
		},
		Cluster:     resources.Capabilities{HostUsers: true, GatewayAPI: true},
		StatusToken: "status-token",
		Keys:        map[string]string{"default": "ce_key"},
		Generated:   map[string]resources.GeneratedKey{"default": {Value: "ce_key", Revision: 1, CreatedAt: time.Unix(1_900_000_000, 0)}},
		Hosts:       []string{"acme.example"},
		Now:         time.Unix(1_900_000_000, 0),
	}}
	s := &t.Tenant.Spec
	s.DeletionPolicy = v1alpha1.DeletionDelete
	s.Upstream = v1alpha1.Upstream{Type: v1alpha1.UpstreamOpenAI, BaseURL: "http://llm.models:8000/v1"}
	s.Models.Chat = "llama3.2"
	s.Exposure = v1alpha1.Exposure{Hosts: t.Hosts, Gateway: &v1alpha1.GatewayReference{Name: "public", Namespace: "edge", SectionName: "https"}}
	s.Runtime = v1alpha1.Runtime{
		Replicas:     new(int32(2)),
		NodeSelector: map[string]v1alpha1.LabelValue{"kubernetes.io/arch": "arm64"},
		Tolerations:  []corev1.Toleration{{Key: "spot", Operator: corev1.TolerationOpExists}},
		Resources: &corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("0.5")},
			Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("512Mi")},
		},
	}
	s.State = &v1alpha1.State{Embedded: &v1alpha1.EmbeddedState{Persistence: &v1alpha1.Persistence{Size: resource.MustParse("1024Mi")}}}
	for _, edit := range edits {
		edit(&t.Inputs)
	}
	return t
}

func ephemeral(in *resources.Inputs) {
	in.Tenant.Spec.State = &v1alpha1.State{Embedded: &v1alpha1.EmbeddedState{Ephemeral: &v1alpha1.EphemeralState{}}}
}

func autoscaled(in *resources.Inputs) {
	in.Tenant.Spec.Runtime.Replicas = nil
	in.Tenant.Spec.Runtime.Autoscaling = &v1alpha1.Autoscaling{Min: 2, Max: 7, Target: 60}
}

func onIngress(in *resources.Inputs) {
	in.Tenant.Spec.Exposure.Gateway = nil
	in.Tenant.Spec.Exposure.IngressClassName = new("nginx")
}

func (t *tenant) children() []resources.Object {
	t.Effective = v1alpha1.EffectiveOf(t.Tenant, t.Class)
	all, err := resources.All(t.Inputs)
	ExpectWithOffset(1, err).NotTo(HaveOccurred())
	return all
}

func (t *tenant) owner() apply.Owner {
	return apply.Owner{
		Object:      t.Tenant,
		Inventory:   resources.Inventory(t.Tenant.Name),
		IdentityKey: resources.StorageIdentity,
		Prune:       resources.Kinds(t.Cluster),
	}
}

// applyWith makes one pass with c and gives its result and what it wrote.
func (t *tenant) applyWith(c client.Client, owner apply.Owner) (apply.Result, int64, error) {
	before := writes.Load()
	result, err := apply.All(t.ctx, c, owner, t.children()...)
	return result, writes.Load() - before, err
}

func (t *tenant) apply() (apply.Result, int64) {
	result, n, err := t.applyWith(api, t.owner())
	ExpectWithOffset(1, err).NotTo(HaveOccurred())
	return result, n
}

// applyOnly makes a pass over one child, and prunes nothing.
func (t *tenant) applyOnly(o resources.Object) (apply.Result, int64) {
	owner, before := t.owner(), writes.Load()
	owner.Prune = nil
	result, err := apply.All(t.ctx, api, owner, o)
	ExpectWithOffset(1, err).NotTo(HaveOccurred())
	return result, writes.Load() - before
}
