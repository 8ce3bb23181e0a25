package tenant

import (
	"context"
	"fmt"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
)

// claims are what Tenants of all namespaces may dispute: a public id, and hosts.
type claims struct {
	// idOwner is the older Tenant that has this Tenant's public id; nil if it is ours.
	idOwner *v1alpha1.Tenant
	// hosts that no older Tenant claims, in the spec's order.
	hosts []string
	// lost are the other hosts, with the Tenant that has each.
	lost []lostHost
}

type lostHost struct {
	host  string
	owner *v1alpha1.Tenant
}

// claimsOf compares a Tenant's claims with those of all others. A Tenant that loses a
// host keeps its other hosts, and one that loses its id gets nothing.
func (r *Reconciler) claimsOf(ctx context.Context, t *v1alpha1.Tenant) (claims, error) {
	var out claims
	rivals, err := claimants(ctx, r.Client, indexTenantID, publicID(t))
	if err != nil {
		return out, err
	}
	out.idOwner = oldestRival(t, rivals)
	for _, host := range t.Spec.Exposure.Hosts {
		owner, err := r.hostOwner(ctx, t, host)
		if err != nil {
			return out, err
		}
		if owner != nil {
			out.lost = append(out.lost, lostHost{host, owner})
		} else {
			out.hosts = append(out.hosts, host)
		}
	}
	return out, nil
}

// hostOwner is the older Tenant that has a host, nil if t may have it. One whose class
// doesn't let it use the host has no claim: asking first would be squatting.
func (r *Reconciler) hostOwner(ctx context.Context, t *v1alpha1.Tenant, host string) (*v1alpha1.Tenant, error) {
	rivals, err := claimants(ctx, r.Client, indexHost, host)
	if err != nil {
		return nil, err
	}
	for {
		owner := oldestRival(t, rivals)
		if owner == nil {
			return nil, nil
		}
		if may, err := r.mayUse(ctx, owner, host); may || err != nil {
			return owner, err
		}
		rivals = slices.DeleteFunc(slices.Clone(rivals), func(rival v1alpha1.Tenant) bool { return rival.UID == owner.UID })
	}
}

// mayUse tells whether a Tenant's class lets it use a host. A class that isn't there lets
// nothing: naming it would be a way around the bounds.
func (r *Reconciler) mayUse(ctx context.Context, t *v1alpha1.Tenant, host string) (bool, error) {
	o := &observed{tenant: t}
	if err := r.observeClass(ctx, o); err != nil {
		return false, err
	}
	if o.class == nil || len(o.class.Spec.HostSuffixes) == 0 {
		return o.missingClass == "", nil
	}
	labels, err := r.labelsOf(ctx, t.Namespace)
	return err == nil && hostAllowed(host, o.class.Spec.HostSuffixes, labels), client.IgnoreNotFound(err)
}

func claimants(ctx context.Context, c client.Reader, index, value string) ([]v1alpha1.Tenant, error) {
	var list v1alpha1.TenantList
	if err := c.List(ctx, &list, client.MatchingFields{index: value}); err != nil {
		return nil, fmt.Errorf("listing the tenants that claim %s: %w", value, err)
	}
	return list.Items, nil
}

// oldestRival is the other Tenant that wins over t, nil if t wins. A Tenant keeps its
// claims until it is gone, so that a name never has two owners.
func oldestRival(t *v1alpha1.Tenant, rivals []v1alpha1.Tenant) *v1alpha1.Tenant {
	var winner *v1alpha1.Tenant
	for i := range rivals {
		rival := &rivals[i]
		if rival.UID != t.UID && older(rival, t) && (winner == nil || older(rival, winner)) {
			winner = rival
		}
	}
	return winner
}

// older decides by creation, and by UID within one second.
func older(a, b *v1alpha1.Tenant) bool {
	if a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return a.UID < b.UID
	}
	return a.CreationTimestamp.Before(&b.CreationTimestamp)
}

// rivalsOf are the other Tenants that a change of t may free or block.
func rivalsOf(ctx context.Context, c client.Reader, t *v1alpha1.Tenant) ([]v1alpha1.Tenant, error) {
	rivals, err := claimants(ctx, c, indexTenantID, publicID(t))
	if err != nil {
		return nil, err
	}
	for _, host := range t.Spec.Exposure.Hosts {
		more, err := claimants(ctx, c, indexHost, host)
		if err != nil {
			return nil, err
		}
		rivals = append(rivals, more...)
	}
	return slices.DeleteFunc(rivals, func(r v1alpha1.Tenant) bool { return r.UID == t.UID }), nil
}

func publicID(t *v1alpha1.Tenant) string {
	if t.Spec.TenantID != "" {
		return t.Spec.TenantID
	}
	return t.Name
}
