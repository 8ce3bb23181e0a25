package binding

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
)

func (p *pass) kind() cloudflare.Kind { return cloudflare.Kind(p.b.Spec.Type) }

// noun is the binding's kind of thing in a sentence.
func noun(b *v1alpha1.CloudflareBinding) string {
	return map[v1alpha1.BindingType]string{
		v1alpha1.BindingKV: "KV namespace", v1alpha1.BindingD1: "D1 database", v1alpha1.BindingR2: "R2 bucket",
		v1alpha1.BindingVectorize: "Vectorize index", v1alpha1.BindingAIGateway: "AI Gateway", v1alpha1.BindingAPIToken: "API token",
	}[b.Spec.Type]
}

func accountKey(b *v1alpha1.CloudflareBinding) client.ObjectKey {
	key := client.ObjectKey{Namespace: b.Spec.AccountRef.Namespace, Name: b.Spec.AccountRef.Name}
	if key.Namespace == "" {
		key.Namespace = b.Namespace
	}
	return key
}

// deletes tells whether deleting the binding deletes the thing.
func deletes(b *v1alpha1.CloudflareBinding) bool {
	if b.Spec.DeletionPolicy == "" {
		return b.Spec.Type == v1alpha1.BindingAPIToken
	}
	return b.Spec.DeletionPolicy == v1alpha1.DeletionDelete
}

// identity makes generated names tell whose a thing is.
func (p *pass) identity() cloudflare.Identity {
	tenant, role := p.b.Labels[resources.LabelTenant], strings.ToLower(string(p.b.Spec.Type))
	if rest, ok := strings.CutPrefix(p.b.Name, "tenant-"+tenant+"-"); tenant != "" && ok {
		role = rest
	}
	if tenant == "" {
		tenant = p.b.Name
	}
	return cloudflare.Identity{
		OwnerID: p.account.OwnerID, Environment: p.b.Labels[resources.LabelEnvironment],
		Namespace: p.b.Namespace, Tenant: tenant, Role: role, UID: string(p.b.UID),
	}
}

// want is what shall exist under the name, as far as the spec says it alone.
func (p *pass) want(ctx context.Context, name string) (cloudflare.Want, *verdict, error) {
	want := cloudflare.Want{Kind: p.kind(), Name: name, Settings: settings(p.b)}
	if p.b.Spec.Type != v1alpha1.BindingAPIToken {
		return want, nil, nil
	}
	policies, missing, err := p.policies(ctx)
	want.Settings.Policies = policies
	return want, missing, err
}

func settings(b *v1alpha1.CloudflareBinding) cloudflare.Settings {
	s := cloudflare.Settings{}
	switch spec := b.Spec; spec.Type {
	case v1alpha1.BindingD1:
		if d := spec.D1; d != nil {
			s.LocationHint, s.Jurisdiction, s.ReadReplication = d.LocationHint, d.Jurisdiction, d.ReadReplication
		}
	case v1alpha1.BindingR2:
		if r := spec.R2; r != nil {
			s.LocationHint, s.Jurisdiction, s.StorageClass = r.LocationHint, r.Jurisdiction, r.StorageClass
		} else if spec.ExistingID == "" {
			s.Jurisdiction = "default" // one of the name elsewhere is another bucket
		}
	case v1alpha1.BindingVectorize:
		if v := spec.Vectorize; v != nil {
			s.Dimensions, s.Metric, s.MetadataIndexes = int(v.Dimensions), v.Metric, metadataIndexes(v)
		}
	case v1alpha1.BindingAIGateway:
		s.Gateway = gateway(b)
	}
	return s
}

func metadataIndexes(v *v1alpha1.VectorizeSettings) map[string]string {
	out := map[string]string{}
	for _, index := range v.MetadataIndexes {
		out[index.Property] = index.Type
		if index.Type == "" {
			out[index.Property] = "string"
		}
	}
	return out
}

// gateway is nil for one that was adopted and that the spec says nothing of.
func gateway(b *v1alpha1.CloudflareBinding) *cloudflare.Gateway {
	spec := b.Spec.AIGateway
	if spec == nil {
		if b.Status.Adopted {
			return nil
		}
		return &cloudflare.Gateway{Authentication: true}
	}
	g := &cloudflare.Gateway{CollectLogs: spec.CollectLogs, Authentication: spec.Authentication == nil || *spec.Authentication}
	if spec.CacheTTL != nil {
		g.CacheTTLSeconds = int(spec.CacheTTL.Seconds())
	}
	if limit := spec.RateLimit; limit != nil {
		g.RateLimit, g.RateInterval, g.RateTechnique = int(limit.Requests), 60, limit.Technique
		if limit.Interval != nil {
			g.RateInterval = int(limit.Interval.Seconds())
		}
	}
	return g
}

