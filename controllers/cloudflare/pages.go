package cloudflare

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"github.com/crispy-enigma/crispy-enigma/api/cloudflareapi"
)

// maxPages ends a list that doesn't; a million buckets are as many.
const maxPages = 1000

// errEndless and errTorn are lists that mustn't be taken for whole.
var (
	errEndless = errors.New("the list doesn't end")
	errTorn    = errors.New("the list breaks off before its end")
)

// numbered reads all pages of a list by their numbers.
func numbered[T any](ctx context.Context, c *Client, r request, size int, id func(T) string) ([]T, error) {
	var all []T
	seen := map[string]bool{}
	for page := 1; page <= maxPages; page++ {
		asked := url.Values{"page": {strconv.Itoa(page)}, "per_page": {strconv.Itoa(size)}}
		for name, values := range r.query {
			asked[name] = values
		}
		one := r
		one.query = asked
		var items []T
		info, err := c.call(ctx, one, &items)
		if err != nil {
			return nil, err
		}
		fresh := 0
		for _, item := range items {
			// What moved from one page to the next while they were read comes twice.
			if !seen[id(item)] {
				seen[id(item)] = true
				all = append(all, item)
				fresh++
			}
		}
		switch more := goesOn(info, page, len(items), size); {
		case !more:
			return all, nil
		case len(items) == 0:
			return nil, r.broken(errTorn)
		case fresh == 0:
			return nil, r.broken(errEndless)
		}
	}
	return nil, r.broken(errEndless)
}

// goesOn tells whether there is a page after this one, by the best that was told.
func goesOn(info cloudflareapi.PageInfo, page, items, size int) bool {
	if info.PerPage > 0 {
		size = info.PerPage // Cloudflare gives fewer than it was asked for, if it likes
	}
	switch {
	case info.TotalPages > 0:
		return page < info.TotalPages
	case info.TotalCount > 0:
		return page*size < info.TotalCount
	}
	return items >= size
}

// cursored reads all pages of a list that names the next one. read takes a page apart.
func (c *Client) cursored(ctx context.Context, r request, size int, read func() any, take func()) error {
	seen := map[string]bool{}
	cursor := ""
	for range maxPages {
		one := r
		one.query = url.Values{"per_page": {strconv.Itoa(size)}}
		if cursor != "" {
			one.query.Set("cursor", cursor)
		}
		info, err := c.call(ctx, one, read())
		if err != nil {
			return err
		}
		take()
		if cursor = info.Cursor; cursor == "" {
			return nil
		}
		if seen[cursor] {
			break
		}
		seen[cursor] = true
	}
	return r.broken(errEndless)
}

func (r request) broken(cause error) error {
	return &Error{Op: r.op, Meaning: ErrUnavailable, Status: http.StatusOK, Cause: cause}
}
