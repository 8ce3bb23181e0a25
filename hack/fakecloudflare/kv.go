package fakecloudflare

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

type kvNamespace struct {
	ID    string
	Title string
	Pairs map[string]*kvPair
}

type kvPair struct {
	Value      []byte
	Metadata   any
	Expiration int64 // seconds since 1970, 0 is never
	Written    time.Time

	// Gone: there is none any more, or was none yet, but a reader remembers something.
	Gone bool `json:",omitempty"`
	// cached is what a reader's cache says until it is stale.
	cached *kvCached
}

type kvCached struct {
	until time.Time
	pair  *kvPair // nil: there was none
}

const kvBase = "/accounts/{account_id}/storage/kv/namespaces"

var kvOperations = func() []operation {
	all := []operation{
		{method: "GET", path: kvBase, id: "workers-kv-namespace-list-namespaces", do: listNamespaces},
		{method: "POST", path: kvBase, id: "workers-kv-namespace-create-a-namespace", takesJSON: true, do: createNamespace},
		{method: "GET", path: kvBase + "/{namespace_id}", id: "workers-kv-namespace-get-a-namespace", do: namespaced(getNamespace)},
		{method: "PUT", path: kvBase + "/{namespace_id}", id: "workers-kv-namespace-rename-a-namespace", takesJSON: true, do: namespaced(renameNamespace)},
		{method: "DELETE", path: kvBase + "/{namespace_id}", id: "workers-kv-namespace-remove-a-namespace", do: namespaced(deleteNamespace)},
		{method: "PUT", path: kvBase + "/{namespace_id}/bulk", id: "workers-kv-namespace-write-multiple-key-value-pairs", takesJSON: true, do: namespaced(writeBulk)},
		{method: "DELETE", path: kvBase + "/{namespace_id}/bulk", id: "workers-kv-namespace-delete-multiple-key-value-pairs-deprecated", takesJSON: true, do: namespaced(deleteBulk)},
		{method: "POST", path: kvBase + "/{namespace_id}/bulk/delete", id: "workers-kv-namespace-delete-multiple-key-value-pairs", takesJSON: true, do: namespaced(deleteBulk)},
		{method: "POST", path: kvBase + "/{namespace_id}/bulk/get", id: "workers-kv-namespace-get-multiple-key-value-pairs", takesJSON: true, groups: read("Workers KV Storage"), do: namespaced(readBulk)},
		{method: "GET", path: kvBase + "/{namespace_id}/keys", id: "workers-kv-namespace-list-a-namespace'-s-keys", do: namespaced(listKeys)},
		{method: "GET", path: kvBase + "/{namespace_id}/metadata/{key_name}", id: "workers-kv-namespace-read-the-metadata-for-a-key", do: namespaced(readMetadata)},
		{method: "GET", path: kvBase + "/{namespace_id}/values/{key_name}", id: "workers-kv-namespace-read-key-value-pair", do: namespaced(readValue)},
		{method: "PUT", path: kvBase + "/{namespace_id}/values/{key_name}", id: "workers-kv-namespace-write-key-value-pair-with-metadata", do: namespaced(writeValue)},
		{method: "DELETE", path: kvBase + "/{namespace_id}/values/{key_name}", id: "workers-kv-namespace-delete-key-value-pair", do: namespaced(deleteValue)},
	}
	for i := range all {
		o := &all[i]
		o.kind, o.malformed = "kv", kvMalformed
		if o.groups == nil {
			if o.groups = write("Workers KV Storage"); o.method == "GET" {
				o.groups = read("Workers KV Storage")
			}
		}
	}
	return all
}()

func kvMalformed(c *call, at []string, problem string) answer {
	body, _ := c.doc.(map[string]any)
	switch {
	case strings.HasSuffix(c.op.id, "a-namespace") && body != nil && body["title"] == nil:
		return fail(http.StatusBadRequest, 10019, "a title is required")
	case len(at) == 2 && strings.HasPrefix(at[1], "expiration"):
		return fail(http.StatusBadRequest, 10034, "expiration_ttl must be at least 60 seconds: %s", problem)
	case slices.Equal(at, []string{"query", "limit"}):
		return fail(http.StatusBadRequest, 10029, "you must request at least 10 keys, at most 1000: %s", problem)
	}
	return fail(http.StatusBadRequest, 10012, "could not parse the request: %s", problem)
}

func noNamespace() answer {
	return fail(http.StatusNotFound, 10013, "namespace not found")
}

// namespaced finds the namespace of a call.
func namespaced(do func(*call, *item[kvNamespace]) answer) func(*call) answer {
	return func(c *call) answer {
		i := c.acct.KV.get(c.param(1))
		if i == nil {
			return noNamespace()
		}
		return do(c, i)
	}
}

func (n *kvNamespace) shown() map[string]any {
	return map[string]any{"id": n.ID, "title": n.Title, "supports_url_encoding": true}
}

func listNamespaces(c *call) answer {
	shown := []map[string]any{}
	for _, i := range c.acct.KV.listed(c.now, c.s.opts.Lag.List) {
		shown = append(shown, i.Value.shown())
	}
	q := c.r.URL.Query()
	if by := q.Get("order"); by != "" {
		slices.SortStableFunc(shown, func(a, b map[string]any) int { return strings.Compare(a[by].(string), b[by].(string)) })
	}
	if q.Get("direction") == "desc" {
		slices.Reverse(shown)
	}
	return paged(c, shown, 20, 1000)
}

// title reads and judges the title in a body; but is the namespace that may have it.
func (c *call) title(but string) (string, answer, bool) {
	var body struct {
		Title string `json:"title"`
	}
	if err := decode(c.body, &body); err != nil {
		return "", fail(http.StatusBadRequest, 10012, "could not parse the request: %s", err), false
	}
	taken := func(n *kvNamespace) bool { return n.Title == body.Title && n.ID != but }
	switch {
	case strings.TrimSpace(body.Title) == "":
		return "", fail(http.StatusBadRequest, 10019, "a title is required"), false
	case len([]rune(body.Title)) > 512:
		return "", fail(http.StatusBadRequest, 10012, "a title may have 512 characters"), false
	case !c.s.opts.Unsure.KVTitlesRepeat && c.acct.KV.find(taken) != nil:
		return "", fail(http.StatusBadRequest, 10014, "a namespace with this account ID and title already exists"), false
	}
	return body.Title, answer{}, true
}

func createNamespace(c *call) answer {
	title, a, good := c.title("")
	if !good {
		return a
	}
	if c.acct.KV.count() >= c.acct.quotas.KV {
		return fail(http.StatusForbidden, 10026, "you have reached the limit of %d namespaces", c.acct.quotas.KV)
	}
	n := kvNamespace{ID: hexID(), Title: title, Pairs: map[string]*kvPair{}}
	c.acct.KV.add(n.ID, n, c.now)
	c.did("create", n.ID, n.Title)
	return ok(n.shown())
}

func getNamespace(_ *call, i *item[kvNamespace]) answer { return ok(i.Value.shown()) }

func renameNamespace(c *call, i *item[kvNamespace]) answer {
	title, a, good := c.title(i.Key)
	if !good {
		return a
	}
	i.Value.Title = title
	c.did("update", i.Key, title)
	return ok(i.Value.shown())
}

func deleteNamespace(c *call, i *item[kvNamespace]) answer {
	c.acct.KV.remove(i.Key, c.now)
	c.did("delete", i.Key, i.Value.Title)
	return ok(map[string]any{})
}
