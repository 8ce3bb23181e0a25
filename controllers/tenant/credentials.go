package tenant

import (
	"context"
	"crypto/hmac"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/account"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
)

// minKeyLength of a referenced key, in characters: 128 bits in hexadecimal.
const minKeyLength = 32

// credentials is what the Tenant's spec names and the cluster holds.
type credentials struct {
	// account is nil unless the Tenant uses something of it; then owner is its object.
	account *resources.Account
	owner   *v1alpha1.CloudflareAccount
	// upstreamToken is of the model server, cloudflareToken with its id of the account.
	upstreamToken   string
	cloudflareToken string
	tokenID         string
	// bindings that can be used, by role.
	bindings map[v1alpha1.BindingRole]*v1alpha1.CloudflareBinding
	// state are the servers that the Tenant's data is kept on.
	state []*sharedServer
	// tools are the secrets of tools by their files; toolsLack is the first that is missing.
	// A tool without its secret can't be used, and nothing else waits for it.
	tools     map[string]string
	toolsLack *verdict
	// referenced keys by name.
	referenced map[string]string
}

// readCredentials reads live what a person brings: the account, the upstream's token and
// referenced keys. They are in nobody's cache.
func (r *Reconciler) readCredentials(ctx context.Context, o *observed) (credentials, *verdict, error) {
	out := credentials{referenced: map[string]string{}}
	var missing *verdict
	var err error
	// By what is used, not by what is named: an account stays named when another upstream
	// takes over, and its token is for Cloudflare alone.
	if resources.UsesAccount(o.tenant) {
		missing, err = r.readAccount(ctx, o, &out)
	}
	if upstream := o.tenant.Spec.Upstream; missing == nil && err == nil && upstream.Type == v1alpha1.UpstreamOpenAI && upstream.CredentialsSecretRef != nil {
		out.upstreamToken, missing, err = r.readToken(ctx, o.tenant.Namespace, *upstream.CredentialsSecretRef, "spec.upstream.credentialsSecretRef")
	}
	if missing == nil && err == nil {
		out.state, missing, err = r.readState(ctx, o)
	}
	if missing == nil && err == nil {
		err = r.readToolSecrets(ctx, o.tenant, &out)
	}
	if missing != nil || err != nil {
		return out, missing, err
	}
	for _, key := range o.effective.Keys {
		if key.SecretRef == nil {
			continue
		}
		if missing, err = r.readKey(ctx, o.tenant.Namespace, key, out.referenced); missing != nil || err != nil {
			return out, missing, err
		}
	}
	return out, nil, nil
}

func (r *Reconciler) readAccount(ctx context.Context, o *observed, out *credentials) (*verdict, error) {
	key := accountKey(o.tenant)
	if len(r.Namespaces) > 0 && !slices.Contains(r.Namespaces, key.Namespace) {
		return lacking(v1alpha1.ReasonAccountNotFound, fmt.Sprintf(
			"spec.upstream.accountRef: the operator doesn't watch namespace %q; name a CloudflareAccount in a namespace that it watches", key.Namespace)), nil
	}
	var owner v1alpha1.CloudflareAccount
	err := r.Client.Get(ctx, key, &owner)
	switch {
	case apierrors.IsNotFound(err):
		return lacking(v1alpha1.ReasonAccountNotFound, fmt.Sprintf(
			"spec.upstream.accountRef: CloudflareAccount %s doesn't exist; create it", key)), nil
	case err != nil:
		return nil, fmt.Errorf("reading CloudflareAccount %s: %w", key, err)
	}
	allowed, err := account.Allows(&owner, o.tenant.Namespace, func() (map[string]string, error) {
		return r.labelsOf(ctx, o.tenant.Namespace)
	})
	if err != nil {
		return nil, err
	}
	if !allowed {
		// The same sentence whatever the account holds: it isn't this tenant's to know.
		return lacking(v1alpha1.ReasonAccountNotAllowed, fmt.Sprintf(
			"spec.upstream.accountRef: CloudflareAccount %s isn't for namespace %q; its owner can allow it in spec.allowedNamespaces", key, o.tenant.Namespace)), nil
	}
	out.owner = &owner
	out.account = &resources.Account{
		ID: owner.Spec.AccountID, Endpoint: owner.Spec.Endpoint, API: owner.Spec.APIEndpoint, S3: owner.Spec.S3Endpoint,
	}
	if mints(&owner) {
		return nil, nil
	}
	// One token for all, which can do all that the account's can.
	var missing *verdict
	out.cloudflareToken, missing, err = r.readToken(ctx, key.Namespace, owner.Spec.Credentials.SecretRef,
		fmt.Sprintf("CloudflareAccount %s, spec.credentials.secretRef", key))
	out.tokenID = owner.Status.TokenID
	return missing, err
}

// mints tells whether Tenants get tokens of their own.
func mints(a *v1alpha1.CloudflareAccount) bool { return a.Spec.TenantTokens != v1alpha1.TokensShare }

