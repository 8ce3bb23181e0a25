package tenant

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/account"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
)

// binder gathers the bindings of one pass.
type binder struct {
	*Reconciler
	o     *observed
	found *credentials
	// written are the generations of what this pass has written, by name.
	written map[string]int64
	// served is the document that the pods have, read if something isn't as it should be.
	served *tenantconfig.Config
	asked  bool
	// missing is what there is no going on without, amiss what the pods can do without.
	missing, amiss []*verdict
}

func (b *binder) gather(ctx context.Context, uses []resources.Use) error {
	b.found.bindings = map[v1alpha1.BindingRole]*v1alpha1.CloudflareBinding{}
	b.o.tenant.Status.Bindings = nil
	if err := b.sharedGateway(ctx); err != nil {
		return err
	}
	for _, u := range uses {
		if err := b.one(ctx, u); err != nil {
			return err
		}
	}
	if g := b.found.bindings[v1alpha1.RoleGateway]; g != nil {
		b.found.account.GatewayID = g.Status.ID
	}
	if b.o.tenant.Spec.Upstream.Type == v1alpha1.UpstreamWorkersAI {
		b.found.upstreamToken = b.found.cloudflareToken
	}
	return b.sharedToken(uses)
}

// sharedGateway is the account's: its controller makes it once a Tenant needs it.
func (b *binder) sharedGateway(ctx context.Context) error {
	t, a := b.o.tenant, b.found.owner
	if !resources.SharesGateway(t) {
		return nil
	}
	id := a.Spec.GatewayID
	if id == "" {
		id = a.Status.GatewayID
		binding := v1alpha1.TenantBinding{Role: v1alpha1.RoleGateway, Type: v1alpha1.BindingAIGateway, Name: account.GatewayName(a.Name), ID: id, Ready: id != ""}
		if a.Namespace != t.Namespace {
			binding.Namespace = a.Namespace
		}
		t.Status.Bindings = append(t.Status.Bindings, binding)
	}
	if id != "" {
		b.found.account.GatewayID = id
		return nil
	}
	v := wait(v1alpha1.ConditionBindingsReady, v1alpha1.ReasonBindingPending, fmt.Sprintf(
		"CloudflareAccount %s/%s has no AI Gateway yet; one is made for all its Tenants, see its status, or name one in its spec.gatewayID", a.Namespace, a.Name), pollRollout)
	served, err := b.document(ctx)
	if err != nil {
		return err
	}
	if served != nil && served.Upstream.AccountID == a.Spec.AccountID && served.Upstream.Gateway.ID != "" {
		b.found.account.GatewayID = served.Upstream.Gateway.ID
		b.amiss = append(b.amiss, v)
		return nil
	}
	b.missing = append(b.missing, v)
	return nil
}

// one looks at one binding.
func (b *binder) one(ctx context.Context, u resources.Use) error {
	t := b.o.tenant
	told := v1alpha1.TenantBinding{Role: u.Role, Type: u.Type, Name: u.Name(t.Name)}
	binding := &v1alpha1.CloudflareBinding{}
	err := b.Client.Get(ctx, client.ObjectKey{Namespace: t.Namespace, Name: told.Name}, binding)
	switch {
	case apierrors.IsNotFound(err):
		binding = nil
	case err != nil:
		return fmt.Errorf("reading CloudflareBinding %s: %w", told.Name, err)
	}
	v := judge(u, t, binding, b.written[told.Name])
	if v == nil || v.reason == v1alpha1.ReasonBindingPending && binding != nil {
		told.ID = binding.Status.ID
		told.Ready = v == nil
	}
	t.Status.Bindings = append(t.Status.Bindings, told)
	usable := v == nil
	if !usable && told.ID != "" {
		served, err := b.document(ctx)
		if err != nil {
			return err
		}
		usable = resources.Serves(served, u.Role, told.ID) || u.Role == v1alpha1.RoleToken && b.enough(served)
	}
	if usable && u.Role == v1alpha1.RoleToken {
		unread, err := b.readMinted(ctx, binding)
		if err != nil {
			return err
		}
		if unread != nil {
			v, usable = unread, false
		}
	}
	switch {
	case !usable:
		b.missing = append(b.missing, v)
		return nil
	case v != nil:
		b.amiss = append(b.amiss, v)
	}
	b.found.bindings[u.Role] = binding
	return nil
}

// enough tells whether a token that isn't as it should be does for now: for what the pods
// serve already it does, for what is new it may lack the permission.
func (b *binder) enough(served *tenantconfig.Config) bool {
	if served == nil || served.Upstream.CredentialsFile == "" && served.Cloudflare.CredentialsFile == "" {
		return false
	}
	if b.o.tenant.Spec.Upstream.Type == v1alpha1.UpstreamWorkersAI && served.Upstream.AccountID == "" {
		return false
	}
	for role, binding := range b.found.bindings {
		if !resources.Serves(served, role, binding.Status.ID) {
			return false
		}
	}
	return true
}

