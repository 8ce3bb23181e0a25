package fakecloudflare

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strconv"
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
			if errors.Is(err, io.EOF) {
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
