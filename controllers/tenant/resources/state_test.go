package resources_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
)

// Whatever changes of a server's address, login or certificates is a new document and a
// new process; the document tells nothing about them.
func TestAnotherLoginIsAnotherDocument(t *testing.T) {
	document := func(edit option) *tenantconfig.Config {
		c, err := resources.Config(inputs(onPostgres, edit))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	had := document(func(*resources.Inputs) {})
	if tenantconfig.NeedsRestart(had, document(func(*resources.Inputs) {})) {
		t.Error("the same login restarts the pods")
	}
	for name, edit := range map[string]option{
		"password":     func(in *resources.Inputs) { in.State.URL += "x" },
		"certificates": func(in *resources.Inputs) { in.State.CA = []byte("other") },
		"limits":       func(in *resources.Inputs) { in.LimitsState.URL += "x" },
	} {
		if !tenantconfig.NeedsRestart(had, document(edit)) {
			t.Errorf("another %s: the pods go on with what they have", name)
		}
	}
	quiet := document(func(in *resources.Inputs) { in.State.Login.Previous, in.State.Login.MadeAt = "x", now.Add(time.Hour) })
	if tenantconfig.DigestOf(had) != tenantconfig.DigestOf(quiet) {
		t.Error("what only the operator keeps of a login changes the document")
	}
}

// Without its server there is no document, rather than one that keeps data elsewhere.
func TestNoServerNoDocument(t *testing.T) {
	if _, err := resources.Config(inputs(onValkey, func(in *resources.Inputs) { in.State = nil })); err == nil {
		t.Error("a document without the server of its state")
	}
}

func TestALostNoteOfALoginIsAsOldAsItsSecret(t *testing.T) {
	for _, note := range []string{"", "{", `{"limits":{"madeAt":"2020-01-01T00:00:00Z"}}`} {
		s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
			CreationTimestamp: metav1.NewTime(now), Annotations: map[string]string{resources.AnnotationLogins: note},
		}}
		if got := resources.ReadLogin(s, resources.StateRole); !got.MadeAt.Equal(now) || got.Previous != "" {
			t.Errorf("%q: %+v", note, got)
		}
	}
}
