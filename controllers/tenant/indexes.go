package tenant

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant/resources"
)

// Indexes of Tenants in the cache.
const (
	indexTenantID = "claim.tenantID"
	indexHost     = "claim.host"
	indexClass    = "ref.class"
	indexAccount  = "ref.account"
	indexSecret   = "ref.secret"
	indexBinding  = "ref.binding"
)

// Indexes gives, by name, what Tenants are found by.
func Indexes() map[string]client.IndexerFunc {
	return map[string]client.IndexerFunc{
		indexTenantID: of(func(t *v1alpha1.Tenant) []string { return []string{publicID(t)} }),
		indexHost:     of(func(t *v1alpha1.Tenant) []string { return t.Spec.Exposure.Hosts }),
		indexClass:    of(func(t *v1alpha1.Tenant) []string { return []string{className(t)} }),
		indexAccount:  of(accountNames),
		indexSecret:   of(secretNames),
		indexBinding:  of(bindingNames),
	}
}

// RegisterIndexes makes a cache answer for Indexes.
func RegisterIndexes(ctx context.Context, indexer client.FieldIndexer) error {
	for name, values := range Indexes() {
		if err := indexer.IndexField(ctx, &v1alpha1.Tenant{}, name, values); err != nil {
			return fmt.Errorf("indexing tenants by %s: %w", name, err)
		}
	}
	return nil
}

func of(values func(*v1alpha1.Tenant) []string) client.IndexerFunc {
	return func(object client.Object) []string {
		t, ok := object.(*v1alpha1.Tenant)
		if !ok {
			return nil
		}
		return values(t)
	}
}

// className is empty for Tenants that take the default class.
func className(t *v1alpha1.Tenant) string {
	if t.Spec.ClassRef == nil {
		return ""
	}
	return t.Spec.ClassRef.Name
}

// accountNames are the CloudflareAccounts that a Tenant names, as namespace/name.
func accountNames(t *v1alpha1.Tenant) []string {
	if t.Spec.Upstream.AccountRef == nil {
		return nil
	}
	return []string{accountKey(t).String()}
}

// accountKey of a Tenant that names an account.
func accountKey(t *v1alpha1.Tenant) client.ObjectKey {
	return referenceOf(t.Namespace, *t.Spec.Upstream.AccountRef)
}

// referenceOf a CloudflareAccount by an object of a namespace.
func referenceOf(namespace string, ref v1alpha1.AccountReference) client.ObjectKey {
	key := client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}
	if key.Namespace == "" {
		key.Namespace = namespace
	}
	return key
}

// bindingNames are the CloudflareBindings of its namespace that a Tenant names.
func bindingNames(t *v1alpha1.Tenant) []string {
	var names []string
	for _, u := range resources.Uses(t, false) {
		if u.Ref != nil {
			names = append(names, u.Ref.Name)
		}
	}
	return names
}

// secretNames are the Secrets of its namespace that a Tenant names.
func secretNames(t *v1alpha1.Tenant) []string {
	var names []string
	if ref := t.Spec.Upstream.CredentialsSecretRef; ref != nil {
		names = append(names, ref.Name)
	}
	for _, key := range t.Spec.Auth.Keys {
		if key.SecretRef != nil {
			names = append(names, key.SecretRef.Name)
		}
	}
	if state := t.Spec.State; state != nil {
		for _, shared := range []*v1alpha1.SharedState{state.Valkey, state.Postgres} {
			if shared != nil && shared.SecretRef != nil {
				names = append(names, shared.SecretRef.Name)
			}
		}
	}
	for _, s := range resources.ToolSecrets(t) {
		names = append(names, s.Ref.Name)
	}
	return names
}
