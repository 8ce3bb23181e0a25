package tenant

import (
	"context"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/apply"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
)

// bindingKind is the kind of what the phase makes.
var bindingKind = v1alpha1.GroupVersion.WithKind("CloudflareBinding")

// bind makes the CloudflareBindings that the spec needs and puts what can be used of them
// into found. A verdict with ok says that something isn't as it should be, and that the
// pods can go on with what they have; without, that there is nothing to go on with.
func (r *Reconciler) bind(ctx context.Context, o *observed, found *credentials) (v *verdict, ok bool, err error) {
	t := o.tenant
	uses := found.uses(t)
	if found.owner == nil { // none is named, or nothing of it is used
		t.Status.Bindings = nil
		t.Unmark(v1alpha1.ConditionBindingsReady)
		return nil, true, nil
	}
	written, err := r.applyBindings(ctx, o, uses)
	if err != nil {
		if v = refusal(err); v == nil {
			return nil, false, err
		}
		v.condition = v1alpha1.ConditionBindingsReady
		return v, false, nil
	}
	b := &binder{Reconciler: r, o: o, found: found, written: written}
	if err := b.gather(ctx, uses); err != nil {
		return nil, false, err
	}
	if v = worst(append(slices.Clone(b.missing), b.amiss...)...); v == nil {
		t.MarkTrue(v1alpha1.ConditionBindingsReady, v1alpha1.ReasonBindingsReady, "every Cloudflare thing that the tenant uses is there")
		return nil, true, nil
	}
	if missing := worst(b.missing...); missing != nil {
		return missing, false, nil
	}
	t.MarkFalse(v.condition, v.reason, v.message)
	return v, true, nil
}

// applyBindings writes the Tenant's own bindings. It tells the generations that it has
// written: a cache that shows older ones shows what they were before.
func (r *Reconciler) applyBindings(ctx context.Context, o *observed, uses []resources.Use) (map[string]int64, error) {
	result, err := apply.All(ctx, r.Client, r.bindingOwner(o.tenant), r.ownObjects(o, uses)...)
	r.report(ctx, o.tenant, o.tenant.Status.ConfigDigest, result)
	written := map[string]int64{}
	for _, c := range result.Changes {
		written[c.Name] = max(written[c.Name], c.Generation)
	}
	return written, err
}

// pruneBindings deletes those that the Tenant no longer needs, once its pods serve the
// document that names them no more: what serves isn't revoked. Their finalizer deals with
// what they stand for.
func (r *Reconciler) pruneBindings(ctx context.Context, o *observed, found credentials) error {
	if o.tenant.Spec.Upstream.AccountRef == nil {
		return nil
	}
	owner := r.bindingOwner(o.tenant)
	owner.Prune = []schema.GroupVersionKind{bindingKind}
	result, err := apply.All(ctx, r.Client, owner, r.ownObjects(o, found.uses(o.tenant))...)
	r.report(ctx, o.tenant, "", result) // no drift: it is the Tenant's own wish
	return err
}

func (r *Reconciler) bindingOwner(t *v1alpha1.Tenant) apply.Owner {
	return apply.Owner{Object: t, Inventory: resources.Inventory(t.Name), IdentityKey: resources.StorageIdentity, Live: r.Live}
}

func (r *Reconciler) ownObjects(o *observed, uses []resources.Use) []resources.Object {
	return resources.Bindings(resources.Inputs{Tenant: o.tenant, Effective: o.effective, Operator: r.Operator}, uses)
}

// uses are the bindings that a Tenant needs in the account that was found; none without.
func (c credentials) uses(t *v1alpha1.Tenant) []resources.Use {
	if c.owner == nil {
		return nil
	}
	return resources.Uses(t, mints(c.owner))
}

// into puts what was found where children are made of it.
func (c credentials) into(in *resources.Inputs) {
	in.Account, in.Bindings = c.account, c.bindings
	in.UpstreamToken, in.CloudflareToken, in.TokenID = c.upstreamToken, c.cloudflareToken, c.tokenID
	in.ToolSecrets = c.tools
	for _, s := range c.state {
		if s.role == resources.LimitsRole {
			in.LimitsState = s.login
		} else {
			in.State = s.login
		}
	}
}
