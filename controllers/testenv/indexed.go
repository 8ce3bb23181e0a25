package testenv

import (
	"context"
	"slices"

	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/tenant"
)

// Indexed makes a client that reads live answer for the indexes of the cache.
func Indexed(c client.WithWatch) client.WithWatch {
	indexes := tenant.Indexes()
	return interceptor.NewClient(c, interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			tenants, ok := list.(*v1alpha1.TenantList)
			asked := (&client.ListOptions{}).ApplyOptions(opts)
			if !ok || asked.FieldSelector == nil {
				return c.List(ctx, list, opts...)
			}
			selector := asked.FieldSelector
			asked.FieldSelector = nil
			if err := c.List(ctx, tenants, asked); err != nil {
				return err
			}
			tenants.Items = slices.DeleteFunc(tenants.Items, func(t v1alpha1.Tenant) bool {
				return slices.ContainsFunc(selector.Requirements(), func(r fields.Requirement) bool {
					return !slices.Contains(indexes[r.Field](&t), r.Value)
				})
			})
			return nil
		},
	})
}
