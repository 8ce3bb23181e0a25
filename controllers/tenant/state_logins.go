package tenant

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	tags "github.com/crispy-enigma/crispy-enigma/api/statestore"
	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/statestore"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
)

const (
	// serverTimeout bounds what one server is asked in a pass.
	serverTimeout = 15 * time.Second
	// connectionsPerPod is above what the runtime opens to a database, twice.
	connectionsPerPod = 20
)

// logIn gives the Tenant its logins on the servers of its class, with which all that it
// needs to be let in somewhere is there. A password is on the server
// before it is in the Secret: what was cut off in between is done anew with another one,
// and no pod ever had the first. A verdict with ok says that the pods can go on with the
// login they have; without, that they have none.
func (r *Reconciler) logIn(ctx context.Context, o *observed, found credentials) (v *verdict, ok bool, err error) {
	var secret *corev1.Secret
	for _, s := range found.state {
		if s.own {
			s.login = s.pods(s.address.URL(), nil)
			continue
		}
		if secret == nil {
			if secret, err = r.ownSecret(ctx, o.tenant, resources.NamesOf(o.tenant.Name).Config); err != nil {
				if refused := refusal(err); refused != nil {
					return refused, false, nil
				}
				return nil, false, err
			}
			if secret == nil {
				secret = &corev1.Secret{}
			}
		}
		amiss, err := r.logInto(ctx, o, s, secret)
		if err != nil {
			return nil, false, err
		}
		if v = worst(v, amiss); s.login == nil {
			return v, false, nil
		}
	}
	// Once a pass, so that its time tells since when.
	if v == nil {
		o.tenant.MarkTrue(v1alpha1.ConditionCredentialsReady, v1alpha1.ReasonCredentialsRead, "every key and credential that the spec names was read")
	} else {
		o.tenant.MarkFalse(v.condition, v.reason, v.message)
	}
	return v, true, nil
}

func (r *Reconciler) logInto(ctx context.Context, o *observed, s *sharedServer, secret *corev1.Secret) (*verdict, error) {
	tag := r.tag(o)
	have, had, err := storedLogin(s, tag, secret)
	if err != nil {
		return nil, err
	}
	want := have
	switch {
	case !had:
		err = r.newLogin(&want, "")
	case have.note.Previous != "":
		if settled(o.tenant, secret) {
			want.note.Previous = ""
		}
	case r.Clock.Since(have.note.MadeAt) >= s.rotateAfter:
		err = r.newLogin(&want, statestore.DigestOf(have.password))
	}
	if err != nil {
		return nil, err
	}
	failed := r.admit(ctx, o, s, tag, want, want.password != have.password || suspect(o.tenant))
	if failed == nil {
		return nil, s.use(tag, want)
	}
	message, known := describeLogin(s, "the operator can't make the tenant's login", failed)
	if !known {
		return nil, failed
	}
	amiss := wait(v1alpha1.ConditionCredentialsReady, v1alpha1.ReasonStateLoginFailed, message, pollMissing)
	if !had {
		return amiss, nil
	}
	return amiss, s.use(tag, have)
}

func (r *Reconciler) admit(ctx context.Context, o *observed, s *sharedServer, tag string, l login, renew bool) error {
	server, err := r.server(s)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, serverTimeout)
	defer cancel()
	return server.Admit(limited, tag, statestore.Login{
		Slot: l.slot, Password: l.password, Previous: l.note.Previous, Renew: renew,
		Connections: int(o.effective.MaxReplicas()+1) * connectionsPerPod,
	})
}

// login is one that the operator made.
type login struct {
	slot, password string
	note           resources.LoginNote
}

func (r *Reconciler) newLogin(l *login, previous string) error {
	password, err := newToken(r.Random)
	if err != nil {
		return err
	}
	*l = login{slot: statestore.OtherSlot(l.slot), password: password, note: resources.LoginNote{MadeAt: r.Clock.Now(), Previous: previous}}
	return nil
}

// storedLogin reads the login that the pods have. One of another name than the operator
// gives isn't one.
func storedLogin(s *sharedServer, tag string, secret *corev1.Secret) (login, bool, error) {
	file := tenantconfig.StateURLFile
	if s.role == resources.LimitsRole {
		file = tenantconfig.LimitsURLFile
	}
	kind := s.address.Kind()
	var user, password string
	// What can't be read is none, or was edited by hand into what isn't one.
	if stored, err := statestore.Parse(kind, string(secret.Data[file]), nil); err == nil {
		user, password = stored.Login()
	}
	for _, slot := range []string{"a", "b"} {
		name, err := statestore.User(kind, tag, slot)
		if err != nil {
			return login{}, false, fmt.Errorf("naming the tenant's login: %w", err)
		}
		if user == name && len(password) >= minKeyLength && isBearer(password) {
			return login{slot: slot, password: password, note: resources.ReadLogin(secret, s.role)}, true, nil
		}
	}
	return login{}, false, nil
}

// use has the pods log in by a login, at the address that the server has now.
func (s *sharedServer) use(tag string, l login) error {
	user, err := statestore.User(s.address.Kind(), tag, l.slot)
	if err != nil {
		return fmt.Errorf("naming the tenant's login: %w", err)
	}
	note := l.note
	s.login = s.pods(s.address.As(user, l.password), &note)
	return nil
}

// settled tells whether all pods serve the document that is in the Secret, so that none
// has the login before.
func settled(t *v1alpha1.Tenant, secret *corev1.Secret) bool {
	c := t.Condition(v1alpha1.ConditionWorkloadReady)
	document, err := tenantconfig.Parse(secret.Data[tenantconfig.DocumentFile])
	return err == nil && c != nil && c.Status == metav1.ConditionTrue && tenantconfig.DigestOf(document) == t.Status.ConfigDigest
}

// suspect tells whether the pods said that the server doesn't know their login.
func suspect(t *v1alpha1.Tenant) bool {
	c := t.Condition(v1alpha1.ConditionStateStoreReachable)
	return c != nil && c.Status == metav1.ConditionFalse && c.Reason == v1alpha1.ReasonStateLoginFailed
}

func (r *Reconciler) tag(o *observed) string {
	return tags.Tag(resources.Identity(r.Operator.OwnerID, o.tenant, o.effective))
}
