package tenant

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/apply"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
)

// keyPrefix lets people and secret scanners tell our keys.
const keyPrefix = "ce_"

// secretBytes of randomness in a key or token: 256 bits.
const secretBytes = 32

// newKey makes the value of an API key.
func newKey(random io.Reader) (string, error) {
	token, err := newToken(random)
	return keyPrefix + token, err
}

func newToken(random io.Reader) (string, error) {
	b := make([]byte, secretBytes)
	if _, err := io.ReadFull(random, b); err != nil {
		return "", fmt.Errorf("making a secret: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(b), nil
}

// ownSecrets are the two Secrets of the Tenant as they are, read live: what they hold is
// generated once, and a cache that lags would have it made again.
type ownSecrets struct {
	keys, config *corev1.Secret
}

func (r *Reconciler) readOwnSecrets(ctx context.Context, t *v1alpha1.Tenant) (ownSecrets, error) {
	names := resources.NamesOf(t.Name)
	keys, err := r.ownSecret(ctx, t, names.Keys)
	if err != nil {
		return ownSecrets{}, err
	}
	config, err := r.ownSecret(ctx, t, names.Config)
	return ownSecrets{keys, config}, err
}

// ownSecret is nil if there is none; one that isn't the Tenant's is an
// *apply.ForeignObject.
func (r *Reconciler) ownSecret(ctx context.Context, t *v1alpha1.Tenant, name string) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	err := r.Live.Get(ctx, client.ObjectKey{Namespace: t.Namespace, Name: name}, secret)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading Secret %s/%s: %w", t.Namespace, name, err)
	case !isOurs(secret, t):
		return nil, apply.Foreign("Secret", secret, t)
	}
	return secret, nil
}

// isOurs takes a Secret that the operator wrote and that nobody controls for the
// Tenant's: its owner reference was removed, and comes back.
func isOurs(secret *corev1.Secret, t *v1alpha1.Tenant) bool {
	if owner := metav1.GetControllerOf(secret); owner != nil {
		return owner.UID == t.UID
	}
	return slices.ContainsFunc(secret.ManagedFields, func(f metav1.ManagedFieldsEntry) bool {
		return f.Manager == apply.FieldOwner
	})
}

// withSecrets fills the inputs with what the own Secrets hold, and generates what they
// lack. It tells the names of the keys that got a new value.
func (r *Reconciler) withSecrets(in *resources.Inputs, have ownSecrets) (rotated []string, err error) {
	if have.config != nil {
		in.StatusToken = string(have.config.Data[tenantconfig.StatusTokenFile])
		// A document that can't be read has no digests to keep.
		if previous, err := tenantconfig.Parse(have.config.Data[tenantconfig.DocumentFile]); err == nil {
			in.Previous = previous
		}
	}
	stored := map[string]resources.GeneratedKey{}
	if have.keys != nil {
		stored = resources.ReadKeys(have.keys)
		in.KeysVersion = have.keys.ResourceVersion
	}
	return r.generate(in, stored)
}

// generate keeps the stored keys that are still good and makes the others, and the
// status token if there is none.
func (r *Reconciler) generate(in *resources.Inputs, stored map[string]resources.GeneratedKey) (rotated []string, err error) {
	if !isBearer(in.StatusToken) || len(in.StatusToken) < minKeyLength {
		if in.StatusToken, err = newToken(r.Random); err != nil {
			return nil, err
		}
	}
	in.Generated = map[string]resources.GeneratedKey{}
	for _, key := range in.Effective.Keys {
		if key.SecretRef != nil {
			continue
		}
		had := stored[key.Name]
		have := had
		if len(have.Value) < minKeyLength || !isBearer(have.Value) {
			have.Value = "" // edited by hand into what isn't a key
		}
		if resources.NeedsValue(key, have, in.Now) {
			value, err := newKey(r.Random)
			if err != nil {
				return nil, err
			}
			have = resources.GeneratedKey{Value: value, Revision: key.Revision, CreatedAt: in.Now}
			if had.Value != "" {
				rotated = append(rotated, key.Name)
			}
		}
		in.Generated[key.Name] = have
		in.Keys[key.Name] = have.Value
	}
	slices.Sort(rotated)
	return rotated, nil
}

// createKeys makes the Secret of keys where there is none. It is the one child that is
// created, not applied: if another write came first, its keys are the tenant's.
func (r *Reconciler) createKeys(ctx context.Context, in *resources.Inputs) error {
	if in.KeysVersion != "" || len(in.Generated) == 0 {
		return nil
	}
	secret, err := resources.KeysSecret(*in)
	if err != nil {
		return err
	}
	if err := apply.Create(ctx, r.Client, secret); err != nil {
		if apierrors.IsAlreadyExists(err) {
			return errors.New("creating the Secret of keys: another one was made meanwhile; it will be read")
		}
		return err
	}
	live := &corev1.Secret{}
	if err := r.Live.Get(ctx, client.ObjectKey{Namespace: in.Tenant.Namespace, Name: *secret.GetName()}, live); err != nil {
		return fmt.Errorf("reading the Secret of keys back: %w", err)
	}
	in.KeysVersion = live.ResourceVersion
	return nil
}
