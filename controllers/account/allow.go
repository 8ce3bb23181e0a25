package account

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
)

// Allows tells whether Tenants and CloudflareBindings of a namespace may use an account.
// labelsOf gives the namespace's labels; it is asked only where a selector decides, since
// not every operator may read namespaces.
func Allows(a *v1alpha1.CloudflareAccount, namespace string, labelsOf func() (map[string]string, error)) (bool, error) {
	if a.Namespace == namespace {
		return true, nil
	}
	switch a.Spec.AllowedNamespaces.From {
	case v1alpha1.AllowAll:
		return true, nil
	case v1alpha1.AllowSelector:
		if a.Spec.AllowedNamespaces.Selector == nil {
			return false, nil
		}
		selector, err := metav1.LabelSelectorAsSelector(a.Spec.AllowedNamespaces.Selector)
		if err != nil {
			return false, nil //nolint:nilerr // a selector that isn't one selects nobody
		}
		set, err := labelsOf()
		return err == nil && selector.Matches(labels.Set(set)), err
	}
	return false, nil
}
