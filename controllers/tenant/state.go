package tenant

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/statestore"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
)

// defaultLoginAge is the age at which a password is replaced where the class, read from a
// file, doesn't say.
const defaultLoginAge = 90 * 24 * time.Hour

// Entries of the Secret of a state server.
const (
	stateURLKey = "url"
	stateCAKey  = "ca.crt"
)

// sharedServer is a server that a Tenant's data is kept on.
type sharedServer struct {
	// role is what is kept there: resources.StateRole or resources.LimitsRole.
	role string
	// field of the Tenant that asks for it.
	field string
	// address with the login of the administrator, or the Tenant's own if it brings it.
	address *statestore.Address
	own     bool
	// rotateAfter is the age at which the Tenant's password is replaced.
	rotateAfter time.Duration
	// login is what the pods get; nil until it is there.
	login *resources.StateServer
}

// wantedServers are those that the Tenant's state needs, not looked for yet.
func wantedServers(e v1alpha1.EffectiveState) []*sharedServer {
	if !e.Shared() {
		return nil
	}
	out := []*sharedServer{{role: resources.StateRole, field: "spec.state." + e.Driver, own: e.SecretRef != nil}}
	if e.LimitsOn != "" {
		out = append(out, &sharedServer{role: resources.LimitsRole, field: "spec.state." + e.LimitsOn, own: e.LimitsSecretRef != nil})
	}
	return out
}

// readState finds the servers that the Tenant's data is kept on: its own by secretRef, or
// those that its class offers.
func (r *Reconciler) readState(ctx context.Context, o *observed) ([]*sharedServer, *verdict, error) {
	servers := wantedServers(o.effective.State)
	for _, s := range servers {
		if missing, err := r.locate(ctx, o, s); missing != nil || err != nil {
			return nil, missing, err
		}
	}
	return servers, nil, nil
}

func (r *Reconciler) locate(ctx context.Context, o *observed, s *sharedServer) (*verdict, error) {
	e := o.effective.State
	kind, ref := e.Driver, e.SecretRef
	if s.role == resources.LimitsRole {
		kind, ref = e.LimitsOn, e.LimitsSecretRef
	}
	if ref != nil {
		return r.readAddress(ctx, s, kind, client.ObjectKey{Namespace: o.tenant.Namespace, Name: ref.Name}, s.field+".secretRef")
	}
	offer := offered(o.class, kind)
	if offer == nil {
		return lacking(v1alpha1.ReasonStateNotOffered, fmt.Sprintf(
			"%s: %s offers no %s server; name one in spec.stateServers.%s of a TenantClass, or the Tenant's own in %s.secretRef", s.field, classNamed(o.class), kind, kind, s.field)), nil
	}
	s.rotateAfter = defaultLoginAge
	if offer.RotateAfter != nil {
		s.rotateAfter = offer.RotateAfter.Duration
	}
	admin := client.ObjectKey{Namespace: offer.AdminSecretRef.Namespace, Name: offer.AdminSecretRef.Name}
	field := fmt.Sprintf("TenantClass %s, spec.stateServers.%s.adminSecretRef", o.class.Name, kind)
	if len(r.Namespaces) > 0 && !slices.Contains(r.Namespaces, admin.Namespace) {
		return lacking(v1alpha1.ReasonSecretNotFound, fmt.Sprintf(
			"%s: the operator doesn't watch namespace %q; put the Secret into one that it watches", field, admin.Namespace)), nil
	}
	return r.readAddress(ctx, s, kind, admin, field)
}

func offered(class *v1alpha1.TenantClass, kind string) *v1alpha1.StateServer {
	switch {
	case class == nil:
		return nil
	case kind == statestore.Postgres:
		return class.Spec.StateServers.Postgres
	}
	return class.Spec.StateServers.Valkey
}

func classNamed(class *v1alpha1.TenantClass) string {
	if class == nil {
		return "the operator without a TenantClass"
	}
	return fmt.Sprintf("class %q", class.Name)
}

// readAddress reads the Secret of a server live.
func (r *Reconciler) readAddress(ctx context.Context, s *sharedServer, kind string, key client.ObjectKey, field string) (*verdict, error) {
	secret := &corev1.Secret{}
	err := r.Live.Get(ctx, key, secret)
	switch {
	case apierrors.IsNotFound(err):
		return lacking(v1alpha1.ReasonSecretNotFound, fmt.Sprintf(
			"%s: Secret %q doesn't exist in namespace %q; create it", field, key.Name, key.Namespace)), nil
	case err != nil:
		return nil, fmt.Errorf("reading Secret %s: %w", key, err)
	}
	raw := strings.TrimSpace(string(secret.Data[stateURLKey]))
	if raw == "" {
		return lacking(v1alpha1.ReasonSecretKeyMissing, fmt.Sprintf(
			"%s: Secret %q in namespace %q has no value under key %q; add it", field, key.Name, key.Namespace, stateURLKey)), nil
	}
	s.address, err = statestore.Parse(kind, raw, secret.Data[stateCAKey])
	if err != nil {
		return lacking(v1alpha1.ReasonTokenMalformed, fmt.Sprintf(
			"%s: key %q in Secret %q: %v", field, stateURLKey, key.Name, err)), nil
	}
	return nil, nil
}

// pods gives what the pods are told of a server, with the URL that they log in by.
func (s *sharedServer) pods(url string, note *resources.LoginNote) *resources.StateServer {
	out := &resources.StateServer{URL: url, CA: s.address.CA(), Login: note}
	for _, e := range s.address.Endpoints() {
		out.Endpoints = append(out.Endpoints, resources.StateEndpoint{Host: e.Host, Port: e.Port})
	}
	return out
}

// server of a class, or the Tenant's own.
func (r *Reconciler) server(s *sharedServer) (statestore.Server, error) {
	server, err := r.States.Open(s.address, s.own)
	if err != nil {
		return nil, fmt.Errorf("opening the server of %s: %w", s.field, err)
	}
	return server, nil
}

// describeLogin is the sentence about a server that doesn't do what is asked of it.
func describeLogin(s *sharedServer, doing string, err error) (string, bool) {
	var answer *statestore.Error
	if !errors.As(err, &answer) {
		return "", false
	}
	return fmt.Sprintf("%s: %s: %s", s.field, doing, steady(answer.Error())), true
}
