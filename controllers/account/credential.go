package account

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
)

const (
	// missing is how often something that a person must bring is looked for: a read of the
	// API server, never a call of Cloudflare.
	missing = 10 * time.Second
	// settled is how often an account is looked at that only a change can help.
	settled = 5 * time.Minute
	// unsure is when to ask again where Cloudflare gave no answer.
	unsure = time.Minute
)

// fingerprint tells tokens apart without keeping them.
type fingerprint [sha256.Size]byte

// credential is a token and where it lies.
type credential struct {
	value cloudflare.Secret
	print fingerprint
	// secret and field name it in messages.
	secret, field string
}

// credential is the token to use: the current one, or the one before where Cloudflare is
// known to refuse the current one. Secrets are read live, but for a moment: hundreds of
// bindings open one account at once.
func (d *Directory) credential(ctx context.Context, a *v1alpha1.CloudflareAccount) (credential, error) {
	if c, ok := d.recent(a); ok {
		return c, nil
	}
	current, err := d.current(ctx, a)
	if err != nil {
		return credential{}, err
	}
	refusal := d.refusal(client.ObjectKeyFromObject(a), current.print)
	if refusal == nil {
		d.remember(a, current)
		return current, nil
	}
	previous, err := d.previous(ctx, a, refusal)
	switch {
	case err != nil:
		return credential{}, err
	case previous == nil || d.refusal(client.ObjectKeyFromObject(a), previous.print) != nil:
		return credential{}, refusal
	}
	return *previous, nil
}

// moment is how long a token that was read stands for the Secret.
const moment = 3 * time.Second

// reading is a current token that was read a moment ago.
type reading struct {
	credential
	account    types.UID
	generation int64
	at         time.Time
}

func (d *Directory) remember(a *v1alpha1.CloudflareAccount, c credential) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.entry(client.ObjectKeyFromObject(a)).read = reading{c, a.UID, a.Generation, d.Clock.Now()}
}

// recent is the current token if it was read a moment ago and nobody has refused it.
func (d *Directory) recent(a *v1alpha1.CloudflareAccount) (credential, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.entry(client.ObjectKeyFromObject(a))
	r := e.read
	return r.credential, r.value != "" && r.account == a.UID && r.generation == a.Generation && d.Clock.Since(r.at) < moment && e.refused[r.print] == nil
}

func (d *Directory) current(ctx context.Context, a *v1alpha1.CloudflareAccount) (credential, error) {
	return d.token(ctx, a, a.Spec.Credentials.SecretRef, "spec.credentials.secretRef")
}

// previous is the token that stands in for a refused one; nil if there is none, or the
// refusal isn't one of the token itself.
func (d *Directory) previous(ctx context.Context, a *v1alpha1.CloudflareAccount, refusal *Problem) (*credential, error) {
	ref := a.Spec.Credentials.PreviousSecretRef
	if ref == nil || refusal.Reason != v1alpha1.ReasonTokenInvalid && refusal.Reason != v1alpha1.ReasonTokenExpired {
		return nil, nil
	}
	c, err := d.token(ctx, a, *ref, "spec.credentials.previousSecretRef")
	var p *Problem
	if errors.As(err, &p) {
		return nil, nil // the trouble to tell of is the current token's
	}
	return &c, err
}

func (d *Directory) token(ctx context.Context, a *v1alpha1.CloudflareAccount, ref v1alpha1.SecretKeyReference, field string) (credential, error) {
	secret, key := &corev1.Secret{}, ref.Key
	if key == "" {
		key = "token"
	}
	where := fmt.Sprintf("CloudflareAccount %s/%s, %s", a.Namespace, a.Name, field)
	err := d.Live.Get(ctx, client.ObjectKey{Namespace: a.Namespace, Name: ref.Name}, secret)
	switch {
	case apierrors.IsNotFound(err):
		return credential{}, &Problem{v1alpha1.ReasonSecretNotFound, fmt.Sprintf("%s: Secret %q doesn't exist in namespace %q; create it", where, ref.Name, a.Namespace), missing}
	case err != nil:
		return credential{}, fmt.Errorf("reading Secret %s/%s: %w", a.Namespace, ref.Name, err)
	}
	value := strings.TrimSpace(string(secret.Data[key]))
	switch {
	case value == "":
		return credential{}, &Problem{v1alpha1.ReasonSecretKeyMissing, fmt.Sprintf("%s: Secret %q in namespace %q has no value under key %q; add it", where, ref.Name, a.Namespace, key), missing}
	case strings.ContainsFunc(value, func(c rune) bool { return c <= ' ' || c > '~' }):
		return credential{}, &Problem{v1alpha1.ReasonTokenMalformed, fmt.Sprintf("%s: the value of key %q in Secret %q isn't a token: it holds other than visible ASCII characters", where, key, ref.Name), missing}
	}
	return credential{value: cloudflare.Secret(value), print: sha256.Sum256([]byte(value)), secret: ref.Name, field: field}, nil
}

// refusal is why a token isn't to be used, nil if none is known.
func (d *Directory) refusal(key client.ObjectKey, token fingerprint) *Problem {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.entry(key).refused[token]
}
