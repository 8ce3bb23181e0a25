package fakecloudflare

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	maxValue    = 25 << 20
	maxMetadata = 1024
)

func keyProblem(key string) string {
	switch {
	case key == "" || key == "." || key == "..":
		return "the key must not be empty, . or .."
	case len(key) > 512:
		return "UTF-8 encoded length of key exceeds 512 bytes"
	}
	return ""
}

// read gives the pair as a reader at one place sees it: what it saw once it goes on
// seeing while its cache lasts, also that there was nothing.
func (n *kvNamespace) read(key string, now time.Time, lag time.Duration) *kvPair {
	p := n.Pairs[key]
	if lag > 0 && p != nil && p.cached != nil && now.Before(p.cached.until) {
		return alive(p.cached.pair, now)
	}
	var seen *kvPair
	if p != nil && !p.Gone {
		seen = alive(p, now)
	}
	if lag > 0 {
		if p == nil {
			p = &kvPair{Gone: true}
			n.Pairs[key] = p
		}
		cached := &kvCached{until: now.Add(lag)}
		if seen != nil {
			snapshot := *seen
			cached.pair = &snapshot
		}
		p.cached = cached
	}
	return seen
}

func alive(p *kvPair, now time.Time) *kvPair {
	if p == nil || p.Expiration != 0 && p.Expiration <= now.Unix() {
		return nil
	}
	return p
}

// put writes a pair; false if the key was written within the last second.
func (n *kvNamespace) put(key string, p kvPair, now time.Time) bool {
	if old := n.Pairs[key]; old != nil {
		if !old.Gone && now.Sub(old.Written) < time.Second {
			return false
		}
		p.cached = old.cached
	}
	p.Written = now
	n.Pairs[key] = &p
	return true
}

func (n *kvNamespace) drop(key string) {
	if p := n.Pairs[key]; p != nil && p.cached == nil {
		delete(n.Pairs, key)
	} else if p != nil {
		n.Pairs[key] = &kvPair{Gone: true, cached: p.cached}
	}
}

func noKey() answer { return fail(http.StatusNotFound, 10009, "get: 'key not found'") }

func readValue(c *call, i *item[kvNamespace]) answer {
	p := i.Value.read(c.param(2), c.now, c.s.opts.Lag.KV)
	if p == nil {
		return noKey()
	}
	a := raw("application/octet-stream", p.Value)
	if p.Expiration != 0 {
		a = a.with("Expiration", strconv.FormatInt(p.Expiration, 10))
	}
	return a
}

func readMetadata(c *call, i *item[kvNamespace]) answer {
	p := i.Value.read(c.param(2), c.now, c.s.opts.Lag.KV)
	if p == nil {
		return noKey()
	}
	return ok(p.Metadata)
}

func writeValue(c *call, i *item[kvNamespace]) answer {
	key := c.param(2)
	if problem := keyProblem(key); problem != "" {
		return fail(http.StatusBadRequest, 10012, "%s", problem)
	}
	pair, a, good := c.pair()
	if !good {
		return a
	}
	q := c.r.URL.Query()
	if pair.Expiration, a, good = expiration(q.Get("expiration"), q.Get("expiration_ttl"), c.now); !good {
		return a
	}
	if !i.Value.put(key, pair, c.now) {
		return fail(http.StatusTooManyRequests, 10040, "this key was written within the last second")
	}
	c.did("write", i.Key, i.Value.Title)
	return ok(map[string]any{})
}

// pair reads a raw body, or the parts value and metadata.
func (c *call) pair() (kvPair, answer, bool) {
	p := kvPair{Value: c.body}
	bad := func(code int, message string) (kvPair, answer, bool) {
		return kvPair{}, fail(http.StatusBadRequest, code, "%s", message), false
	}
	media, params, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err == nil && media == "multipart/form-data" {
		form := multipart.NewReader(bytes.NewReader(c.body), params["boundary"])
		parts := map[string][]byte{}
		for {
			part, err := form.NextPart()
			if err == io.EOF {
				break
			}
			if err != nil {
				return bad(10012, "the form can't be read")
			}
			if parts[part.FormName()], err = io.ReadAll(part); err != nil {
				return bad(10012, "the form can't be read")
			}
		}
		value, there := parts["value"]
		if !there {
			return bad(10012, "the form has no part value")
		}
		metadata, there := parts["metadata"]
		if !there {
			return bad(10047, "the form has no part metadata")
		}
		if len(metadata) > maxMetadata {
			return bad(10012, "metadata may have 1024 bytes")
		}
		if json.Unmarshal(metadata, &p.Metadata) != nil {
			return bad(10012, "metadata isn't JSON")
		}
		p.Value = value
	}
	if len(p.Value) > maxValue {
		return kvPair{}, fail(http.StatusRequestEntityTooLarge, 10012, "a value may have 25 MiB"), false
	}
	return p, answer{}, true
}

func expiration(at, ttl string, now time.Time) (int64, answer, bool) {
	if at == "" && ttl == "" {
		return 0, answer{}, true
	}
	seconds, err := strconv.ParseInt(at, 10, 64)
	if ttl != "" {
		if seconds, err = strconv.ParseInt(ttl, 10, 64); err == nil {
			seconds += now.Unix()
		}
	}
	if err != nil || seconds < now.Unix()+60 {
		return 0, fail(http.StatusBadRequest, 10034, "expiration_ttl must be at least 60 seconds"), false
	}
	return seconds, answer{}, true
}

func deleteValue(c *call, i *item[kvNamespace]) answer {
	i.Value.drop(c.param(2))
	c.did("write", i.Key, i.Value.Title)
	return ok(map[string]any{})
}

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
