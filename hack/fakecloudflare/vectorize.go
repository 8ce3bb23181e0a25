package fakecloudflare

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"time"

	"github.com/google/uuid"
)

type vectorIndex struct {
	Name        string
	Description string
	Dimensions  int
	Metric      string
	Modified    time.Time
	Metadata    []metadataIndex
	Vectors     map[string]*vector
	Pending     []mutation
	Done        string     // the last mutation that was applied
	DoneAt      *time.Time // and when
}

type metadataIndex struct {
	Property string `json:"propertyName"`
	Type     string `json:"indexType"`
}

// mutation is a change that was promised and isn't seen yet.
type mutation struct {
	ID      string
	Due     time.Time
	Upsert  []vector
	Insert  []vector
	Delete  []string
	Index   *metadataIndex
	Unindex string
}

const vectorizeBase = "/accounts/{account_id}/vectorize/v2/indexes"

var vectorizeOperations = func() []operation {
	const one = vectorizeBase + "/{index_name}"
	all := []operation{
		{method: "GET", path: vectorizeBase, id: "vectorize-list-vectorize-indexes", do: listIndexes},
		{method: "POST", path: vectorizeBase, id: "vectorize-create-vectorize-index", takesJSON: true, do: createIndex},
		{method: "GET", path: one, id: "vectorize-get-vectorize-index", do: indexed(getIndex)},
		{method: "DELETE", path: one, id: "vectorize-delete-vectorize-index", do: indexed(deleteIndex)},
		{method: "GET", path: one + "/info", id: "vectorize-index-info", do: indexed(indexInfo)},
		{method: "GET", path: one + "/list", id: "vectorize-list-vectors", do: indexed(listVectors)},
		{method: "POST", path: one + "/insert", id: "vectorize-insert-vector", do: indexed(insertVectors)},
		{method: "POST", path: one + "/upsert", id: "vectorize-upsert-vector", do: indexed(insertVectors)},
		{method: "POST", path: one + "/query", id: "vectorize-query-vector", groups: read("Vectorize"), takesJSON: true, do: indexed(queryIndex)},
		{method: "POST", path: one + "/get_by_ids", id: "vectorize-get-vectors-by-id", groups: read("Vectorize"), takesJSON: true, do: indexed(getVectors)},
		{method: "POST", path: one + "/delete_by_ids", id: "vectorize-delete-vectors-by-id", takesJSON: true, do: indexed(deleteVectors)},
		{method: "POST", path: one + "/metadata_index/create", id: "vectorize-create-metadata-index", takesJSON: true, do: indexed(createMetadataIndex)},
		{method: "POST", path: one + "/metadata_index/delete", id: "vectorize-delete-metadata-index", takesJSON: true, do: indexed(deleteMetadataIndex)},
		{method: "GET", path: one + "/metadata_index/list", id: "vectorize-list-metadata-indexes", do: indexed(listMetadataIndexes)},
	}
	for i := range all {
		o := &all[i]
		o.kind, o.malformed = "vectorize", refuses(codeMalformed)
		if o.groups == nil {
			if o.groups = write("Vectorize"); o.method == "GET" {
				o.groups = read("Vectorize")
			}
		}
	}
	return all
}()

// Codes of Vectorize. 3000, 3002, 3005 and 40006 are known from reports; the others are
// guesses, so that clients don't hang anything on them.
const (
	codeNotFound  = 3000
	codeDuplicate = 3002
	codeDeleted   = 3005
	codeQuota     = 3008
	codeMalformed = 1002
	codeDimension = 40012
	codeQuery     = 40006
)

var (
	indexName = regexp.MustCompile(`^([a-z]+[a-z0-9_-]*[a-z0-9]+)$`)
	presets   = map[string]int{
		"@cf/baai/bge-small-en-v1.5": 384, "@cf/baai/bge-base-en-v1.5": 768, "@cf/baai/bge-large-en-v1.5": 1024,
		"openai/text-embedding-ada-002": 1536, "cohere/embed-multilingual-v2.0": 768,
	}
)