// readToken reads a bearer token, field saying where the reference stands.
func (r *Reconciler) readToken(ctx context.Context, namespace string, ref v1alpha1.SecretKeyReference, field string) (string, *verdict, error) {
	token, missing, err := r.readSecret(ctx, namespace, ref, field)
	if missing == nil && err == nil && !isBearer(token) {
		missing = lacking(v1alpha1.ReasonTokenMalformed, fmt.Sprintf(
			"%s: the value of key %q in Secret %q isn't a token: it holds other than visible ASCII characters", field, keyOf(ref), ref.Name))
	}
	return token, missing, err
}

// maxToolSecrets is how many bytes the secrets of all tools may have: they lie in one
// Secret with the document and other tokens.
const maxToolSecrets = 32 << 10

// readToolSecrets reads what tools send.
func (r *Reconciler) readToolSecrets(ctx context.Context, t *v1alpha1.Tenant, out *credentials) error {
	size := 0
	for _, s := range resources.ToolSecrets(t) {
		value, missing, err := r.readToken(ctx, t.Namespace, s.Ref, s.Field)
		if missing == nil && size+len(value) > maxToolSecrets {
			missing = lacking(v1alpha1.ReasonTokenMalformed, fmt.Sprintf(
				"%s: with the value of key %q in Secret %q, the secrets of tools have more than %d bytes; use shorter ones", s.Field, keyOf(s.Ref), s.Ref.Name, maxToolSecrets))
		}
		if missing == nil {
			size += len(value)
		}
		switch {
		case err != nil:
			return err
		case missing != nil && out.toolsLack == nil:
			out.toolsLack = missing
		case missing == nil && out.tools == nil:
			out.tools = map[string]string{s.File: value}
		case missing == nil:
			out.tools[s.File] = value
		}
	}
	return nil
}

func (r *Reconciler) readKey(ctx context.Context, namespace string, key v1alpha1.APIKey, into map[string]string) (*verdict, error) {
	field := fmt.Sprintf("spec.auth.keys[%s].secretRef", key.Name)
	value, missing, err := r.readSecret(ctx, namespace, *key.SecretRef, field)
	if missing != nil || err != nil {
		return missing, err
	}
	at := fmt.Sprintf("%s: the value of key %q in Secret %q", field, keyOf(*key.SecretRef), key.SecretRef.Name)
	switch {
	case len(value) < minKeyLength:
		return lacking(v1alpha1.ReasonKeyTooShort, fmt.Sprintf(
			"%s has fewer than %d characters; make a longer one, for example with `openssl rand -hex 32`", at, minKeyLength)), nil
	case !isBearer(value):
		return lacking(v1alpha1.ReasonTokenMalformed, at+" can't be sent as a key: it holds other than visible ASCII characters"), nil
	}
	for other, taken := range into {
		if hmac.Equal([]byte(taken), []byte(value)) {
			first, second := min(other, key.Name), max(other, key.Name)
			return lacking(v1alpha1.ReasonKeyNotUnique, fmt.Sprintf(
				"spec.auth.keys: %q and %q have the same value, and a caller is known by its key; give each its own", first, second)), nil
		}
	}
	into[key.Name] = value
	return nil, nil
}

// readSecret reads one value of a Secret live. White space around it is an accident of
// how Secrets are made from files.
func (r *Reconciler) readSecret(ctx context.Context, namespace string, ref v1alpha1.SecretKeyReference, field string) (string, *verdict, error) {
	var secret corev1.Secret
	err := r.Live.Get(ctx, client.ObjectKey{Namespace: namespace, Name: ref.Name}, &secret)
	switch {
	case apierrors.IsNotFound(err):
		return "", lacking(v1alpha1.ReasonSecretNotFound, fmt.Sprintf(
			"%s: Secret %q doesn't exist in namespace %q; create it", field, ref.Name, namespace)), nil
	case err != nil:
		return "", nil, fmt.Errorf("reading Secret %s/%s: %w", namespace, ref.Name, err)
	}
	value := strings.TrimSpace(string(secret.Data[keyOf(ref)]))
	if value == "" {
		return "", lacking(v1alpha1.ReasonSecretKeyMissing, fmt.Sprintf(
			"%s: Secret %q in namespace %q has no value under key %q; add it", field, ref.Name, namespace, keyOf(ref))), nil
	}
	return value, nil, nil
}

func keyOf(ref v1alpha1.SecretKeyReference) string {
	if ref.Key == "" {
		return "token"
	}
	return ref.Key
}

// isBearer tells whether a value survives an Authorization header.
func isBearer(value string) bool {
	return !strings.ContainsFunc(value, func(c rune) bool { return c <= ' ' || c > '~' })
}

// lacking is a verdict about something that a person must bring, and that heals by
// itself once it is there.
func lacking(reason, message string) *verdict {
	return wait(v1alpha1.ConditionCredentialsReady, reason, message, pollMissing)
}
