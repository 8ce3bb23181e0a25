package tenant_test

import (
	"context"
	"encoding/json"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
	"github.com/crispy-enigma/crispy-enigma/controllers/testenv"
)

// cluster is shared: each test has a namespace of its own.
var cluster *testenv.Cluster

func TestTenant(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "tenant")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	var err error
	cluster, err = testenv.Start(context.Background())
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(cluster.Stop()).To(Succeed()) })
})

func newWorld(ctx context.Context) *testenv.World {
	GinkgoHelper()
	w, err := cluster.NewWorld(ctx)
	Expect(err).NotTo(HaveOccurred())
	return w
}

// document reads the Tenant's document as its pod would.
func document(ctx context.Context, w *testenv.World, t *v1alpha1.Tenant) *tenantconfig.Config {
	GinkgoHelper()
	c, err := tenantconfig.Parse(secret(ctx, w, resources.NamesOf(t.Name).Config).Data[tenantconfig.DocumentFile])
	Expect(err).NotTo(HaveOccurred())
	return c
}

func secret(ctx context.Context, w *testenv.World, name string) *corev1.Secret {
	GinkgoHelper()
	s := &corev1.Secret{}
	Expect(w.Client.Get(ctx, client.ObjectKey{Namespace: w.Namespace, Name: name}, s)).To(Succeed())
	return s
}

func create(ctx context.Context, w *testenv.World, o client.Object) {
	GinkgoHelper()
	Expect(w.Client.Create(ctx, o)).To(Succeed())
}

func tokenSecret(w *testenv.World, name, token string) *corev1.Secret {
	s := &corev1.Secret{StringData: map[string]string{"token": token}}
	s.Namespace, s.Name = w.Namespace, name
	return s
}

// dump is all of an object as text.
func dump(o client.Object) string {
	GinkgoHelper()
	b, err := json.Marshal(o)
	Expect(err).NotTo(HaveOccurred())
	return string(b)
}

func key(w *testenv.World, name string) client.ObjectKey {
	return client.ObjectKey{Namespace: w.Namespace, Name: name}
}

// keyOf is the key of a namespace.
func keyOf(name string) client.ObjectKey { return client.ObjectKey{Name: name} }
