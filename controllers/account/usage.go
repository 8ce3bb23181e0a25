package account

import (
	"context"
	"fmt"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
)

// Indexes in the cache, by the account as namespace/name.
const (
	// indexBindings finds CloudflareBindings by the account that their thing lies in.
	indexBindings = "account.bindings"
	// indexTenants finds the Tenants that call Workers AI through an account.
	indexTenants = "account.tenants"
)

// RegisterIndexes makes a cache answer for this package's questions.
func RegisterIndexes(ctx context.Context, indexer client.FieldIndexer) error {
	if err := indexer.IndexField(ctx, &v1alpha1.CloudflareBinding{}, indexBindings, byAccount); err != nil {
		return fmt.Errorf("indexing bindings by account: %w", err)
	}
	if err := indexer.IndexField(ctx, &v1alpha1.Tenant{}, indexTenants, byAccount); err != nil {
		return fmt.Errorf("indexing tenants by account: %w", err)
	}
	return nil
}

func byAccount(o client.Object) []string {
	if key, ok := accountOf(o); ok {
		return []string{key.String()}
	}
	return nil
}

// accountOf is the account that a CloudflareBinding lies in, or that a Tenant calls.
func accountOf(o client.Object) (client.ObjectKey, bool) {
	var ref *v1alpha1.AccountReference
	switch o := o.(type) {
	case *v1alpha1.CloudflareBinding:
		ref = &o.Spec.AccountRef
	case *v1alpha1.Tenant:
		if o.Spec.Upstream.Type == v1alpha1.UpstreamWorkersAI {
			ref = o.Spec.Upstream.AccountRef
		}
	}
	if ref == nil {
		return client.ObjectKey{}, false
	}
	key := client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}
	if key.Namespace == "" {
		key.Namespace = o.GetNamespace()
	}
	return key, true
}

// usage is what asks for something in an account.
type usage struct {
	// bindings of the account; they are the cache's own and must not be changed.
	bindings []v1alpha1.CloudflareBinding
	// tenants that call Workers AI through it, the cache's own too.
	tenants []v1alpha1.Tenant
}

// usageOf reads the cache without copying: an account may have thousands of bindings.
func usageOf(ctx context.Context, c client.Reader, key client.ObjectKey) (usage, error) {
	bindings, err := bindingsOf(ctx, c, key)
	if err != nil {
		return usage{}, err
	}
	var tenants v1alpha1.TenantList
	if err := c.List(ctx, &tenants, client.MatchingFields{indexTenants: key.String()}, client.UnsafeDisableDeepCopy); err != nil {
		return usage{}, fmt.Errorf("listing the account's tenants: %w", err)
	}
	return usage{bindings: bindings, tenants: tenants.Items}, nil
}

// bindingsOf reads the cache without copying.
func bindingsOf(ctx context.Context, c client.Reader, key client.ObjectKey) ([]v1alpha1.CloudflareBinding, error) {
	var list v1alpha1.CloudflareBindingList
	if err := c.List(ctx, &list, client.MatchingFields{indexBindings: key.String()}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing the account's bindings: %w", err)
	}
	return list.Items, nil
}

// kindsOf are the kinds of what the bindings are, in the order of cloudflare.Kinds.
func kindsOf(bindings []v1alpha1.CloudflareBinding) []cloudflare.Kind {
	used := map[cloudflare.Kind]bool{}
	for i := range bindings {
		used[cloudflare.Kind(bindings[i].Spec.Type)] = true
	}
	return slices.DeleteFunc(slices.Clone(cloudflare.Kinds), func(k cloudflare.Kind) bool { return !used[k] })
}

// identifiers are all ids and names by which a binding knows what is its own.
func identifiers(b *v1alpha1.CloudflareBinding) []string {
	out := []string{b.Status.ID, b.Status.Name, b.Spec.ExistingID, b.Spec.Name}
	if b.Status.Create != nil {
		out = append(out, b.Status.Create.Name)
	}
	if b.Status.Next != nil {
		out = append(out, b.Status.Next.ID)
	}
	for _, old := range b.Status.Old {
		out = append(out, old.ID)
	}
	return slices.DeleteFunc(out, func(s string) bool { return s == "" })
}

// awaited tells whether a binding waits for something that the account may give now.
func awaited(b *v1alpha1.CloudflareBinding) bool {
	ready := b.Marks().Get(v1alpha1.ConditionReady)
	return ready == nil || ready.Status != "True" || b.DeletionTimestamp != nil
}