// indexed finds the index of a call and applies what is due.
func indexed(do func(*call, *item[vectorIndex]) answer) func(*call) answer {
	return func(c *call) answer {
		i := c.acct.Vectorize.get(c.param(1))
		if i == nil {
			status := http.StatusBadRequest
			if c.s.opts.Unsure.VectorizeMissing404 {
				status = http.StatusNotFound
			}
			if c.acct.Bygone[c.param(1)] && !c.s.opts.Unsure.VectorizeForgets {
				return fail(status, codeDeleted, "vectorize.index.deleted")
			}
			return fail(status, codeNotFound, "vectorize.index.not_found")
		}
		i.Value.settle(c.now)
		return do(c, i)
	}
}

func (v *vectorIndex) shown(created time.Time) map[string]any {
	return map[string]any{"name": v.Name, "description": v.Description, "created_on": created, "modified_on": v.Modified,
		"config": map[string]any{"dimensions": v.Dimensions, "metric": v.Metric}}
}

func listIndexes(c *call) answer {
	shown := []map[string]any{}
	for _, i := range c.acct.Vectorize.listed(c.now, c.s.opts.Lag.List) {
		shown = append(shown, i.Value.shown(i.Created))
	}
	return ok(shown)
}

func createIndex(c *call) answer {
	var body struct {
		Name        string `json:"name"`
		Description string `json:"description"`
		Config      struct {
			Dimensions int    `json:"dimensions"`
			Metric     string `json:"metric"`
			Preset     string `json:"preset"`
		} `json:"config"`
	}
	if err := decode(c.body, &body); err != nil {
		return fail(http.StatusBadRequest, codeMalformed, "%s", err)
	}
	v := vectorIndex{Name: body.Name, Description: body.Description, Dimensions: body.Config.Dimensions, Metric: body.Config.Metric, Modified: c.now, Vectors: map[string]*vector{}}
	if body.Config.Preset != "" {
		v.Dimensions, v.Metric = presets[body.Config.Preset], "cosine"
	}
	switch {
	case !indexName.MatchString(v.Name) || len(v.Name) > 64:
		return fail(http.StatusBadRequest, codeMalformed, "the name must match %s and have 64 bytes", indexName)
	case v.Dimensions < 1 || v.Dimensions > 1536:
		return fail(http.StatusBadRequest, codeMalformed, "dimensions must be 1 to 1536")
	case !slices.Contains([]string{"cosine", "euclidean", "dot-product"}, v.Metric):
		return fail(http.StatusBadRequest, codeMalformed, "metric must be cosine, euclidean or dot-product")
	case c.acct.Vectorize.get(v.Name) != nil:
		return fail(http.StatusBadRequest, codeDuplicate, "vectorize.index.duplicate_name")
	case c.acct.Vectorize.count() >= c.acct.quotas.Vectorize:
		return fail(http.StatusForbidden, codeQuota, "vectorize.account.index_limit: %d indexes", c.acct.quotas.Vectorize)
	}
	i := c.acct.Vectorize.add(v.Name, v, c.now)
	delete(c.acct.Bygone, v.Name)
	c.did("create", v.Name, v.Name)
	return ok(i.Value.shown(i.Created))
}

func getIndex(_ *call, i *item[vectorIndex]) answer { return ok(i.Value.shown(i.Created)) }

func deleteIndex(c *call, i *item[vectorIndex]) answer {
	c.acct.Vectorize.remove(i.Key, c.now)
	c.acct.Bygone[i.Key] = true
	c.did("delete", i.Key, i.Key)
	return ok(nil)
}

func indexInfo(_ *call, i *item[vectorIndex]) answer {
	v := &i.Value
	info := map[string]any{"dimensions": v.Dimensions, "vectorCount": len(v.Vectors), "processedUpToDatetime": nil, "processedUpToMutation": v.Done}
	if v.DoneAt != nil {
		info["processedUpToDatetime"] = v.DoneAt.UTC().Format(time.RFC3339Nano)
	}
	return ok(info)
}

// promise queues a change and answers its id.
func (c *call) promise(i *item[vectorIndex], m mutation, effect string) answer {
	m.ID, m.Due = uuid.NewString(), c.now.Add(c.s.opts.Lag.Vectorize)
	i.Value.Pending = append(i.Value.Pending, m)
	i.Value.settle(c.now)
	c.did(effect, i.Key, i.Key)
	return ok(map[string]any{"mutationId": m.ID})
}

