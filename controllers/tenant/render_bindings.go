package tenant

import (
	"context"
	"errors"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
)

// bindNamed stands for the phase of bindings where nothing can be made: the token is the
// account's, and of things only those are used that the manifests name.
func (r *Reconciler) bindNamed(ctx context.Context, t *v1alpha1.Tenant, found *credentials) error {
	if found.owner == nil {
		return nil
	}
	if mints(found.owner) {
		token, missing, err := r.readToken(ctx, found.owner.Namespace, found.owner.Spec.Credentials.SecretRef, "spec.credentials.secretRef of the CloudflareAccount")
		if missing != nil {
			return errors.New(missing.message)
		}
		if err != nil {
			return err
		}
		found.cloudflareToken = token
	}
	if t.Spec.Upstream.Type == v1alpha1.UpstreamWorkersAI {
		found.upstreamToken = found.cloudflareToken
	}
	if resources.SharesGateway(t) {
		found.account.GatewayID = found.owner.Spec.GatewayID
		if found.account.GatewayID == "" {
			found.account.GatewayID = "default" // Cloudflare makes it at the first call
		}
	}
	found.bindings = map[v1alpha1.BindingRole]*v1alpha1.CloudflareBinding{}
	for _, u := range resources.Uses(t, false) {
		b, err := r.named(ctx, t, u)
		if err != nil {
			return err
		}
		found.bindings[u.Role] = b
		if u.Role == v1alpha1.RoleGateway {
			found.account.GatewayID = b.Status.ID
		}
	}
	return nil
}

// named reads a binding whose manifest says which thing it is.
func (r *Reconciler) named(ctx context.Context, t *v1alpha1.Tenant, u resources.Use) (*v1alpha1.CloudflareBinding, error) {
	if u.Ref == nil {
		return nil, fmt.Errorf("%s: it is the operator that makes it, in a cluster; without one, name a CloudflareBinding with an existingID in bindingRef", u.Field)
	}
	b := &v1alpha1.CloudflareBinding{}
	if err := r.Client.Get(ctx, client.ObjectKey{Namespace: t.Namespace, Name: u.Ref.Name}, b); client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("reading CloudflareBinding %s: %w", u.Ref.Name, err)
	} else if err != nil {
		return nil, errors.New(judge(u, t, nil, 0).message)
	}
	if v := judge(u, t, b, 0); v != nil && v.reason != v1alpha1.ReasonBindingPending {
		return nil, errors.New(v.message)
	}
	if b.Status.ID = b.Spec.ExistingID; b.Status.ID == "" {
		return nil, fmt.Errorf("%s.bindingRef: CloudflareBinding %q has no spec.existingID, and without a cluster nothing is made; name a thing that exists", u.Field, u.Ref.Name)
	}
	return b, nil
}
