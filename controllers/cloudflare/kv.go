package cloudflare

import (
	"context"
	"net/http"

	"github.com/crispy-enigma/crispy-enigma/api/cloudflareapi"
)

const kvPath = "storage/kv/namespaces"

func kvThing(n cloudflareapi.KVNamespace) Thing { return Thing{Kind: KV, ID: n.ID, Name: n.Title} }

func (c *Client) getKV(ctx context.Context, r request, id string) (Thing, error) {
	return c.oneKV(ctx, r.to(c, http.MethodGet, kvPath, escape(id)))
}

func (c *Client) oneKV(ctx context.Context, r request) (Thing, error) {
	var n cloudflareapi.KVNamespace
	if _, err := c.call(ctx, r, &n); err != nil {
		return Thing{}, err
	}
	if n.ID == "" {
		return Thing{}, r.empty()
	}
	return kvThing(n), nil
}

func (c *Client) listKV(ctx context.Context, r request) ([]Thing, error) {
	all, err := numbered(ctx, c, r.to(c, http.MethodGet, kvPath), 1000, func(n cloudflareapi.KVNamespace) string { return n.ID })
	return things(all, kvThing), err
}

func (c *Client) doKV(ctx context.Context, r request, s Step) (Thing, error) {
	switch s.Verb {
	case Create:
		return c.oneKV(ctx, r.to(c, http.MethodPost, kvPath).with(cloudflareapi.KVNamespaceRequest{Title: s.Name}))
	case Delete:
		_, err := c.call(ctx, r.to(c, http.MethodDelete, kvPath, escape(s.ID)), nil)
		return Thing{}, err
	}
	return Thing{}, r.impossible()
}

// impossible is a verb that a kind doesn't have.
func (r request) impossible() error { return &Error{Op: r.op, Meaning: ErrInvalid} }

func things[T any](all []T, thing func(T) Thing) []Thing {
	var made []Thing
	for _, one := range all {
		made = append(made, thing(one))
	}
	return made
}
