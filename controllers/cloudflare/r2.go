package cloudflare

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/crispy-enigma/crispy-enigma/api/cloudflareapi"
)

const r2Path = "r2/buckets"

// jurisdictions are where buckets may be. A bucket is seen in its own alone.
var jurisdictions = []string{"default", "eu", "fedramp"}

func r2Thing(place string) func(cloudflareapi.R2Bucket) Thing {
	return func(b cloudflareapi.R2Bucket) Thing {
		t := Thing{Kind: R2, ID: b.Name, Name: b.Name, CreatedAt: moment(b.CreationDate)}
		t.Settings = Settings{Jurisdiction: place, LocationHint: strings.ToLower(b.Location), StorageClass: b.StorageClass}
		return t
	}
}

// in is the request in a jurisdiction.
func (r request) in(place string) request {
	if place != "default" {
		h := r.header.Clone()
		if h == nil {
			h = http.Header{}
		}
		h.Set("Cf-R2-Jurisdiction", place)
		r.header = h
	}
	return r
}

func (c *Client) getR2(ctx context.Context, r request, name string) (Thing, error) {
	r = r.to(c, http.MethodGet, r2Path, escape(name))
	var found Thing
	err := c.somewhere(ctx, name, "", func(place string) (err error) {
		found, err = c.oneR2(ctx, r.in(place), place)
		return err
	})
	return found, err
}

// somewhere does it in the bucket's jurisdiction: the one that is told, the one where the
// bucket was last, or wherever it is.
func (c *Client) somewhere(ctx context.Context, name, told string, do func(place string) error) error {
	if told != "" {
		return do(told)
	}
	places := jurisdictions
	c.facts.mu.Lock()
	if last := c.facts.places[name]; last != "" {
		places = append([]string{last}, slices.DeleteFunc(slices.Clone(places), func(p string) bool { return p == last })...)
	}
	c.facts.mu.Unlock()
	var missing error
	for i, place := range places {
		err := do(place)
		// An account that has no such jurisdiction has no bucket there.
		absent := errors.Is(err, ErrNotFound) || missing != nil && i > 0 && (errors.Is(err, ErrInvalid) || errors.Is(err, ErrForbidden))
		if !absent {
			if err == nil {
				c.remember(name, place)
			}
			return err
		}
		if missing == nil {
			missing = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return missing
}

// remember saves looking for the bucket everywhere again.
func (c *Client) remember(name, place string) {
	c.facts.mu.Lock()
	defer c.facts.mu.Unlock()
	if place == "default" {
		delete(c.facts.places, name)
		return
	}
	if c.facts.places == nil {
		c.facts.places = map[string]string{}
	}
	c.facts.places[name] = place
}

func (c *Client) oneR2(ctx context.Context, r request, place string) (Thing, error) {
	var b cloudflareapi.R2Bucket
	if _, err := c.call(ctx, r, &b); err != nil {
		return Thing{}, err
	}
	if b.Name == "" {
		return Thing{}, r.empty()
	}
	return r2Thing(place)(b), nil
}

func (c *Client) listR2(ctx context.Context, r request) ([]Thing, error) {
	r = r.to(c, http.MethodGet, r2Path)
	var all []Thing
	for _, place := range jurisdictions {
		var page cloudflareapi.R2Buckets
		err := c.cursored(ctx, r.in(place), 1000,
			func() any { page = cloudflareapi.R2Buckets{}; return &page },
			func() { all = append(all, things(page.Buckets, r2Thing(place))...) })
		if place != "default" && (errors.Is(err, ErrInvalid) || errors.Is(err, ErrForbidden)) {
			continue
		}
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (c *Client) doR2(ctx context.Context, r request, s Step) (Thing, error) {
	told := s.Settings.Jurisdiction
	switch s.Verb {
	case Create:
		place := jurisdiction(s.Settings)
		body := cloudflareapi.R2BucketRequest{Name: s.Name, LocationHint: s.Settings.LocationHint, StorageClass: s.Settings.StorageClass}
		t, err := c.oneR2(ctx, r.to(c, http.MethodPost, r2Path).in(place).with(body), place)
		if err == nil {
			c.remember(s.Name, place)
		}
		return t, err
	case Update:
		r = r.to(c, http.MethodPatch, r2Path, escape(s.ID))
		r.header = http.Header{"Cf-R2-Storage-Class": {s.Settings.StorageClass}}
		var changed Thing
		err := c.somewhere(ctx, s.ID, told, func(place string) (err error) {
			changed, err = c.oneR2(ctx, r.in(place), place)
			return err
		})
		return changed, err
	case Delete:
		return Thing{}, c.somewhere(ctx, s.ID, told, func(place string) error {
			_, err := c.call(ctx, r.to(c, http.MethodDelete, r2Path, escape(s.ID)).in(place), nil)
			return err
		})
	}
	return Thing{}, r.impossible()
}
