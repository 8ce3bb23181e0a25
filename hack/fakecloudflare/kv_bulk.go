package fakecloudflare

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

func listKeys(c *call, i *item[kvNamespace]) answer {
	q := c.r.URL.Query()
	limit := 1000
	if text := q.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 10 || n > 1000 {
			return fail(http.StatusBadRequest, 10029, "you must request at least 10 keys, at most 1000")
		}
		limit = n
	}
	after, err := base64.RawURLEncoding.DecodeString(q.Get("cursor"))
	if err != nil {
		return fail(http.StatusBadRequest, 10012, "the cursor isn't one of ours")
	}
	shown := []map[string]any{}
	cursor := ""
	for _, key := range slices.Sorted(maps.Keys(i.Value.Pairs)) {
		p := i.Value.Pairs[key]
		if p.Gone || alive(p, c.now) == nil || !strings.HasPrefix(key, q.Get("prefix")) || key <= string(after) && len(after) > 0 {
			continue
		}
		if len(shown) == limit {
			cursor = base64.RawURLEncoding.EncodeToString([]byte(shown[limit-1]["name"].(string)))
			break
		}
		line := map[string]any{"name": key}
		if p.Metadata != nil {
			line["metadata"] = p.Metadata
		}
		if p.Expiration != 0 {
			line["expiration"] = p.Expiration
		}
		shown = append(shown, line)
	}
	return page(shown, map[string]any{"count": len(shown), "cursor": cursor})
}

func writeBulk(c *call, i *item[kvNamespace]) answer {
	var pairs []struct {
		Key           string      `json:"key"`
		Value         string      `json:"value"`
		Base64        bool        `json:"base64"`
		Expiration    json.Number `json:"expiration"`
		ExpirationTTL json.Number `json:"expiration_ttl"`
		Metadata      any         `json:"metadata"`
	}
	if err := decode(c.body, &pairs); err != nil || len(pairs) > 10_000 || len(c.body) > 100<<20 {
		return fail(http.StatusBadRequest, 10012, "the body must be at most 10,000 pairs and 100 MB")
	}
	ready := make([]kvPair, len(pairs))
	for n, p := range pairs {
		if problem := keyProblem(p.Key); problem != "" {
			return fail(http.StatusBadRequest, 10012, "pair %d: %s", n, problem)
		}
		value := []byte(p.Value)
		if p.Base64 {
			var err error
			if value, err = base64.StdEncoding.DecodeString(p.Value); err != nil {
				return fail(http.StatusBadRequest, 10012, "pair %d: the value isn't base64", n)
			}
		}
		ends, a, good := expiration(p.Expiration.String(), p.ExpirationTTL.String(), c.now)
		if !good {
			return a
		}
		ready[n] = kvPair{Value: value, Metadata: p.Metadata, Expiration: ends}
	}
	failed := []string{}
	for n, p := range ready {
		if !i.Value.put(pairs[n].Key, p, c.now) {
			failed = append(failed, pairs[n].Key)
		}
	}
	c.did("write", i.Key, i.Value.Title)
	return ok(map[string]any{"successful_key_count": len(pairs) - len(failed), "unsuccessful_keys": failed})
}

func deleteBulk(c *call, i *item[kvNamespace]) answer {
	var keys []string
	if err := decode(c.body, &keys); err != nil || len(keys) > 10_000 {
		return fail(http.StatusBadRequest, 10012, "the body must be at most 10,000 keys")
	}
	for _, k := range keys {
		i.Value.drop(k)
	}
	c.did("write", i.Key, i.Value.Title)
	return ok(map[string]any{"successful_key_count": len(keys), "unsuccessful_keys": []string{}})
}

func readBulk(c *call, i *item[kvNamespace]) answer {
	var body struct {
		Keys         []string `json:"keys"`
		Type         string   `json:"type"`
		WithMetadata bool     `json:"withMetadata"`
	}
	if err := decode(c.body, &body); err != nil || len(body.Keys) == 0 || len(body.Keys) > 100 {
		return fail(http.StatusBadRequest, 10012, "the body must have 1 to 100 keys")
	}
	values := map[string]any{}
	for _, k := range body.Keys {
		p := i.Value.read(k, c.now, c.s.opts.Lag.KV)
		if p == nil {
			values[k] = nil
			continue
		}
		var v any = string(p.Value)
		if body.Type == "json" && json.Unmarshal(p.Value, &v) != nil {
			return fail(http.StatusBadRequest, 10012, "the value of %s isn't JSON", url.QueryEscape(k))
		}
		if body.WithMetadata {
			v = map[string]any{"value": v, "metadata": p.Metadata}
		}
		values[k] = v
	}
	return ok(map[string]any{"values": values})
}
