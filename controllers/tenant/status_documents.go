package tenant

import (
	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
)

// relateDocuments writes what pods tell of documents. The condition is of the first pod
// that can't find them all: each has an index of its own.
func relateDocuments(t *v1alpha1.Tenant, answers []told, newest *told) {
	if t.Spec.Documents == nil {
		clearDocuments(t, "")
		return
	}
	index := newest.status.Index
	if index == (tenantconfig.IndexStatus{}) {
		t.MarkUnknown(v1alpha1.ConditionDocumentsReady, v1alpha1.ReasonNotTold, "the pods tell nothing of documents; if this stays, their image is older than the operator")
		return
	}
	t.Status.Documents = &v1alpha1.DocumentsStatus{
		Documents: index.Documents, Passages: index.Passages, OpenJobs: int64(index.OpenJobs), Model: steady(index.Model),
	}
	reason, message := v1alpha1.ReasonDocumentsFound, "all documents can be found"
	for _, a := range answers {
		if a.err != nil || reason == v1alpha1.ReasonDocumentsFailing {
			continue
		}
		switch s := a.status; {
		case s.Documents.Driver != "" && !s.Documents.OK:
			reason, message = v1alpha1.ReasonDocumentsFailing, "the pods can't use the index of their documents: "+steady(s.Documents.Reason)
		case !s.Store.OK:
			reason, message = v1alpha1.ReasonDocumentsFailing, "the pods can't read their documents, see StateStoreReachable"
		case !s.Index.Ready:
			reason, message = v1alpha1.ReasonIndexLoading, "the pods are loading their documents, and don't find all of them yet"
		}
	}
	if reason == v1alpha1.ReasonDocumentsFound {
		t.MarkTrue(v1alpha1.ConditionDocumentsReady, reason, message)
		return
	}
	t.MarkFalse(v1alpha1.ConditionDocumentsReady, reason, message)
}

// clearDocuments says that what only pods can tell isn't known. How much there was stays.
func clearDocuments(t *v1alpha1.Tenant, why string) {
	if t.Spec.Documents == nil {
		t.Status.Documents = nil
		t.Unmark(v1alpha1.ConditionDocumentsReady)
		return
	}
	t.MarkUnknown(v1alpha1.ConditionDocumentsReady, v1alpha1.ReasonNotTold, why)
}
