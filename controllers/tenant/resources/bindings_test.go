package resources_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
)

// tokenOf the Tenant, nil if it has none.
func tokenOf(in resources.Inputs) *v1alpha1.APITokenSettings {
	for _, o := range resources.Bindings(in, resources.Uses(in.Tenant, true)) {
		if b := o.(*resources.Binding); b.Spec.Type == v1alpha1.BindingAPIToken {
			return b.Spec.APIToken
		}
	}
	return nil
}

// A token may do what the Tenant's drivers do, and nothing else: this table is what the
// threat model counts on.
func TestATokenMayDoWhatItsTenantUses(t *testing.T) {
	account := func(s *v1alpha1.TenantSpec) {
		s.Upstream = v1alpha1.Upstream{Type: v1alpha1.UpstreamEmbedded, AccountRef: &v1alpha1.AccountReference{Name: "main"}}
		s.Cloudflare = &v1alpha1.CloudflareUse{}
	}
	for name, c := range map[string]struct {
		edit func(*v1alpha1.TenantSpec)
		want *v1alpha1.APITokenSettings
	}{
		"an account that is only named": {account, nil},
		"models": {func(s *v1alpha1.TenantSpec) { s.Upstream.Type = v1alpha1.UpstreamWorkersAI },
			&v1alpha1.APITokenSettings{Permissions: []string{"AI Gateway Run", "Workers AI Read"}}},
		"vectors": {func(s *v1alpha1.TenantSpec) {
			s.Documents = &v1alpha1.Documents{Store: v1alpha1.DocumentsVectorize, Vectorize: &v1alpha1.VectorizeUse{BindingRef: &v1alpha1.BindingReference{Name: "b"}}}
		}, &v1alpha1.APITokenSettings{Permissions: []string{"Vectorize Read", "Vectorize Write"}}},
		"a ledger": {func(s *v1alpha1.TenantSpec) { s.Cloudflare.UsageLedger = &v1alpha1.BindingUse{} },
			&v1alpha1.APITokenSettings{Permissions: []string{"D1 Write"}}},
		"an export": {func(s *v1alpha1.TenantSpec) { s.Cloudflare.ConfigExport = &v1alpha1.BindingUse{} },
			&v1alpha1.APITokenSettings{Permissions: []string{"Workers KV Storage Write"}}},
		"a bucket of its own": {func(s *v1alpha1.TenantSpec) { s.Cloudflare.Originals = &v1alpha1.BindingUse{} },
			&v1alpha1.APITokenSettings{Buckets: []string{"tenant-acme-originals"}}},
		"a bucket that is there": {func(s *v1alpha1.TenantSpec) {
			s.Cloudflare.Originals = &v1alpha1.BindingUse{BindingRef: &v1alpha1.BindingReference{Name: "archive"}}
		}, &v1alpha1.APITokenSettings{Buckets: []string{"archive"}}},
	} {
		in := inputs(spec(account), spec(c.edit))
		if diff := cmp.Diff(c.want, tokenOf(in)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if resources.UsesAccount(in.Tenant) != (c.want != nil) {
			t.Errorf("%s: uses the account %t", name, c.want == nil)
		}
	}
	shared := inputs(everythingOfCloudflare)
	for _, u := range resources.Uses(shared.Tenant, false) {
		if u.Type == v1alpha1.BindingAPIToken {
			t.Error("a Tenant that is lent the account's token has one minted")
		}
	}
}

// Two Tenants of a namespace never have a binding of one name, nor one a Secret of the
// other's: a token's Secret has its binding's name.
func TestBindingsOfTwoTenantsHaveTwoNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		one := rapid.StringMatching(`[a-z]([a-z-]{0,12}[a-z])?`).Draw(t, "name")
		endings := []string{"", "-gateway", "-vectors", "-token", "-originals", "-usage-ledger", "-config-export", "-keys", "-config", "-ledger", "-export"}
		other := one + rapid.SampledFrom(endings).Draw(t, "ending")
		if one == other {
			return
		}
		names := func(tenant string) (out []string) {
			in := inputs(everythingOfCloudflare)
			for _, u := range resources.Uses(in.Tenant, true) {
				out = append(out, u.Name(tenant))
			}
			return append(out, resources.NamesOf(tenant).Keys, resources.NamesOf(tenant).Config)
		}
		for _, n := range names(one) {
			if slices.Contains(names(other), n) {
				t.Fatalf("Tenants %s and %s share %s", one, other, n)
			}
			if len(n) > 63 {
				t.Fatalf("%s is too long", n)
			}
		}
	})
}

