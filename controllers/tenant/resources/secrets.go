package resources

import (
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
)

// generatedNote is what AnnotationKeys tells of one key.
type generatedNote struct {
	Revision  int64     `json:"revision"`
	CreatedAt time.Time `json:"createdAt"`
}

// KeysSecret holds the generated keys in clear, for the tenant's owner to read. The pods
// don't mount it. It carries KeysVersion, so that a write over a newer one fails.
func KeysSecret(in Inputs) (*corev1ac.SecretApplyConfiguration, error) {
	notes := make(map[string]generatedNote, len(in.Generated))
	data := make(map[string][]byte, len(in.Generated))
	for name, k := range in.Generated {
		notes[name] = generatedNote{Revision: k.Revision, CreatedAt: k.CreatedAt.UTC().Truncate(time.Second)}
		data[name] = []byte(k.Value)
	}
	note, err := json.Marshal(notes)
	if err != nil {
		return nil, fmt.Errorf("writing the ages of the generated keys: %w", err)
	}
	s := corev1ac.Secret(NamesOf(in.Tenant.Name).Keys, in.Tenant.Namespace).
		WithLabels(labels(in.Tenant)).
		WithAnnotations(map[string]string{AnnotationKeys: string(note)}).
		WithOwnerReferences(controller(in.Tenant)).
		WithType(corev1.SecretTypeOpaque).
		WithData(data)
	if in.KeysVersion != "" {
		s.WithResourceVersion(in.KeysVersion)
	}
	return s, nil
}

// ReadKeys reads what KeysSecret wrote. A key whose note is lost or unreadable counts as
// of revision 1 and made with the Secret: its value still works and is never replaced for
// want of a note.
func ReadKeys(s *corev1.Secret) map[string]GeneratedKey {
	notes := map[string]generatedNote{}
	if err := json.Unmarshal([]byte(s.Annotations[AnnotationKeys]), &notes); err != nil {
		notes = nil
	}
	out := make(map[string]GeneratedKey, len(s.Data))
	for name, value := range s.Data {
		n, ok := notes[name]
		if !ok || n.Revision < 1 || n.CreatedAt.IsZero() {
			n = generatedNote{Revision: max(n.Revision, 1), CreatedAt: s.CreationTimestamp.UTC()}
		}
		out[name] = GeneratedKey{Value: string(value), Revision: n.Revision, CreatedAt: n.CreatedAt.UTC()}
	}
	return out
}

// configSecret is what the pods mount, whole: the document and the secrets beside it.
func configSecret(in Inputs, c *tenantconfig.Config) (*corev1ac.SecretApplyConfiguration, error) {
	document, err := tenantconfig.Marshal(c)
	if err != nil {
		return nil, err
	}
	data := map[string][]byte{
		tenantconfig.DocumentFile:    document,
		tenantconfig.StatusTokenFile: []byte(in.StatusToken),
	}
	if c.Upstream.CredentialsFile != "" {
		data[c.Upstream.CredentialsFile] = []byte(in.UpstreamToken)
	}
	if c.Cloudflare.CredentialsFile != "" {
		data[c.Cloudflare.CredentialsFile] = []byte(in.CloudflareToken)
	}
	for name, value := range in.ToolSecrets {
		data[name] = []byte(value)
	}
	for name, b := range StateFiles(in) {
		data[name] = b
	}
	s := corev1ac.Secret(NamesOf(in.Tenant.Name).Config, in.Tenant.Namespace).
		WithLabels(labels(in.Tenant)).
		WithOwnerReferences(controller(in.Tenant)).
		WithType(corev1.SecretTypeOpaque).
		WithData(data)
	note, err := loginsNote(in)
	if err != nil {
		return nil, err
	}
	if note != "" {
		s.WithAnnotations(map[string]string{AnnotationLogins: note})
	}
	return s, nil
}
