package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion of all resources in this package.
var GroupVersion = schema.GroupVersion{Group: "ai.crispy-enigma.dev", Version: "v1alpha1"}

// AddToScheme makes a scheme know this package's resources.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion,
		&Tenant{}, &TenantList{},
		&TenantClass{}, &TenantClassList{},
		&CloudflareAccount{}, &CloudflareAccountList{},
		&CloudflareBinding{}, &CloudflareBindingList{},
	)
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