// What a tenant keeps outlives it with Retain; its token and its gateway never do.
func TestRetainLeavesDataWithoutAnOwner(t *testing.T) {
	for policy, owned := range map[v1alpha1.DeletionPolicy]bool{v1alpha1.DeletionRetain: false, v1alpha1.DeletionDelete: true} {
		in := inputs(everythingOfCloudflare, spec(func(s *v1alpha1.TenantSpec) { s.DeletionPolicy = policy }))
		for _, o := range resources.Bindings(in, resources.Uses(in.Tenant, true)) {
			b := o.(*resources.Binding)
			want, wantPolicy := owned, policy
			if b.Spec.Type == v1alpha1.BindingAPIToken || b.Spec.Type == v1alpha1.BindingAIGateway {
				want, wantPolicy = true, v1alpha1.DeletionDelete
			}
			if got := len(b.OwnerReferences) == 1; got != want || b.Spec.DeletionPolicy != wantPolicy {
				t.Errorf("%s with %s: owned %t, policy %s", *b.GetName(), policy, got, b.Spec.DeletionPolicy)
			}
			if _, marked := b.Labels[resources.StorageIdentity]; marked != (b.Spec.Type != v1alpha1.BindingAPIToken && b.Spec.Type != v1alpha1.BindingAIGateway) {
				t.Errorf("%s: a storage identity %t", *b.GetName(), marked)
			}
		}
	}
}

// A rotated token is taken up live; another thing to use it for isn't.
func TestANewTokenRollsNoPods(t *testing.T) {
	have, err := resources.Config(inputs(everythingOfCloudflare))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		edit option
		roll bool
	}{
		"a new token": {func(in *resources.Inputs) {
			in.UpstreamToken, in.CloudflareToken, in.TokenID = "c4nary-new", "c4nary-new", "8a4b"
		}, false},
		"another gateway": {func(in *resources.Inputs) { in.Account.GatewayID = "other" }, false},
		"the switch": {func(in *resources.Inputs) {
			status := &in.Bindings[v1alpha1.RoleVectors].Status
			status.ID, status.Dimensions, status.Next = status.Next.ID, status.Next.Dimensions, nil
		}, true},
		"no next index":  {func(in *resources.Inputs) { in.Bindings[v1alpha1.RoleVectors].Status.Next = nil }, true},
		"another bucket": {func(in *resources.Inputs) { in.Bindings[v1alpha1.RoleOriginals].Status.ID = "other" }, true},
	} {
		want, err := resources.Config(inputs(everythingOfCloudflare, c.edit))
		if err != nil {
			t.Fatal(err)
		}
		if tenantconfig.DigestOf(have) == tenantconfig.DigestOf(want) {
			t.Errorf("%s: the pods don't hear of it", name)
		}
		if got := tenantconfig.NeedsRestart(have, want); got != c.roll {
			t.Errorf("%s: rolls the pods %t", name, got)
		}
	}
}

// An index whose successor isn't ready yet has none: vectors would be written into what
// doesn't filter.
func TestANextIndexIsWrittenToOnceItIsReady(t *testing.T) {
	c, err := resources.Config(inputs(everythingOfCloudflare, func(in *resources.Inputs) { in.Bindings[v1alpha1.RoleVectors].Status.Next.Ready = false }))
	if err != nil {
		t.Fatal(err)
	}
	if v := c.Documents.Vectorize; v.Next != "" || v.NextDimensions != 0 || v.Dimensions != 768 {
		t.Errorf("%+v", v)
	}
}

// Tenants that share an index get namespaces that differ and tell nothing of the tenant.
func TestTenantsOfASharedIndexAreApart(t *testing.T) {
	seen := map[string]string{}
	for _, edit := range []option{
		func(*resources.Inputs) {},
		func(in *resources.Inputs) { in.Tenant.Name = "other" },
		func(in *resources.Inputs) { in.Tenant.Namespace = "other" },
		func(in *resources.Inputs) { in.Tenant.Spec.Environment = "staging" },
		func(in *resources.Inputs) { in.Operator.OwnerID = "other" },
	} {
		in := inputs(sharedIndex, edit)
		c, err := resources.Config(in)
		if err != nil {
			t.Fatal(err)
		}
		who := fmt.Sprint(in.Operator.OwnerID, in.Tenant.Namespace, in.Effective.Environment, in.Tenant.Name)
		ns := c.Documents.Vectorize.Namespace
		if other, taken := seen[ns]; taken || len(ns) != 32 || strings.Contains(ns, "acme") {
			t.Errorf("%s has the namespace %q of %q", who, ns, other)
		}
		seen[ns] = who
	}
}

// What serves is known by its id alone, and nothing is served before there is a document.
func TestServes(t *testing.T) {
	in := inputs(everythingOfCloudflare)
	c, err := resources.Config(in)
	if err != nil {
		t.Fatal(err)
	}
	for role, b := range in.Bindings {
		if !resources.Serves(c, role, b.Status.ID) || resources.Serves(c, role, "another") || resources.Serves(nil, role, b.Status.ID) || resources.Serves(c, role, "") {
			t.Errorf("%s isn't told apart", role)
		}
	}
}
