package tenantconfig

// Document stores.
const (
	// DocumentsState keeps documents with the rest of the tenant's state; they are
	// searched in the pod's memory.
	DocumentsState = "state"
	// DocumentsVectorize keeps vectors in a Cloudflare Vectorize index, and the texts with
	// the rest of the tenant's state.
	DocumentsVectorize = "vectorize"
)

// EmbeddingLSA is the embedding model that is learnt from the tenant's own documents.
const EmbeddingLSA = "builtin/lsa"

// Documents says where the tenant's documents are kept and how they are searched.
type Documents struct {
	// Store is DocumentsState or DocumentsVectorize, or empty without documents.
	Store string `json:"store,omitempty"`
	// Vectorize is the index, with DocumentsVectorize.
	Vectorize Vectorize `json:"vectorize,omitzero"`
	// Embedding makes vectors of passages and queries.
	Embedding Embedding `json:"embedding,omitzero"`
	// Chunking cuts documents into passages.
	Chunking Chunking `json:"chunking,omitzero"`
	// FetchHosts are the hosts that documents may be fetched from: a name, or "*." and a
	// domain for all below it. Empty allows none.
	FetchHosts []string `json:"fetchHosts,omitempty"`
	// LinkHosts are the hosts that an answer made from documents may link to, beside the
	// addresses of the documents themselves. Written like FetchHosts.
	LinkHosts []string `json:"linkHosts,omitempty"`
	// RerankModel orders what was found once more; empty for none.
	RerankModel string `json:"rerankModel,omitempty"`
	// MinScoreMilli is the score, in thousandths, below which a passage isn't given, 0 to
	// 1000. Nil is the default of the search.
	MinScoreMilli *int `json:"minScoreMilli,omitempty"`
	// VectorWeightMilli is the weight of the vectors' score beside that of the words', in
	// thousandths, 0 to 10000. Nil is the default of the search.
	VectorWeightMilli *int `json:"vectorWeightMilli,omitempty"`
	// CacheSeconds is how long an answer to a search is kept; 0 is an hour, -1 never.
	CacheSeconds int `json:"cacheSeconds,omitempty"`
	// SemanticCacheMilli answers a query from the cache if it is as similar, in
	// thousandths of a cosine, to one that was answered; 0 is off.
	SemanticCacheMilli int `json:"semanticCacheMilli,omitempty"`
	// MaxPassages is how many passages the tenant may keep; 0 is 200,000.
	MaxPassages int `json:"maxPassages,omitempty"`
	// UploadBytes is the largest document that is taken; 0 is 25 MiB.
	UploadBytes int64 `json:"uploadBytes,omitempty"`
}

// Embedding makes vectors.
type Embedding struct {
	// Model at the upstream, or EmbeddingLSA. Empty is EmbeddingLSA.
	Model string `json:"model,omitempty"`
	// Dimensions of its vectors; 0 takes those of the first answer. Of EmbeddingLSA always
	// 0.
	Dimensions int `json:"dimensions,omitempty"`
}

// Chunking cuts documents into passages.
type Chunking struct {
	// MaxChars is how long a passage is in characters, 100 to 10000; 0 is 1200.
	MaxChars int `json:"maxChars,omitempty"`
	// Overlap is how many characters of a passage begin the next, less than half of
	// MaxChars. Nil is an eighth of MaxChars.
	Overlap *int `json:"overlap,omitempty"`
}

// Vectorize is one index, or a namespace of one.
type Vectorize struct {
	// Index is the index's name.
	Index string `json:"index,omitempty"`
	// Next is the index that will replace Index: what is ingested goes into both.
	Next string `json:"next,omitempty"`
	// Namespace keeps the tenant apart in an index that it shares. Empty in an index of
	// its own.
	Namespace string `json:"namespace,omitempty"`
	// Dimensions of a vector, 1 to 1536.
	Dimensions int `json:"dimensions,omitempty"`
	// NextDimensions are those of Next.
	NextDimensions int `json:"nextDimensions,omitempty"`
	// Metric is cosine, euclidean or dot-product.
	Metric string `json:"metric,omitempty"`
	// Filterable are the metadata properties that have an index.
	Filterable []string `json:"filterable,omitempty"`
}
