package apply

import (
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// owned is a set of fields as the API server records it for a manager: "f:" a field,
// "k:" an element of a list by its keys, "v:" an element by its value. A field without
// children is owned whole. It tells without a schema which lists are maps, which are
// sets and which are one value.
type owned map[string]owned

// ownedBy us, by server-side apply. False if the object has no record of it.
func ownedBy(entries []metav1.ManagedFieldsEntry) (owned, bool, error) {
	for _, e := range entries {
		if e.Manager != FieldOwner || e.Operation != metav1.ManagedFieldsOperationApply || e.Subresource != "" || e.FieldsV1 == nil {
			continue
		}
		var set owned
		if err := json.Unmarshal(e.FieldsV1.GetRawBytes(), &set); err != nil {
			return nil, false, fmt.Errorf("reading the managed fields: %w", err)
		}
		return set, true, nil
	}
	return nil, false, nil
}

// updatedBy tells whether fields are recorded as ours by an update, which no apply could
// remove: what Create leaves.
func updatedBy(entries []metav1.ManagedFieldsEntry) bool {
	for _, e := range entries {
		if e.Manager == FieldOwner && e.Operation == metav1.ManagedFieldsOperationUpdate && e.Subresource == "" {
			return true
		}
	}
	return false
}

// at follows a path of field names.
func (o owned) at(path ...string) (owned, bool) {
	for _, name := range path {
		next, ok := o["f:"+name]
		if !ok {
			return nil, false
		}
		o = next
	}
	return o, true
}

// whole tells that a field is owned as one value.
func (o owned) whole() bool {
	for key := range o {
		if key != "." {
			return false
		}
	}
	return true
}
