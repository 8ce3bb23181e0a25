package v1alpha1_test

import (
	"context"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/hack/apiserver"
)

var api client.Client

func TestAPI(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "API rules")
}

var _ = BeforeSuite(func(ctx context.Context) {
	server, err := apiserver.Start(ctx)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(server.Stop)
	api = server.Client
	Expect(v1alpha1.AddToScheme(api.Scheme())).To(Succeed())
})

// object is a resource of our group with the given spec, in YAML.
func object(kind, name, spec string) *unstructured.Unstructured {
	GinkgoHelper()
	var fields map[string]any
	Expect(yaml.Unmarshal([]byte(spec), &fields)).To(Succeed(), spec)
	u := &unstructured.Unstructured{Object: map[string]any{}}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	u.SetName(name)
	if kind != "TenantClass" {
		u.SetNamespace("default")
	}
	if fields != nil {
		u.Object["spec"] = fields
	}
	return u
}

// dryCreate asks the server whether it would take the object, and fills in its defaults.
func dryCreate(ctx context.Context, u *unstructured.Unstructured) error {
	return api.Create(ctx, u, client.DryRunAll, client.FieldValidation("Strict"))
}

// rule is one rule of a schema: the nearest legal spec, and an illegal one with the
// field that the refusal must name and the sentence that it must say.
type rule struct {
	accepted, refused string
	field, says       string
}

func check(ctx context.Context, kind string, r rule) {
	GinkgoHelper()
	Expect(dryCreate(ctx, object(kind, "acme", r.accepted))).To(Succeed(), "accepted: %s", r.accepted)
	err := dryCreate(ctx, object(kind, "acme", r.refused))
	Expect(err).To(HaveOccurred(), "refused: %s", r.refused)
	Expect(err.Error()).To(And(ContainSubstring(r.field+": "), ContainSubstring(r.says)))
}

// change is one rule about updates: a legal step from one spec, and an illegal one.
type change struct {
	from, accepted, refused string
	field, says             string
}

func checkChange(ctx context.Context, kind, name string, c change) {
	GinkgoHelper()
	u := object(kind, name, c.from)
	Expect(api.Create(ctx, u)).To(Succeed())
	DeferCleanup(func(ctx context.Context) { Expect(api.Delete(ctx, u)).To(Succeed()) })
	to := func(spec string) error {
		next := object(kind, name, spec)
		next.SetResourceVersion(u.GetResourceVersion())
		return api.Update(ctx, next, client.DryRunAll)
	}
	Expect(to(c.accepted)).To(Succeed(), "accepted: %s", c.accepted)
	err := to(c.refused)
	Expect(err).To(HaveOccurred(), "refused: %s", c.refused)
	Expect(err.Error()).To(And(ContainSubstring(c.field+": "), ContainSubstring(c.says)))
}