// document is what the pods have been given; nil before there is any.
func (b *binder) document(ctx context.Context) (*tenantconfig.Config, error) {
	if b.asked {
		return b.served, nil
	}
	secret := &corev1.Secret{}
	err := b.Live.Get(ctx, client.ObjectKey{Namespace: b.o.tenant.Namespace, Name: resources.NamesOf(b.o.tenant.Name).Config}, secret)
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("reading what the pods serve: %w", err)
	}
	b.asked = true
	if served, err := tenantconfig.Parse(secret.Data[tenantconfig.DocumentFile]); err == nil && isOurs(secret, b.o.tenant) {
		b.served = served
	}
	return b.served, nil
}

// readMinted reads the Tenant's own token live. A Secret that the binding doesn't control
// is somebody's who would have the pods call with a token of theirs.
func (b *binder) readMinted(ctx context.Context, binding *v1alpha1.CloudflareBinding) (*verdict, error) {
	name := binding.Name
	if token := binding.Status.Token; token != nil && token.SecretName != "" {
		name = token.SecretName
	}
	secret := &corev1.Secret{} // stays empty if there is none
	if err := b.Live.Get(ctx, client.ObjectKey{Namespace: binding.Namespace, Name: name}, secret); client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("reading Secret %s/%s: %w", binding.Namespace, name, err)
	}
	token := string(secret.Data["token"])
	if token == "" || !isBearer(token) || !metav1.IsControlledBy(secret, binding) {
		return wait(v1alpha1.ConditionBindingsReady, v1alpha1.ReasonBindingPending, fmt.Sprintf(
			"CloudflareBinding %q: its Secret %q isn't there, or isn't its own; a token is made anew", binding.Name, name), pollMissing), nil
	}
	b.found.cloudflareToken, b.found.tokenID = token, string(secret.Data["id"])
	return nil, nil
}

// sharedToken opens R2 only with its id, which the account's controller learns.
func (b *binder) sharedToken(uses []resources.Use) error {
	a := b.found.owner
	needsID := slices.ContainsFunc(uses, func(u resources.Use) bool { return u.Role == v1alpha1.RoleOriginals })
	if !mints(a) && needsID && b.found.tokenID == "" {
		b.missing = append(b.missing, wait(v1alpha1.ConditionBindingsReady, v1alpha1.ReasonBindingPending, fmt.Sprintf(
			"CloudflareAccount %s/%s: its token hasn't been verified yet, and R2 is opened with the token's id; see its status", a.Namespace, a.Name), pollRollout))
	}
	return nil
}

// judge says why a binding can't be used; nil if it can. It was written at least as the
// generation written.
func judge(u resources.Use, t *v1alpha1.Tenant, b *v1alpha1.CloudflareBinding, written int64) *verdict {
	name := u.Name(t.Name)
	pending := func(why string) *verdict {
		return wait(v1alpha1.ConditionBindingsReady, v1alpha1.ReasonBindingPending, fmt.Sprintf("%s: CloudflareBinding %q %s", u.Field, name, why), pollRollout)
	}
	switch {
	case b == nil && u.Ref == nil:
		return pending("is being made")
	case b == nil:
		return wait(v1alpha1.ConditionBindingsReady, v1alpha1.ReasonBindingNotFound, fmt.Sprintf(
			"%s.bindingRef: CloudflareBinding %q doesn't exist in namespace %q; create it, or name another", u.Field, name, t.Namespace), pollMissing)
	case b.Spec.Type != u.Type:
		return stall(v1alpha1.ConditionBindingsReady, v1alpha1.ReasonBindingMismatch, fmt.Sprintf(
			"%s.bindingRef: CloudflareBinding %q is of type %s, and %s is needed; name another", u.Field, name, b.Spec.Type, u.Type))
	case referenceOf(b.Namespace, b.Spec.AccountRef) != accountKey(t):
		return stall(v1alpha1.ConditionBindingsReady, v1alpha1.ReasonBindingMismatch, fmt.Sprintf(
			"%s.bindingRef: CloudflareBinding %q lies in another account than spec.upstream.accountRef names; name one of that account", u.Field, name))
	case !b.DeletionTimestamp.IsZero():
		return pending("is being deleted")
	}
	ready := b.Marks().Get(v1alpha1.ConditionReady)
	if ready == nil || b.Status.ObservedGeneration != b.Generation || b.Generation < written {
		return pending("hasn't been looked at since it was written")
	}
	if ready.Status == metav1.ConditionTrue && b.Status.ID != "" {
		return nil
	}
	v := pending("isn't ready: " + steady(ready.Message))
	v.stalled = b.Marks().Get(v1alpha1.ConditionStalled) != nil
	return v
}
