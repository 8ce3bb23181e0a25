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

// getVectorize asks for the metadata indexes, and for the rest where it isn't known: it
// can't change, and LIST shows an index that somebody made anew under the name.
func (c *Client) getVectorize(ctx context.Context, r request, name string) (Thing, error) {
	t, known := c.facts.index(name)
	if !known {
		var err error
		if t, err = c.oneVectorize(ctx, r.to(c, http.MethodGet, vectorizePath, escape(name))); err != nil {
			return Thing{}, err
		}
		c.facts.keepIndex(t)
	}
	var metadata cloudflareapi.MetadataIndexes
	if _, err := c.call(ctx, r.to(c, http.MethodGet, vectorizePath, escape(name), "metadata_index", "list"), &metadata); err != nil {
		if errors.Is(err, ErrNotFound) {
			c.facts.dropIndex(name)
		}
		return Thing{}, err
	}
	t.Settings.MetadataIndexes = map[string]string{}
	for _, m := range metadata.MetadataIndexes {
		t.Settings.MetadataIndexes[m.PropertyName] = strings.ToLower(m.IndexType)
	}
	return t, nil
}

func (f *facts) index(name string) (Thing, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t, ok := f.indexes[name]
	return t, ok
}

// keepIndex remembers an index without its metadata indexes.
func (f *facts) keepIndex(t Thing) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.indexes == nil {
		f.indexes = map[string]Thing{}
	}
	t.Settings.MetadataIndexes = nil
	f.indexes[t.ID] = t
}

func (f *facts) dropIndex(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.indexes, name)
}

// listed corrects what is remembered by what LIST shows. What it doesn't show is gone, or
// new; either is asked for again.
func (f *facts) listed(all []Thing) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before := f.indexes
	f.indexes = map[string]Thing{}
	for _, t := range all {
		if _, known := before[t.ID]; known {
			f.indexes[t.ID] = t
		}
	}
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
	listed := things(all, vectorizeThing)
	c.facts.listed(listed)
	return listed, nil
}

func (c *Client) doVectorize(ctx context.Context, r request, s Step) (Thing, error) {
	switch s.Verb {
	case Create:
		body := cloudflareapi.VectorizeIndexRequest{Name: s.Name, Config: cloudflareapi.VectorizeConfig{Dimensions: s.Settings.Dimensions, Metric: s.Settings.Metric}}
		t, err := c.oneVectorize(ctx, r.to(c, http.MethodPost, vectorizePath).with(body))
		if err == nil {
			c.facts.keepIndex(t)
			t.Settings.MetadataIndexes = map[string]string{} // a new index has none
		}
		return t, err
	case Delete:
		c.facts.dropIndex(s.ID)
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
