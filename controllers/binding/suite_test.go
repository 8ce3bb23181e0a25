package binding_test

import (
	"context"
	"errors"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
	"github.com/crispy-enigma/crispy-enigma/hack/apiserver"
	"github.com/crispy-enigma/crispy-enigma/hack/crashmatrix/matrix"
)

// api is a real API server, shared: each test has a namespace of its own.
var api client.WithWatch

func TestBinding(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "binding")
}

var _ = BeforeSuite(func() {
	scheme, err := matrix.Scheme()
	Expect(err).NotTo(HaveOccurred())
	server, err := apiserver.Start(context.Background())
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(server.Stop()).To(Succeed()) })
	api, err = client.NewWithWatch(server.Config, client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
})

// stage is a World with one operator.
type stage struct {
	*matrix.World
	operator *matrix.Operator
}

func newStage(ctx context.Context) *stage {
	GinkgoHelper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "b-"}}
	Expect(api.Create(ctx, ns)).To(Succeed())
	s := &stage{World: matrix.NewWorld(matrix.Options{Client: api, Namespace: ns.Name, OwnerID: "cluster-a", Make: matrix.Ours})}
	s.restart()
	return s
}

// restart starts an operator that knows nothing.
func (s *stage) restart() {
	GinkgoHelper()
	var err error
	s.operator, err = s.Start("operator", &matrix.Gate{}, 0)
	Expect(err).NotTo(HaveOccurred())
}

// made creates a binding of a kind, changed as the test wants it.
func (s *stage) made(ctx context.Context, kind cloudflare.Kind, change func(*v1alpha1.CloudflareBinding)) {
	GinkgoHelper()
	b := matrix.New(s.Namespace, kind)
	if change != nil {
		change(b)
	}
	Expect(s.Client.Create(ctx, b)).To(Succeed())
}

// settled lets the operator do all it has to do, and gives the binding; nil if it is gone.
func (s *stage) settled(ctx context.Context) *v1alpha1.CloudflareBinding {
	GinkgoHelper()
	var err error
	s.operator, err = s.Settle(ctx, s.operator, matrix.Name, func() (*matrix.Operator, error) { return nil, errors.New("nothing kills it") })
	Expect(err).NotTo(HaveOccurred())
	b, err := s.Get(ctx, matrix.Name)
	Expect(err).NotTo(HaveOccurred())
	return b
}

// passed makes one pass and gives the binding.
func (s *stage) passed(ctx context.Context) *v1alpha1.CloudflareBinding {
	GinkgoHelper()
	result, err := s.operator.Pass(ctx, matrix.Name)
	Expect(err).NotTo(HaveOccurred())
	s.Sleep(result.RequeueAfter)
	b, err := s.Get(ctx, matrix.Name)
	Expect(err).NotTo(HaveOccurred())
	return b
}

// ready wants the binding Ready when all is done.
func (s *stage) ready(ctx context.Context) *v1alpha1.CloudflareBinding {
	GinkgoHelper()
	b := s.settled(ctx)
	Expect(b).NotTo(BeNil())
	c := b.Marks().Get(v1alpha1.ConditionReady)
	Expect(c).NotTo(BeNil())
	Expect(c.Status).To(Equal(metav1.ConditionTrue), "%s: %s", c.Reason, c.Message)
	Expect(b.Status.ObservedGeneration).To(Equal(b.Generation))
	return b
}

// stands wants the binding not Ready for a reason that stays over several passes, the
// sentence with these words in it, and few calls made meanwhile.
func (s *stage) stands(ctx context.Context, condition, reason string, words ...string) {
	GinkgoHelper()
	var b *v1alpha1.CloudflareBinding
	for range 4 {
		b = s.passed(ctx)
	}
	Expect(b).NotTo(BeNil())
	c := b.Marks().Get(condition)
	Expect(c).NotTo(BeNil(), "%+v", b.Status.Conditions)
	Expect(c.Reason).To(Equal(reason), c.Message)
	for _, w := range words {
		Expect(c.Message).To(ContainSubstring(w))
	}
	Expect(b.Marks().Get(v1alpha1.ConditionReady).Status).To(Equal(metav1.ConditionFalse))
	before, at := s.Cloudflare.Calls(), s.Clock.Now()
	for range 6 {
		s.passed(ctx)
	}
	took := s.Clock.Now().Sub(at)
	Expect(s.Cloudflare.Calls()-before).To(BeNumerically("<=", 12), "calls in %s", took)
	Expect(took.Minutes()).To(BeNumerically(">", 1), "it is tried too often")
}

// edited changes the binding as a person would.
func (s *stage) edited(ctx context.Context, change func(*v1alpha1.CloudflareBinding)) {
	GinkgoHelper()
	b, err := s.Get(ctx, matrix.Name)
	Expect(err).NotTo(HaveOccurred())
	change(b)
	Expect(s.Client.Update(ctx, b)).To(Succeed())
}

func (s *stage) deleted(ctx context.Context) {
	GinkgoHelper()
	b, err := s.Get(ctx, matrix.Name)
	Expect(err).NotTo(HaveOccurred())
	Expect(s.Client.Delete(ctx, b)).To(Succeed())
}

// effects are what was changed outside, in words.
func (s *stage) effects() []string {
	var out []string
	for _, op := range s.Cloudflare.Log() {
		if op.Effect {
			out = append(out, cloudflare.Op(op.Verb, op.Kind))
		}
	}
	return out
}
