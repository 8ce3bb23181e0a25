package binding

import (
	"context"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
)

// Keys of a token's Secret.
const (
	SecretToken = "token"
	SecretID    = "id"
)

// annotationNonce on a token's Secret tells which attempt made the token that it holds.
const annotationNonce = "ai.crispy-enigma.dev/nonce"

var namespaceKind = corev1.SchemeGroupVersion.WithKind("Namespace")

// kept is a token's Secret as it was read live; nil if there is none.
type kept struct{ *corev1.Secret }

// proves gives the id of the token that an attempt made, if the Secret has its value.
func (k *kept) proves(nonce string) string {
	if k == nil || k.Annotations[annotationNonce] != nonce || len(k.Data[SecretToken]) == 0 {
		return ""
	}
	return string(k.Data[SecretID])
}

// holds tells whether the Secret has the token's value.
func (k *kept) holds(id string) bool {
	return k != nil && len(k.Data[SecretToken]) > 0 && string(k.Data[SecretID]) == id
}

func secretName(b *v1alpha1.CloudflareBinding) string {
	if b.Spec.APIToken != nil && b.Spec.APIToken.SecretName != "" {
		return b.Spec.APIToken.SecretName
	}
	return b.Name
}

// secret reads the token's Secret live. One that isn't the binding's is left alone.
func (p *pass) secret(ctx context.Context) (*kept, *verdict, error) {
	s := &corev1.Secret{}
	err := p.Live.Get(ctx, client.ObjectKey{Namespace: p.b.Namespace, Name: secretName(p.b)}, s)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil, nil
	case err != nil:
		return nil, nil, fmt.Errorf("reading the token's Secret: %w", err)
	case !metav1.IsControlledBy(s, p.b):
		return nil, stall(v1alpha1.ReasonChildConflict, fmt.Sprintf("Secret %q isn't this binding's and is left alone; delete or rename it, or set another spec.apiToken.secretName in a new CloudflareBinding", s.Name)), nil
	}
	return &kept{s}, nil, nil
}

// keepValue writes a new token into the Secret as it was read before the token was made:
// if somebody wrote it meanwhile, this token isn't the one that serves.
func (p *pass) keepValue(ctx context.Context, had *kept, thing cloudflare.Thing) error {
	data := map[string][]byte{SecretToken: []byte(string(thing.Secret)), SecretID: []byte(thing.ID)}
	if had == nil {
		s := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: p.b.Namespace, Name: secretName(p.b), Labels: p.secretLabels(),
				Annotations:     map[string]string{annotationNonce: p.b.Status.Create.Nonce},
				OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(p.b, v1alpha1.GroupVersion.WithKind("CloudflareBinding"))},
			},
			Type: corev1.SecretTypeOpaque, Data: data,
		}
		if err := p.Client.Create(ctx, s); err != nil {
			return fmt.Errorf("making the token's Secret: %w", err)
		}
		return nil
	}
	s := had.DeepCopy()
	s.Data = data
	s.Labels, s.Annotations = maps.Clone(s.Labels), maps.Clone(s.Annotations)
	if s.Labels == nil {
		s.Labels = map[string]string{}
	}
	maps.Copy(s.Labels, p.secretLabels())
	if s.Annotations == nil {
		s.Annotations = map[string]string{}
	}
	s.Annotations[annotationNonce] = p.b.Status.Create.Nonce
	if err := p.Client.Patch(ctx, s, client.MergeFromWithOptions(had.Secret, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("writing the token's Secret: %w", err)
	}
	return nil
}

func (p *pass) secretLabels() map[string]string {
	labels := map[string]string{"app.kubernetes.io/managed-by": "crispy-enigma", "app.kubernetes.io/part-of": "crispy-enigma"}
	if tenant := p.b.Labels[resources.LabelTenant]; tenant != "" {
		labels[resources.LabelTenant] = tenant
	}
	return labels
}

// dropSecret deletes the Secret of a token that is gone.
func (p *pass) dropSecret(ctx context.Context) error {
	s := &corev1.Secret{}
	err := p.Live.Get(ctx, client.ObjectKey{Namespace: p.b.Namespace, Name: secretName(p.b)}, s)
	if apierrors.IsNotFound(err) || err == nil && !metav1.IsControlledBy(s, p.b) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the token's Secret: %w", err)
	}
	err = p.Client.Delete(ctx, s, client.Preconditions{UID: &s.UID, ResourceVersion: &s.ResourceVersion})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("deleting the token's Secret: %w", err)
	}
	return nil
}
