package manifest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
)

// defaultNamespace is where an object lies that names no namespace.
const defaultNamespace = "default"

// maxBytes of one manifest file, far above what an API server takes.
const maxBytes = 16 << 20

// Objects are what manifests hold, defaults filled in and rules checked. Kinds that
// one tenant's runtime has no use for are passed over.
type Objects struct {
	Tenants  []v1alpha1.Tenant
	Classes  []v1alpha1.TenantClass
	Accounts []v1alpha1.CloudflareAccount
	Bindings []v1alpha1.CloudflareBinding
	Secrets  []corev1.Secret
}

// Read adds the YAML or JSON documents of r. An error says which document is wrong,
// and what the API server would say about it.
func (o *Objects) Read(ctx context.Context, r io.Reader) error {
	content, err := io.ReadAll(io.LimitReader(r, maxBytes+1))
	if err != nil {
		return fmt.Errorf("reading the manifest: %w", err)
	}
	if len(content) > maxBytes {
		return fmt.Errorf("reading the manifest: it is larger than %d bytes", maxBytes)
	}
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(content)))
	for i := 1; ; i++ {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading document %d: %w", i, err)
		}
		if err := o.add(ctx, document); err != nil {
			return fmt.Errorf("document %d: %w", i, err)
		}
	}
}

func (o *Objects) add(ctx context.Context, document []byte) error {
	asJSON, err := yaml.YAMLToJSONStrict(document)
	if err != nil {
		return err
	}
	if string(asJSON) == "null" {
		return nil
	}
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(asJSON); err != nil {
		return err
	}
	if err := o.addObject(ctx, object); err != nil {
		return fmt.Errorf("%s %q is invalid: %w", object.GetKind(), object.GetName(), err)
	}
	return nil
}

func (o *Objects) addObject(ctx context.Context, object *unstructured.Unstructured) error {
	kind := object.GroupVersionKind()
	switch kind {
	case v1alpha1.GroupVersion.WithKind("Tenant"):
		return admitted(ctx, object, "tenants", &o.Tenants)
	case v1alpha1.GroupVersion.WithKind("TenantClass"):
		return admitted(ctx, object, "tenantclasses", &o.Classes)
	case v1alpha1.GroupVersion.WithKind("CloudflareAccount"):
		return admitted(ctx, object, "cloudflareaccounts", &o.Accounts)
	case v1alpha1.GroupVersion.WithKind("CloudflareBinding"):
		return admitted(ctx, object, "cloudflarebindings", &o.Bindings)
	case corev1.SchemeGroupVersion.WithKind("Secret"):
		return o.addSecret(object)
	}
	if kind.Group == v1alpha1.GroupVersion.Group {
		return fmt.Errorf("no kind %s in %s", kind.Kind, schema.GroupVersion{Group: kind.Group, Version: kind.Version})
	}
	return nil
}

// admitted puts an object that passed every rule at the end of the list.
func admitted[T any](ctx context.Context, object *unstructured.Unstructured, plural string, list *[]T) error {
	if object.GetName() == "" {
		return errors.New("metadata.name: Required value: name or generateName is required")
	}
	if object.GetNamespace() == "" && plural != "tenantclasses" {
		object.SetNamespace(defaultNamespace)
	}
	rules, err := loadRules(plural)
	if err != nil {
		return err
	}
	if err := rules.admit(ctx, object); err != nil {
		return err
	}
	var typed T
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &typed); err != nil {
		return err
	}
	*list = append(*list, typed)
	return nil
}

func (o *Objects) addSecret(object *unstructured.Unstructured) error {
	var secret corev1.Secret
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &secret); err != nil {
		// The cause would quote the data.
		return errors.New("its metadata must hold text, its data base64, its stringData text")
	}
	if secret.Namespace == "" {
		secret.Namespace = defaultNamespace
	}
	if secret.Data == nil {
		secret.Data = map[string][]byte{}
	}
	for key, value := range secret.StringData {
		secret.Data[key] = []byte(value)
	}
	secret.StringData = nil
	o.Secrets = append(o.Secrets, secret)
	return nil
}

// Secret finds a Secret by name, nil if the manifests hold none.
func (o *Objects) Secret(namespace, name string) *corev1.Secret {
	return find(o.Secrets, namespace, name, func(s *corev1.Secret) metav1.Object { return s })
}

// Account finds a CloudflareAccount by name, nil if the manifests hold none.
func (o *Objects) Account(namespace, name string) *v1alpha1.CloudflareAccount {
	return find(o.Accounts, namespace, name, func(a *v1alpha1.CloudflareAccount) metav1.Object { return a })
}

// Binding finds a CloudflareBinding by name, nil if the manifests hold none.
func (o *Objects) Binding(namespace, name string) *v1alpha1.CloudflareBinding {
	return find(o.Bindings, namespace, name, func(b *v1alpha1.CloudflareBinding) metav1.Object { return b })
}

func find[T any](list []T, namespace, name string, meta func(*T) metav1.Object) *T {
	for i := range list {
		if m := meta(&list[i]); m.GetNamespace() == namespace && m.GetName() == name {
			return &list[i]
		}
	}
	return nil
}