// settle applies what is due, in the order it was promised.
func (v *vectorIndex) settle(now time.Time) {
	for len(v.Pending) > 0 && !v.Pending[0].Due.After(now) {
		m := v.Pending[0]
		v.Pending = v.Pending[1:]
		v.apply(m)
		due := m.Due
		v.Done, v.DoneAt = m.ID, &due
	}
}

func (v *vectorIndex) apply(m mutation) {
	for n := range m.Upsert {
		v.store(&m.Upsert[n])
	}
	for n := range m.Insert {
		if v.Vectors[m.Insert[n].ID] == nil {
			v.store(&m.Insert[n])
		}
	}
	for _, id := range m.Delete {
		delete(v.Vectors, id)
	}
	if m.Index != nil {
		v.Metadata = append(v.Metadata, *m.Index)
	}
	if m.Unindex != "" {
		v.Metadata = slices.DeleteFunc(v.Metadata, func(x metadataIndex) bool { return x.Property == m.Unindex })
	}
}

// store keeps a vector with the metadata that is indexed now: an index that is made
// later knows nothing of it.
func (v *vectorIndex) store(x *vector) {
	x.Indexed = map[string]any{}
	for _, index := range v.Metadata {
		if value, there := at(x.Metadata, index.Property); there && index.fits(value) {
			x.Indexed[index.Property] = clipped(value)
		}
	}
	v.Vectors[x.ID] = x
}

func (x metadataIndex) fits(value any) bool {
	switch value.(type) {
	case string:
		return x.Type == "string"
	case float64:
		return x.Type == "number"
	case bool:
		return x.Type == "boolean"
	}
	return false
}

// clipped: of a text only the first 64 bytes are indexed.
func clipped(value any) any {
	if s, isText := value.(string); isText && len(s) > 64 {
		return s[:64]
	}
	return value
}

// planned are the metadata indexes once all that is promised is applied.
func (v *vectorIndex) planned() map[string]bool {
	have := map[string]bool{}
	for _, x := range v.Metadata {
		have[x.Property] = true
	}
	for _, m := range v.Pending {
		if m.Index != nil {
			have[m.Index.Property] = true
		}
		delete(have, m.Unindex)
	}
	return have
}

func createMetadataIndex(c *call, i *item[vectorIndex]) answer {
	var x metadataIndex
	if err := decode(c.body, &x); err != nil || propertyProblem(x.Property) != "" || !slices.Contains([]string{"string", "number", "boolean"}, x.Type) {
		return fail(http.StatusBadRequest, codeMalformed, "propertyName and indexType (string, number, boolean) are required")
	}
	have := i.Value.planned()
	switch {
	case have[x.Property]:
		return fail(http.StatusBadRequest, codeDuplicate, "vectorize.metadata_index.duplicate_name: %s", x.Property)
	case len(have) >= c.acct.quotas.MetadataIndexes:
		return fail(http.StatusBadRequest, codeQuota, "vectorize.metadata_index.limit: %d", c.acct.quotas.MetadataIndexes)
	}
	return c.promise(i, mutation{Index: &x}, "update")
}

func deleteMetadataIndex(c *call, i *item[vectorIndex]) answer {
	var x metadataIndex
	if err := decode(c.body, &x); err != nil || x.Property == "" {
		return fail(http.StatusBadRequest, codeMalformed, "propertyName is required")
	}
	if !i.Value.planned()[x.Property] {
		return fail(http.StatusBadRequest, codeNotFound, "vectorize.metadata_index.not_found: %s, of %d", x.Property, len(i.Value.Metadata))
	}
	return c.promise(i, mutation{Unindex: x.Property}, "update")
}

func listMetadataIndexes(_ *call, i *item[vectorIndex]) answer {
	shown := slices.Clone(i.Value.Metadata)
	if shown == nil {
		shown = []metadataIndex{}
	}
	return ok(map[string]any{"metadataIndexes": shown})
}

func (v *vectorIndex) ids() []string { return slices.Sorted(maps.Keys(v.Vectors)) }
