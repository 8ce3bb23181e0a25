package testenv

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
)

// Option shapes a Tenant.
type Option func(*v1alpha1.Tenant)

// NewTenant makes a Tenant with a volume and one generated key. Its public id carries
// the namespace, because ids are unique in the cluster and tests share one.
func NewTenant(namespace, name string, options ...Option) *v1alpha1.Tenant {
	t := &v1alpha1.Tenant{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	t.Spec.TenantID = name + "-" + namespace
	t.Spec.DeletionProtection = new(false)
	for _, o := range options {
		o(t)
	}
	return t
}

// WithID sets the public id.
func WithID(id string) Option { return func(t *v1alpha1.Tenant) { t.Spec.TenantID = id } }

// WithHosts sets the hosts.
func WithHosts(hosts ...string) Option {
	return func(t *v1alpha1.Tenant) { t.Spec.Exposure.Hosts = hosts }
}

// WithIngress exposes the hosts through an Ingress.
func WithIngress(t *v1alpha1.Tenant) { t.Spec.Exposure.IngressClassName = new("nginx") }

// WithGateway exposes the hosts through a Gateway.
func WithGateway(name string) Option {
	return func(t *v1alpha1.Tenant) { t.Spec.Exposure.Gateway = &v1alpha1.GatewayReference{Name: name} }
}

// Ephemeral keeps the state in memory.
func Ephemeral(t *v1alpha1.Tenant) {
	t.Spec.State = &v1alpha1.State{Embedded: &v1alpha1.EmbeddedState{Ephemeral: &v1alpha1.EphemeralState{}}}
}

// WithDeletionPolicy sets what deletion does to the data.
func WithDeletionPolicy(p v1alpha1.DeletionPolicy) Option {
	return func(t *v1alpha1.Tenant) { t.Spec.DeletionPolicy = p }
}

// WithClass names the class.
func WithClass(name string) Option {
	return func(t *v1alpha1.Tenant) { t.Spec.ClassRef = &v1alpha1.ClassReference{Name: name} }
}

// WithKeys sets the keys.
func WithKeys(keys ...v1alpha1.APIKey) Option {
	return func(t *v1alpha1.Tenant) { t.Spec.Auth.Keys = keys }
}

// GeneratedKey is a key that the operator makes, with a grace period of one hour.
func GeneratedKey(name string, revision int64) v1alpha1.APIKey {
	return v1alpha1.APIKey{Name: name, Revision: revision, GracePeriod: &metav1.Duration{Duration: time.Hour}}
}

// ReferencedKey is a key from a Secret of the same namespace.
func ReferencedKey(name, secret string) v1alpha1.APIKey {
	return v1alpha1.APIKey{
		Name:        name,
		SecretRef:   &v1alpha1.SecretKeyReference{Name: secret},
		GracePeriod: &metav1.Duration{Duration: time.Hour},
	}
}

// WithUpstream asks an OpenAI-compatible server, with the token of a Secret.
func WithUpstream(baseURL, secret string) Option {
	return func(t *v1alpha1.Tenant) {
		t.Spec.Upstream = v1alpha1.Upstream{Type: v1alpha1.UpstreamOpenAI, BaseURL: baseURL}
		t.Spec.Models.Chat = "llama3.2"
		if secret != "" {
			t.Spec.Upstream.CredentialsSecretRef = &v1alpha1.SecretKeyReference{Name: secret}
		}
	}
}
