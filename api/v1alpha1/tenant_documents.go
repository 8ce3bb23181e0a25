package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DocumentStore is where documents are kept.
//
// +kubebuilder:validation:Enum=state;vectorize
type DocumentStore string

// Where documents are kept.
const (
	DocumentsState     DocumentStore = "state"
	DocumentsVectorize DocumentStore = "vectorize"
)

// Documents opens /ingest, /documents and /search, and says where documents are kept and
// how they are searched.
//
// +kubebuilder:validation:XValidation:rule="has(self.vectorize) == (self.store == 'vectorize')",message="spec.documents.vectorize goes with spec.documents.store: vectorize"
type Documents struct {
	// store is state (with the tenant's sessions, searched in the pod's memory: plan for
	// 600 MiB of memory and 500 MiB of disk with 100,000 passages and vectors of 768
	// dimensions) or vectorize (vectors in Cloudflare, texts with the sessions: about 4
	// queries a second and API token, and what is written is found after 30 seconds to 2
	// minutes).
	Store DocumentStore `json:"store"`
	// vectorize says which index, with store: vectorize.
	// +optional
	Vectorize *VectorizeUse `json:"vectorize,omitempty"`
	// embedding says which model makes vectors of passages and queries. Default:
	// "builtin/lsa", learnt from the tenant's own documents, with store: state; the model
	// of Workers AI with as many dimensions as the index has, with store: vectorize. A
	// change replaces the pods.
	// +optional
	Embedding *Embedding `json:"embedding,omitempty"`
	// chunking says how documents are cut into passages. A change counts for what is
	// ingested after it.
	// +optional
	Chunking *Chunking `json:"chunking,omitempty"`
	// fetchHosts are the hosts that POST /ingest may fetch a url from: a name in lower
	// case, or "*." and a domain for all below it. Addresses of private networks are
	// refused in any case. Default: none, so that no url is fetched. At most 64.
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^([*][.])?[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?([.][a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$')",message="spec.documents.fetchHosts must be names of hosts such as docs.example.com or *.example.com, in lower case"
	// +listType=set
	// +optional
	FetchHosts []string `json:"fetchHosts,omitempty"`
	// linkHosts are the hosts that an answer made from documents may link to, beside the
	// addresses of the documents themselves; every other link is taken out. Written like
	// fetchHosts. Default: none. At most 64.
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^([*][.])?[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?([.][a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$')",message="spec.documents.linkHosts must be names of hosts such as help.example.com or *.example.com, in lower case"
	// +listType=set
	// +optional
	LinkHosts []string `json:"linkHosts,omitempty"`
	// rerankModel of Workers AI orders what was found once more, for example
	// "@cf/baai/bge-reranker-base". Default: none.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="self.matches('^[!-~]+$')",message="spec.documents.rerankModel must be a model's name without spaces, in ASCII"
	// +optional
	RerankModel string `json:"rerankModel,omitempty"`
	// minScore leaves out passages of a lower score, from 0 to 1; 0 leaves none out.
	// Default: all, if none has a score of 0.25 or a cosine of 0.35.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1
	// +optional
	MinScore *float64 `json:"minScore,omitempty"`
	// vectorWeight is the weight of the vectors' score beside that of the words', from 0
	// to 10. Default: 0.35.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10
	// +optional
	VectorWeight *float64 `json:"vectorWeight,omitempty"`
	// cache keeps answers to searches.
	// +optional
	Cache *SearchCache `json:"cache,omitempty"`
	// maxPassages is how many passages the tenant may keep, at most 2000000. Default:
	// 200000.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=2000000
	// +optional
	MaxPassages int32 `json:"maxPassages,omitempty"`
	// uploadLimit is the largest document that is taken, from 1Ki to 64Mi. Default: 25Mi.
	// +kubebuilder:validation:XValidation:rule="isQuantity(string(self)) && quantity(string(self)).compareTo(quantity('1Ki')) >= 0 && quantity(string(self)).compareTo(quantity('64Mi')) <= 0",message="spec.documents.uploadLimit must be from 1Ki to 64Mi"
	// +optional
	UploadLimit *resource.Quantity `json:"uploadLimit,omitempty"`
}

// Embedding makes vectors.
type Embedding struct {
	// model at the tenant's upstream, or "builtin/lsa".
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="self.matches('^[!-~]+$')",message="spec.documents.embedding.model must be a model's name without spaces, in ASCII"
	Model string `json:"model"`
	// dimensions that each vector must have, at most 4096. Default: those of the model's
	// first answer.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4096
	// +optional
	Dimensions int32 `json:"dimensions,omitempty"`
}

// Chunking cuts documents into passages.
//
// +kubebuilder:validation:XValidation:rule="!has(self.overlap) || self.overlap * 2 < (has(self.maxChars) ? self.maxChars : 1200)",message="spec.documents.chunking.overlap must be less than half of maxChars (default 1200)"
type Chunking struct {
	// maxChars is how long a passage is at most, in characters, from 100 to 10000.
	// Default: 1200.
	// +kubebuilder:validation:Minimum=100
	// +kubebuilder:validation:Maximum=10000
	// +optional
	MaxChars int32 `json:"maxChars,omitempty"`
	// overlap is how many characters of a passage begin the next. Default: an eighth of
	// maxChars.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=5000
	// +optional
	Overlap *int32 `json:"overlap,omitempty"`
}

// SearchCache keeps answers to searches. What is ingested or deleted empties it at once.
type SearchCache struct {
	// ttl is how long an answer is kept, from 1s to 168h; 0s keeps none. Default: 1h.
	// +kubebuilder:validation:XValidation:rule="duration(self) == duration('0s') || duration(self) >= duration('1s') && duration(self) <= duration('168h')",message="spec.documents.cache.ttl must be 0s, or from 1s to 168h"
	// +optional
	TTL *metav1.Duration `json:"ttl,omitempty"`
	// similarity answers from the cache if a query is as similar to one that was answered,
	// as the cosine of their vectors, from 0.5 to 1. It needs an embedding model of the
	// upstream. Default: off.
	// +kubebuilder:validation:Minimum=0.5
	// +kubebuilder:validation:Maximum=1
	// +optional
	Similarity *float64 `json:"similarity,omitempty"`
}
