package tenantconfig

import (
	"reflect"
	"regexp"
	"strings"
)

// Bounds of Documents where a field is 0.
const (
	// DefaultChunkChars is Chunking.MaxChars.
	DefaultChunkChars = 1200
	// DefaultCacheSeconds is Documents.CacheSeconds.
	DefaultCacheSeconds = 3600
	// DefaultMaxPassages is Documents.MaxPassages.
	DefaultMaxPassages = 200_000
	// DefaultUploadBytes is Documents.UploadBytes, MaxUploadBytes the most it can be.
	DefaultUploadBytes = 25 << 20
	MaxUploadBytes     = 64 << 20
)

// workersAIEmbeddings are the models of Workers AI that are used where none is named, by
// their dimensions.
var workersAIEmbeddings = map[int]string{384: "@cf/baai/bge-small-en-v1.5", 768: "@cf/baai/bge-base-en-v1.5", 1024: "@cf/baai/bge-m3"}

// EmbeddingModel is what makes the vectors of the tenant's documents: the model that is
// named, or EmbeddingLSA, or where a Vectorize index asks for a size the one of Workers AI
// that has it. Empty without documents, and where there is none.
func (c *Config) EmbeddingModel() string {
	d := c.Documents
	switch {
	case d.Store == "":
		return ""
	case d.Embedding.Model != "":
		return d.Embedding.Model
	case d.Store == DocumentsVectorize && c.Upstream.Type == UpstreamWorkersAI:
		return workersAIEmbeddings[d.Vectorize.Dimensions]
	case d.Store == DocumentsVectorize:
		return ""
	}
	return EmbeddingLSA
}

var indexName = regexp.MustCompile(`^[a-z]([a-z0-9_-]*[a-z0-9])?$`)

func validateDocuments(r *report, c *Config) {
	d, upstream := c.Documents, c.Upstream.Type
	if d.Store == "" {
		r.require(reflect.ValueOf(d).IsZero(), "documents", "goes with a store: %s or %s", DocumentsState, DocumentsVectorize)
		return
	}
	r.oneOf(d.Store, "documents.store", DocumentsState, DocumentsVectorize)
	switch d.Store {
	case DocumentsVectorize:
		validateVectorize(r, d, c.Cloudflare)
	case DocumentsState:
		r.require(reflect.ValueOf(d.Vectorize).IsZero(), "documents.vectorize", "goes with store %s", DocumentsVectorize)
	}
	model := c.EmbeddingModel()
	local := model == EmbeddingLSA
	r.require(!local || d.Store != DocumentsVectorize, "documents.embedding.model", "must be a model of the upstream with as many dimensions as the index has")
	r.require(model == "" || local || upstream != UpstreamEmbedded, "documents.embedding.model", "needs an upstream that has it: %s is the only one built in", EmbeddingLSA)
	r.require(len(d.Embedding.Model) <= 256, "documents.embedding.model", "must have at most 256 bytes")
	r.within(d.Embedding.Dimensions, 0, 4096, "documents.embedding.dimensions")
	r.require(!local || d.Embedding.Dimensions == 0, "documents.embedding.dimensions", "must be empty: %s has its own", EmbeddingLSA)
	chars := d.Chunking.MaxChars
	if chars == 0 {
		chars = DefaultChunkChars
	}
	r.within(chars, 100, 10_000, "documents.chunking.maxChars")
	if d.Chunking.Overlap != nil {
		r.within(*d.Chunking.Overlap, 0, (chars-1)/2, "documents.chunking.overlap")
	}
	validateOutboundHosts(r, d.FetchHosts, "documents.fetchHosts")
	validateOutboundHosts(r, d.LinkHosts, "documents.linkHosts")
	r.require(d.RerankModel == "" || upstream == UpstreamWorkersAI, "documents.rerankModel", "needs upstream %s", UpstreamWorkersAI)
	if d.MinScoreMilli != nil {
		r.within(*d.MinScoreMilli, 0, 1000, "documents.minScoreMilli")
	}
	if d.VectorWeightMilli != nil {
		r.within(*d.VectorWeightMilli, 0, 10_000, "documents.vectorWeightMilli")
	}
	r.within(d.CacheSeconds, -1, 7*24*3600, "documents.cacheSeconds")
	r.within(d.SemanticCacheMilli, 0, 1000, "documents.semanticCacheMilli")
	r.within(d.MaxPassages, 0, 2_000_000, "documents.maxPassages")
	r.require(d.UploadBytes >= 0 && d.UploadBytes <= MaxUploadBytes, "documents.uploadBytes", "must be at most %d", MaxUploadBytes)
}

func validateVectorize(r *report, d Documents, c Cloudflare) {
	r.require(c.AccountID != "", "cloudflare.accountID", "is needed: the documents are kept in Cloudflare")
	v := d.Vectorize
	r.require(len(v.Index) <= 64 && indexName.MatchString(v.Index), "documents.vectorize.index", "must be an index's name")
	r.within(v.Dimensions, 1, 1536, "documents.vectorize.dimensions")
	r.oneOf(v.Metric, "documents.vectorize.metric", "cosine", "euclidean", "dot-product")
	if v.Next != "" {
		r.require(len(v.Next) <= 64 && indexName.MatchString(v.Next) && v.Next != v.Index, "documents.vectorize.next", "must be another index's name")
		r.within(v.NextDimensions, 1, 1536, "documents.vectorize.nextDimensions")
	}
	r.require(len(v.Namespace) <= 64, "documents.vectorize.namespace", "must have at most 64 bytes")
	r.require(len(v.Filterable) <= 10, "documents.vectorize.filterable", "must have at most 10 properties")
	r.unique(v.Filterable, "documents.vectorize.filterable")
}

// validateOutboundHosts takes names and "*." with a domain; addresses are names too.
func validateOutboundHosts(r *report, hosts []string, path string) {
	r.require(len(hosts) <= 64, path, "must have at most 64 hosts")
	for i, h := range hosts {
		name := strings.TrimPrefix(h, "*.")
		r.require(isHost(name), at(path, i), "must be a host's name in lower case, or *. and a domain")
	}
	r.unique(hosts, path)
}
