package tenant_test

import (
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
	"github.com/crispy-enigma/crispy-enigma/controllers/testenv"
)

func quantity(s string) resource.Quantity { return resource.MustParse(s) }

var _ = Describe("keys", func() {
	It("are generated once, with 256 bits, and the document holds their digests alone", func(ctx SpecContext) {
		w := newWorld(ctx)
		t := w.ExpectCreated(ctx, "acme")
		w.ExpectReady(ctx, t)
		value := string(secret(ctx, w, "tenant-acme-keys").Data["default"])
		Expect(value).To(MatchRegexp(`^ce_[A-Za-z0-9_-]{43}$`))
		digests := document(ctx, w, t).Auth.Keys[0].Digests
		Expect(digests).To(HaveLen(1))
		Expect(digests[0].SHA256).To(Equal(resources.Digest(value)))
		w.ExpectNoWrites(ctx, t)
		Expect(string(secret(ctx, w, "tenant-acme-keys").Data["default"])).To(Equal(value))
	})

	It("rotate when their revision is raised, and the old value works for its grace period", func(ctx SpecContext) {
		w := newWorld(ctx)
		t := w.ExpectCreated(ctx, "acme", testenv.WithKeys(testenv.GeneratedKey("web", 1)))
		w.ExpectReady(ctx, t)
		old := string(secret(ctx, w, "tenant-acme-keys").Data["web"])

		w.ExpectUpdated(ctx, t, func(t *v1alpha1.Tenant) { t.Spec.Auth.Keys[0].Revision = 2 })
		w.ExpectReady(ctx, t)
		value := string(secret(ctx, w, "tenant-acme-keys").Data["web"])
		Expect(value).NotTo(Equal(old))
		digests := document(ctx, w, t).Auth.Keys[0].Digests
		Expect(digests).To(HaveLen(2))
		Expect(digests[0].SHA256).To(Equal(resources.Digest(value)))
		Expect(digests[0].NotAfter.IsZero()).To(BeTrue())
		Expect(digests[1].SHA256).To(Equal(resources.Digest(old)))
		Expect(digests[1].NotAfter).To(BeTemporally("==", w.Clock.Now().Add(time.Hour)))
		Expect(w.Events.Reasons("acme")).To(ContainElement("KeyRotated"))
		w.ExpectNoWrites(ctx, t)

		w.Clock.SetTime(w.Clock.Now().Add(59*time.Minute + 30*time.Second))
		result := w.ExpectReconciled(ctx, t)
		Expect(result.RequeueAfter).To(BeNumerically("<=", 31*time.Second), "wakes when the grace period ends")
		Expect(document(ctx, w, t).Auth.Keys[0].Digests).To(HaveLen(2))
		w.Clock.SetTime(w.Clock.Now().Add(31 * time.Second))
		w.ExpectReady(ctx, t)
		Expect(document(ctx, w, t).Auth.Keys[0].Digests).To(HaveLen(1))
	})

	It("rotate when they are old", func(ctx SpecContext) {
		w := newWorld(ctx)
		key := testenv.GeneratedKey("web", 1)
		key.RotateAfter = duration(2 * time.Hour)
		t := w.ExpectCreated(ctx, "acme", testenv.WithKeys(key))
		w.ExpectReady(ctx, t)
		old := secret(ctx, w, "tenant-acme-keys").Data["web"]
		w.Clock.SetTime(w.Clock.Now().Add(2 * time.Hour))
		w.ExpectReady(ctx, t)
		Expect(secret(ctx, w, "tenant-acme-keys").Data["web"]).NotTo(Equal(old))
		w.ExpectNoWrites(ctx, t)
	})

	It("can be added and removed without touching the others", func(ctx SpecContext) {
		w := newWorld(ctx)
		t := w.ExpectCreated(ctx, "acme", testenv.WithKeys(testenv.GeneratedKey("a", 1), testenv.GeneratedKey("b", 1)))
		w.ExpectReady(ctx, t)
		b := secret(ctx, w, "tenant-acme-keys").Data["b"]
		w.ExpectUpdated(ctx, t, func(t *v1alpha1.Tenant) {
			t.Spec.Auth.Keys = []v1alpha1.APIKey{testenv.GeneratedKey("b", 1), testenv.GeneratedKey("c", 1)}
		})
		w.ExpectReady(ctx, t)
		data := secret(ctx, w, "tenant-acme-keys").Data
		Expect(data).To(HaveLen(2))
		Expect(data["b"]).To(Equal(b))
		Expect(document(ctx, w, t).Auth.Keys).To(HaveLen(2))
	})

	It("that somebody edited into what isn't a key are made anew", func(ctx SpecContext) {
		w := newWorld(ctx)
		t := w.ExpectCreated(ctx, "acme")
		w.ExpectReady(ctx, t)
		s := secret(ctx, w, "tenant-acme-keys")
		s.Data["default"] = []byte("guessable")
		Expect(w.Client.Update(ctx, s)).To(Succeed())
		w.ExpectReady(ctx, t)
		Expect(string(secret(ctx, w, "tenant-acme-keys").Data["default"])).To(HavePrefix("ce_"))
		for _, d := range document(ctx, w, t).Auth.Keys[0].Digests {
			Expect(d.SHA256).NotTo(Equal(resources.Digest("guessable")))
		}
	})

	It("that are referenced come from their Secret, once it is there and good", func(ctx SpecContext) {
		w := newWorld(ctx)
		t := w.ExpectCreated(ctx, "acme", testenv.WithKeys(testenv.ReferencedKey("web", "mine"), testenv.ReferencedKey("app", "yours")))
		w.ExpectWaiting(ctx, t, v1alpha1.ReasonSecretNotFound)
		Expect(t.Condition(v1alpha1.ConditionCredentialsReady).Message).To(ContainSubstring(`Secret "mine" doesn't exist`))
		result := w.ExpectReconciled(ctx, t)
		Expect(result.RequeueAfter.Seconds()).To(BeNumerically("<=", 12))

		mine := tokenSecret(w, "mine", "short")
		create(ctx, w, mine)
		w.ExpectWaiting(ctx, t, v1alpha1.ReasonKeyTooShort)
		mine.StringData = map[string]string{"token": "", "other": strings.Repeat("k", 32)}
		Expect(w.Client.Update(ctx, mine)).To(Succeed())
		w.ExpectWaiting(ctx, t, v1alpha1.ReasonSecretKeyMissing)
		mine.StringData = map[string]string{"token": strings.Repeat("ä", 32)}
		Expect(w.Client.Update(ctx, mine)).To(Succeed())
		w.ExpectWaiting(ctx, t, v1alpha1.ReasonTokenMalformed)
		mine.StringData = map[string]string{"token": strings.Repeat("k", 32) + "\n"}
		Expect(w.Client.Update(ctx, mine)).To(Succeed())
		create(ctx, w, tokenSecret(w, "yours", strings.Repeat("k", 32)))
		w.ExpectWaiting(ctx, t, v1alpha1.ReasonKeyNotUnique)
		yours := secret(ctx, w, "yours")
		yours.Data["token"] = []byte(strings.Repeat("y", 32))
		Expect(w.Client.Update(ctx, yours)).To(Succeed())
		w.ExpectReady(ctx, t)
		Expect(t.Status.KeysSecret).To(BeEmpty())
		Expect(document(ctx, w, t).Auth.Keys[0].Digests[0].SHA256).To(Equal(resources.Digest(strings.Repeat("k", 32))))

		By("rotating with a grace period when the Secret changes")
		mine.StringData = map[string]string{"token": strings.Repeat("n", 32)}
		Expect(w.Client.Update(ctx, mine)).To(Succeed())
		w.ExpectReady(ctx, t)
		digests := document(ctx, w, t).Auth.Keys[0].Digests
		Expect(digests).To(HaveLen(2))
		Expect(digests[1].NotAfter).To(BeTemporally("==", w.Clock.Now().Add(time.Hour)))

		By("serving on when the Secret goes")
		Expect(w.Client.Delete(ctx, mine)).To(Succeed())
		w.ExpectWaiting(ctx, t, v1alpha1.ReasonSecretNotFound)
		Expect(document(ctx, w, t).Auth.Keys[0].Digests).To(Equal(digests))
	})
})
