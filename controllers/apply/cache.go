package apply

import (
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// KeepOwn is a cache's transform that drops the managed fields of everybody but
// FieldOwner: All needs ours, and the rest is half of an object's size.
func KeepOwn(obj any) (any, error) {
	// What has no metadata (a tombstone) is passed on.
	if o, err := meta.Accessor(obj); err == nil && len(o.GetManagedFields()) > 0 {
		kept := slices.DeleteFunc(slices.Clone(o.GetManagedFields()), func(e metav1.ManagedFieldsEntry) bool {
			return e.Manager != FieldOwner
		})
		o.SetManagedFields(kept)
	}
	return obj, nil
}