// permissionBucket lets a token read and write the objects of one bucket.
const permissionBucket = "Workers R2 Storage Bucket Item Write"

// policies of a token. Its buckets are known once their bindings are.
func (p *pass) policies(ctx context.Context) ([]cloudflare.Policy, *verdict, error) {
	spec := p.b.Spec.APIToken
	if spec == nil {
		return nil, stall(v1alpha1.ReasonRefusedByAPI, "spec.apiToken is required with type APIToken: it names the permissions"), nil
	}
	if refused := p.notAllowed(spec.Permissions); len(refused) > 0 {
		return nil, stall(v1alpha1.ReasonPermissionNotAllowed, fmt.Sprintf(
			"spec.apiToken.permissions: %s is more than a Tenant's token may do, and reaches the whole of CloudflareAccount %s; leave it out, or have who owns the account make the token in namespace %q",
			quoted(refused), accountKey(p.b), p.account.Account.Namespace)), nil
	}
	var policies []cloudflare.Policy
	if len(spec.Permissions) > 0 { // else it is for buckets alone
		policies = append(policies, cloudflare.Policy{Permissions: slices.Sorted(slices.Values(spec.Permissions))})
	}
	for _, name := range slices.Sorted(slices.Values(spec.Buckets)) {
		bucket := &v1alpha1.CloudflareBinding{}
		err := p.Live.Get(ctx, client.ObjectKey{Namespace: p.b.Namespace, Name: name}, bucket)
		switch {
		case apierrors.IsNotFound(err):
			return nil, wait(v1alpha1.ReasonBindingNotFound, fmt.Sprintf("spec.apiToken.buckets: CloudflareBinding %q doesn't exist; create it", name), patience), nil
		case err != nil:
			return nil, nil, fmt.Errorf("reading the bucket's binding: %w", err)
		case bucket.Spec.Type != v1alpha1.BindingR2 || accountKey(bucket) != accountKey(p.b):
			return nil, stall(v1alpha1.ReasonBindingMismatch, fmt.Sprintf("spec.apiToken.buckets: CloudflareBinding %q isn't of type R2 in the same account; name one that is", name)), nil
		case bucket.Status.ID == "":
			return nil, wait(v1alpha1.ReasonBindingPending, fmt.Sprintf("spec.apiToken.buckets: CloudflareBinding %q has no bucket yet", name), patience), nil
		}
		jurisdiction := "default"
		if bucket.Spec.R2 != nil && bucket.Spec.R2.Jurisdiction != "" {
			jurisdiction = bucket.Spec.R2.Jurisdiction
		}
		policies = append(policies, cloudflare.Policy{Permissions: []string{permissionBucket}, Bucket: bucket.Status.ID, Jurisdiction: jurisdiction})
	}
	return policies, nil, nil
}

// notAllowed are the permissions that only who owns the account may give: who may write a
// binding in another namespace would be root of the account otherwise.
func (p *pass) notAllowed(permissions []string) []string {
	if p.b.Namespace == p.account.Account.Namespace {
		return nil
	}
	allowed := resources.TokenPermissions()
	return slices.DeleteFunc(slices.Sorted(slices.Values(permissions)), func(name string) bool { return slices.Contains(allowed, name) })
}

func quoted(names []string) string { return `"` + strings.Join(names, `", "`) + `"` }

// policyHash tells policies apart.
func policyHash(policies []cloudflare.Policy) string {
	b, err := json.Marshal(policies)
	if err != nil {
		return "" // strings always marshal
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// settled tells that the binding was Ready when it was looked at last, for the spec that
// it has.
func settled(b *v1alpha1.CloudflareBinding) bool {
	c := b.Marks().Get(v1alpha1.ConditionReady)
	return c != nil && c.Status == metav1.ConditionTrue && b.Status.ObservedGeneration == b.Generation && b.DeletionTimestamp.IsZero()
}

// namespaceLabels are read live; they say whether the account is for the namespace.
func (p *pass) namespaceLabels(ctx context.Context) (map[string]string, error) {
	ns := &metav1.PartialObjectMetadata{}
	ns.SetGroupVersionKind(namespaceKind)
	err := p.Live.Get(ctx, client.ObjectKey{Name: p.b.Namespace}, ns)
	if apierrors.IsForbidden(err) {
		return nil, nil // a namespaced install reads no namespace: nothing is selected
	}
	if err != nil {
		return nil, fmt.Errorf("reading the namespace's labels: %w", err)
	}
	return ns.Labels, nil
}
