package cloudflare

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/crispy-enigma/crispy-enigma/api/cloudflareapi"
)

const vectorizePath = "vectorize/v2/indexes"

func vectorizeThing(i cloudflareapi.VectorizeIndex) Thing {
	t := Thing{Kind: Vectorize, ID: i.Name, Name: i.Name, CreatedAt: moment(i.CreatedOn)}
	if i.Config != nil {
		t.Settings.Dimensions, t.Settings.Metric = i.Config.Dimensions, i.Config.Metric
	}
	return t
}

func (c *Client) getVectorize(ctx context.Context, r request, name string) (Thing, error) {
	t, err := c.oneVectorize(ctx, r.to(c, http.MethodGet, vectorizePath, escape(name)))
	if err != nil {
		return Thing{}, err
	}
	var metadata cloudflareapi.MetadataIndexes
	if _, err := c.call(ctx, r.to(c, http.MethodGet, vectorizePath, escape(name), "metadata_index", "list"), &metadata); err != nil {
		return Thing{}, err
	}
	t.Settings.MetadataIndexes = map[string]string{}
	for _, m := range metadata.MetadataIndexes {
		t.Settings.MetadataIndexes[m.PropertyName] = strings.ToLower(m.IndexType)
	}
	return t, nil
}

func (c *Client) oneVectorize(ctx context.Context, r request) (Thing, error) {
	var i cloudflareapi.VectorizeIndex
	if _, err := c.call(ctx, r, &i); err != nil {
		return Thing{}, err
	}
	if i.Name == "" {
		return Thing{}, r.empty()
	}
	return vectorizeThing(i), nil
}

func (c *Client) listVectorize(ctx context.Context, r request) ([]Thing, error) {
	var all []cloudflareapi.VectorizeIndex
	if _, err := c.call(ctx, r.to(c, http.MethodGet, vectorizePath), &all); err != nil {
		return nil, err
	}
	return things(all, vectorizeThing), nil
}

func (c *Client) doVectorize(ctx context.Context, r request, s Step) (Thing, error) {
	switch s.Verb {
	case Create:
		body := cloudflareapi.VectorizeIndexRequest{Name: s.Name, Config: cloudflareapi.VectorizeConfig{Dimensions: s.Settings.Dimensions, Metric: s.Settings.Metric}}
		t, err := c.oneVectorize(ctx, r.to(c, http.MethodPost, vectorizePath).with(body))
		if err == nil {
			t.Settings.MetadataIndexes = map[string]string{} // a new index has none
		}
		return t, err
	case Delete:
		_, err := c.call(ctx, r.to(c, http.MethodDelete, vectorizePath, escape(s.ID)), nil)
		return Thing{}, err
	case CreateIndex:
		r = r.to(c, http.MethodPost, vectorizePath, escape(s.ID), "metadata_index", "create").with(cloudflareapi.MetadataIndex{PropertyName: s.Property, IndexType: s.Type})
		// One that was asked for before shows late in the list: asking again is no error.
		_, err := c.call(ctx, r, nil)
		return Thing{Kind: Vectorize, ID: s.ID, Name: s.ID}, unless(err, ErrNameTaken)
	case DeleteIndex:
		r = r.to(c, http.MethodPost, vectorizePath, escape(s.ID), "metadata_index", "delete").with(cloudflareapi.MetadataIndexRemoval{PropertyName: s.Property})
		_, err := c.call(ctx, r, nil)
		return Thing{Kind: Vectorize, ID: s.ID, Name: s.ID}, unless(err, ErrNotFound)
	}
	return Thing{}, r.impossible()
}

// unless is the error, but none of this meaning.
func unless(err, meaning error) error {
	if errors.Is(err, meaning) {
		return nil
	}
	return err
}
