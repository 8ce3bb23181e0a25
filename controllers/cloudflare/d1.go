package cloudflare

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/crispy-enigma/crispy-enigma/api/cloudflareapi"
)

const d1Path = "d1/database"

func d1Thing(d cloudflareapi.D1Database) Thing {
	t := Thing{Kind: D1, ID: d.UUID, Name: d.Name, CreatedAt: moment(d.CreatedAt)}
	t.Settings.Jurisdiction = strings.ToLower(d.Jurisdiction)
	if d.ReadReplication != nil {
		t.Settings.ReadReplication = d.ReadReplication.Mode
	}
	return t
}

func (c *Client) getD1(ctx context.Context, r request, id string) (Thing, error) {
	return c.oneD1(ctx, r.to(c, http.MethodGet, d1Path, escape(id)))
}

func (c *Client) oneD1(ctx context.Context, r request) (Thing, error) {
	var d cloudflareapi.D1Database
	if _, err := c.call(ctx, r, &d); err != nil {
		return Thing{}, err
	}
	if d.UUID == "" {
		return Thing{}, r.empty()
	}
	return d1Thing(d), nil
}

// listD1 with a name gives those whose name holds it: Cloudflare's filter does no better.
func (c *Client) listD1(ctx context.Context, r request, name string) ([]Thing, error) {
	r = r.to(c, http.MethodGet, d1Path)
	if name != "" {
		r.query = url.Values{"name": {name}}
	}
	all, err := numbered(ctx, c, r, 1000, func(d cloudflareapi.D1Database) string { return d.UUID })
	return things(all, d1Thing), err
}

func (c *Client) doD1(ctx context.Context, r request, s Step) (Thing, error) {
	switch s.Verb {
	case Create:
		body := cloudflareapi.D1DatabaseRequest{Name: s.Name, PrimaryLocationHint: s.Settings.LocationHint, ReadReplication: replication(s.Settings)}
		if place := jurisdiction(s.Settings); place != "default" {
			body.Jurisdiction = place
		}
		return c.oneD1(ctx, r.to(c, http.MethodPost, d1Path).with(body))
	case Update:
		return c.oneD1(ctx, r.to(c, http.MethodPatch, d1Path, escape(s.ID)).with(cloudflareapi.D1DatabaseUpdate{ReadReplication: replication(s.Settings)}))
	case Delete:
		_, err := c.call(ctx, r.to(c, http.MethodDelete, d1Path, escape(s.ID)), nil)
		return Thing{}, err
	}
	return Thing{}, r.impossible()
}

func replication(s Settings) *cloudflareapi.D1ReadReplication {
	if s.ReadReplication == "" {
		return nil
	}
	return &cloudflareapi.D1ReadReplication{Mode: s.ReadReplication}
}
