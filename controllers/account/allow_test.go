package account_test

import (
	"errors"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/account"
)

func TestAllows(t *testing.T) {
	errNoRight := errors.New("may not read namespaces")
	red := map[string]string{"team": "red"}
	selector := func(team string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: map[string]string{"team": team}}
	}
	for _, test := range []struct {
		name      string
		allowed   v1alpha1.AllowedNamespaces
		namespace string
		labelsErr error
		want      bool
		asks      bool
	}{
		{name: "its own namespace, always", allowed: v1alpha1.AllowedNamespaces{From: v1alpha1.AllowSelector, Selector: selector("blue")}, namespace: "home", want: true},
		{name: "another, by default", namespace: "away"},
		{name: "another, Same", allowed: v1alpha1.AllowedNamespaces{From: v1alpha1.AllowSame}, namespace: "away"},
		{name: "All", allowed: v1alpha1.AllowedNamespaces{From: v1alpha1.AllowAll}, namespace: "away", want: true},
		{name: "selected", allowed: v1alpha1.AllowedNamespaces{From: v1alpha1.AllowSelector, Selector: selector("red")}, namespace: "away", want: true, asks: true},
		{name: "not selected", allowed: v1alpha1.AllowedNamespaces{From: v1alpha1.AllowSelector, Selector: selector("blue")}, namespace: "away", asks: true},
		{name: "an empty selector selects all", allowed: v1alpha1.AllowedNamespaces{From: v1alpha1.AllowSelector, Selector: &metav1.LabelSelector{}}, namespace: "away", want: true, asks: true},
		{name: "no selector selects none", allowed: v1alpha1.AllowedNamespaces{From: v1alpha1.AllowSelector}, namespace: "away"},
		{name: "a selector that isn't one selects none", allowed: v1alpha1.AllowedNamespaces{From: v1alpha1.AllowSelector,
			Selector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "team", Operator: "Like"}}}}, namespace: "away"},
		{name: "labels that can't be read", allowed: v1alpha1.AllowedNamespaces{From: v1alpha1.AllowSelector, Selector: &metav1.LabelSelector{}},
			namespace: "away", labelsErr: errNoRight, asks: true},
		{name: "a word that isn't known allows nobody", allowed: v1alpha1.AllowedNamespaces{From: "Everyone"}, namespace: "away"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := &v1alpha1.CloudflareAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "home", Name: "cf"}}
			a.Spec.AllowedNamespaces = test.allowed
			asked := false
			got, err := account.Allows(a, test.namespace, func() (map[string]string, error) {
				asked = true
				return red, test.labelsErr
			})
			if !errors.Is(err, test.labelsErr) || got != test.want || asked != test.asks {
				t.Errorf("got %t, %v, labels read: %t; want %t, %v, %t", got, err, asked, test.want, test.labelsErr, test.asks)
			}
		})
	}
}
