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
	// verifyEvery is how often a token is asked how it is, one that is refused too.
	verifyEvery = 10 * time.Minute
	// verifyTimeout bounds the question, its wait for the budget with it.
	verifyTimeout = 20 * time.Second
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

// verification is what Cloudflare said of the tokens when it was asked last.
type verification struct {
	at         time.Time
	generation int64
	// current is the token that spec.credentials.secretRef held then.
	current fingerprint
	// expiresAt is when current expires, as far as Cloudflare has told.
	expiresAt time.Time
	// previous tells that the one of previousSecretRef is used in its place.
	previous bool
	// token is what is known of the one that is used.
	token cloudflare.Token
	// problem that a person must mend; nil if the token is good.
	problem *Problem
	// contradicted is when a token was last found good though a call was refused.
	contradicted time.Time
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

// verify asks Cloudflare about the account's tokens if it is time to: at first, when the
// spec or the token changed, when a call was refused, and every verifyEvery. An error
// means that nothing new is known.
func (d *Directory) verify(ctx context.Context, a *v1alpha1.CloudflareAccount) (verification, error) {
	key := client.ObjectKeyFromObject(a)
	current, err := d.current(ctx, a)
	if err != nil {
		return verification{}, err
	}
	d.remember(a, current)
	known, doubt, fresh := d.known(a, current.print)
	if fresh {
		return known, nil
	}
	v := verification{at: d.Clock.Now(), generation: a.Generation, current: current.print, contradicted: known.contradicted}
	refused := map[fingerprint]*Problem{}
	used := current
	if v.token, v.problem, err = d.ask(ctx, a, current); err != nil {
		return verification{}, err
	}
	v.expiresAt = v.token.ExpiresAt
	if v.expiresAt.IsZero() && known.current == current.print && v.problem != nil {
		v.expiresAt = known.expiresAt // what is refused isn't told of any more
	}
	if v.problem == nil && doubt != nil {
		v.settle(a, current, doubt)
	}
	if v.problem != nil {
		refused[current.print] = v.problem
		previous, err := d.previous(ctx, a, v.problem)
		if err != nil {
			return verification{}, err
		}
		if previous != nil {
			token, problem, err := d.ask(ctx, a, *previous)
			switch {
			case err != nil:
				return verification{}, err
			case problem != nil:
				refused[previous.print] = problem
			default:
				v.token, v.problem, v.previous, used = token, nil, true, *previous
			}
		}
	}
	d.conclude(key, v, used.print, refused)
	return v, nil
}

// known is what was found last, and whether it needn't be asked again. doubt is why a
// call was refused since.
func (d *Directory) known(a *v1alpha1.CloudflareAccount, current fingerprint) (v verification, doubt *Problem, fresh bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.entry(client.ObjectKeyFromObject(a))
	v = e.verified
	if v.problem == nil {
		doubt = e.refused[current]
	}
	doubted := v.problem == nil && e.refused[e.token] != nil
	return v, doubt, !v.at.IsZero() && v.generation == a.Generation && v.current == current && !doubted && d.Clock.Since(v.at) < verifyEvery
}

// settle decides where Cloudflare calls the token good and refused a call all the same.
// Of the account only calls tell. A token is given one more try, not one after the other.
func (v *verification) settle(a *v1alpha1.CloudflareAccount, c credential, doubt *Problem) {
	switch {
	case doubt.Reason == v1alpha1.ReasonWrongAccount:
		v.problem = wrongAccount(a)
	case v.at.Sub(v.contradicted) < verifyEvery:
		v.problem = tokenInvalid(c)
	default:
		v.contradicted = v.at
	}
}

// conclude replaces what was known of the tokens.
func (d *Directory) conclude(key client.ObjectKey, v verification, used fingerprint, refused map[fingerprint]*Problem) {
	d.mu.Lock()
	e := d.entry(key)
	spec := !e.verified.at.IsZero() && e.verified.generation != v.generation
	if v.problem == nil && (e.verified.problem != nil || len(e.refused) > 0 || e.verified.current != v.current || spec) {
		e.recovered = true
	}
	e.verified, e.refused = v, refused
	if spec {
		e.holds = map[scope]*hold{} // a person has changed something: ask again
	}
	d.mu.Unlock()
	if v.problem == nil {
		d.use(key, used)
	}
}

// ask asks Cloudflare about one token. The Problem is a person's to mend.
func (d *Directory) ask(ctx context.Context, a *v1alpha1.CloudflareAccount, c credential) (cloudflare.Token, *Problem, error) {
	ctx, cancel := context.WithTimeout(ctx, verifyTimeout)
	defer cancel()
	token, err := d.Dial(optionsOf(a, c), cloudflare.Edit).Token(ctx)
	expired := !token.ExpiresAt.IsZero() && !d.Clock.Now().Before(token.ExpiresAt)
	switch {
	case errors.Is(err, cloudflare.ErrUnauthorized):
		return token, d.unauthorized(a, c), nil
	case errors.Is(err, cloudflare.ErrWrongAccount):
		return token, wrongAccount(a), nil
	case err != nil:
		return token, nil, err
	case expired:
		return token, tokenExpired(c, token.ExpiresAt), nil
	case !token.Active:
		return token, tokenInvalid(c), nil
	}
	return token, nil, nil
}

// unauthorized is why a token is refused, as far as it is known: an expired one is
// refused like one that never was.
func (d *Directory) unauthorized(a *v1alpha1.CloudflareAccount, c credential) *Problem {
	d.mu.Lock()
	v := d.entry(client.ObjectKeyFromObject(a)).verified
	d.mu.Unlock()
	if at := v.expiresAt; v.current == c.print && !at.IsZero() && !d.Clock.Now().Before(at) {
		return tokenExpired(c, at)
	}
	return tokenInvalid(c)
}

func tokenInvalid(c credential) *Problem {
	return &Problem{v1alpha1.ReasonTokenInvalid, fmt.Sprintf(
		"%s: Cloudflare refuses the token in Secret %q: it is unknown, disabled or expired; put one that is active into the Secret", c.field, c.secret), verifyEvery}
}

func tokenExpired(c credential, at time.Time) *Problem {
	return &Problem{v1alpha1.ReasonTokenExpired, fmt.Sprintf(
		"%s: the token in Secret %q expired at %s; make a new one in Cloudflare's dashboard and put it into the Secret", c.field, c.secret, at.UTC().Format(time.RFC3339)), verifyEvery}
}

func wrongAccount(a *v1alpha1.CloudflareAccount) *Problem {
	return &Problem{v1alpha1.ReasonWrongAccount, fmt.Sprintf(
		"spec.accountID: there is no account %s that the token has to do with; use a token of that account, or make a new CloudflareAccount with the id that the dashboard shows", a.Spec.AccountID), verifyEvery}
}

// refusal is why a token isn't to be used, nil if none is known.
func (d *Directory) refusal(key client.ObjectKey, token fingerprint) *Problem {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.entry(key).refused[token]
}
