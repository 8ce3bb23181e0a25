package manifest

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
)

// Get implements client.Reader for what a Tenant may name.
func (o *Objects) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	switch into := into.(type) {
	case *corev1.Secret:
		if found := o.Secret(key.Namespace, key.Name); found != nil {
			found.DeepCopyInto(into)
			return nil
		}
		return apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, key.String())
	case *v1alpha1.CloudflareAccount:
		if found := o.Account(key.Namespace, key.Name); found != nil {
			found.DeepCopyInto(into)
			return nil
		}
		return apierrors.NewNotFound(schema.GroupResource{Group: v1alpha1.GroupVersion.Group, Resource: "cloudflareaccounts"}, key.String())
	case *v1alpha1.CloudflareBinding:
		if found := o.Binding(key.Namespace, key.Name); found != nil {
			found.DeepCopyInto(into)
			return nil
		}
		return apierrors.NewNotFound(schema.GroupResource{Group: v1alpha1.GroupVersion.Group, Resource: "cloudflarebindings"}, key.String())
	}
	return errors.New("manifests can't tell the labels of a namespace; give the account's allowedNamespaces from: All, or put the Tenant beside it")
}

// List implements client.Reader; nothing is listed without a cluster.
func (o *Objects) List(context.Context, client.ObjectList, ...client.ListOption) error {
	return errors.New("manifests aren't listed")
}
