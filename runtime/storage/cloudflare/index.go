package cloudflare

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// index is what this process knows of one index of Vectorize.
type index struct {
	name string
	// writing is held by one write at a time: mutations are applied in the order they
	// were sent, and their ids alone don't tell it.
	writing chan struct{}

	mu    sync.Mutex
	good  bool
	last  int64            // the number of this process's last mutation
	done  int64            // and of its last one that is known to be applied
	order map[string]int64 // of those in between
}

// maxPending bounds order.
const maxPending = 4096

func (v *Vectors) index(name string) *index {
	v.mu.Lock()
	defer v.mu.Unlock()
	i := v.indexes[name]
	if i == nil {
		i = &index{name: name, writing: make(chan struct{}, 1), order: map[string]int64{}}
		v.indexes[name] = i
	}
	return i
}

func indexPath(name string) string { return "/vectorize/v2/indexes/" + url.PathEscape(name) }

type indexInfo struct {
	Dimensions            int        `json:"dimensions"`
	ProcessedUpToMutation string     `json:"processedUpToMutation"`
	ProcessedUpToDatetime *time.Time `json:"processedUpToDatetime"`
}

// ready asks once whether the index is as the document says. A vector that comes before
// its metadata indexes would never be found by them.
func (i *index) ready(ctx context.Context, a *Account, s storage.Shape) error {
	i.mu.Lock()
	good := i.good
	i.mu.Unlock()
	if good {
		return nil
	}
	var info indexInfo
	if err := a.call(ctx, apiCall{method: http.MethodGet, path: indexPath(i.name) + "/info"}, &info); err != nil {
		return err
	}
	if info.Dimensions != s.Dimensions {
		return fmt.Errorf("%w: index %s has %d dimensions where the document says %d", storage.ErrUnavailable, i.name, info.Dimensions, s.Dimensions)
	}
	var list struct {
		MetadataIndexes []struct{ PropertyName string }
	}
	if err := a.call(ctx, apiCall{method: http.MethodGet, path: indexPath(i.name) + "/metadata_index/list"}, &list); err != nil {
		return err
	}
	for _, property := range s.Filterable {
		if !slices.ContainsFunc(list.MetadataIndexes, func(m struct{ PropertyName string }) bool { return m.PropertyName == property }) {
			return fmt.Errorf("%w: the metadata index of %q of index %s isn't there yet", storage.ErrUnavailable, property, i.name)
		}
	}
	i.mu.Lock()
	i.good = true
	i.mu.Unlock()
	return nil
}

// write makes a call that changes the index, and puts the mutation's id into c.
func (i *index) write(ctx context.Context, a *Account, call apiCall, c *change) error {
	select {
	case i.writing <- struct{}{}:
		defer func() { <-i.writing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	var answer struct{ MutationID string }
	if err := a.call(ctx, call, &answer); err != nil {
		return err
	}
	if answer.MutationID == "" {
		return fmt.Errorf("%w: the answer names no mutation", storage.ErrUnavailable)
	}
	c.ID = answer.MutationID
	i.mu.Lock()
	defer i.mu.Unlock()
	i.last++
	if len(i.order) >= maxPending {
		clear(i.order) // those are found by their probes
	}
	i.order[c.ID] = i.last
	return nil
}

// mutation is what a storage.Mutation says: the last change of each index.
type mutation struct {
	Tenant  string   `json:"t"`
	Changes []change `json:"c"`
}

// change is one mutation of one index. At is this machine's clock when it was made, in
// nanoseconds. Probe is a vector that it wrote or, if Gone, removed.
type change struct {
	Index string `json:"i"`
	ID    string `json:"m"`
	At    int64  `json:"a"`
	Probe string `json:"p"`
	Gone  bool   `json:"g,omitempty"`
}

func (m *mutation) set(c change) {
	m.Changes = slices.DeleteFunc(m.Changes, func(x change) bool { return x.Index == c.Index })
	m.Changes = append(m.Changes, c)
}

func (m *mutation) String() storage.Mutation {
	text, err := json.Marshal(m)
	if err != nil {
		return "" // texts and numbers alone can't fail
	}
	return storage.Mutation(text)
}

func parseMutation(t tenancy.ID, text storage.Mutation) (m mutation, err error) {
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.DisallowUnknownFields()
	if len(text) > 4096 || d.Decode(&m) != nil || m.Tenant != tagOf(t) || len(m.Changes) == 0 {
		return m, storage.ErrBadMutation
	}
	return m, nil
}

// Visible implements storage.Vectors.
func (v *Vectors) Visible(ctx context.Context, t tenancy.ID, text storage.Mutation) (bool, error) {
	p, err := v.place(ctx, t)
	if err != nil || text == "" {
		return err == nil, err
	}
	m, err := parseMutation(t, text)
	if err != nil {
		return false, err
	}
	for _, c := range m.Changes {
		// An index that is no longer the tenant's isn't asked any more.
		if !slices.Contains(p.indexes(), c.Index) {
			continue
		}
		if seen, err := v.index(c.Index).applied(ctx, v.a, c); err != nil || !seen {
			return false, err
		}
	}
	return true, nil
}

// applied tells whether c is. Vectorize says which mutation it applied last, and nothing
// of the order: so it is c, or one that this process sent later; or another writer's,
// after which only the vectors themselves can tell.
func (i *index) applied(ctx context.Context, a *Account, c change) (bool, error) {
	if i.known(c.ID) {
		return true, nil
	}
	var info indexInfo
	if err := a.call(ctx, apiCall{method: http.MethodGet, path: indexPath(i.name) + "/info", background: true}, &info); err != nil {
		return false, fmt.Errorf("asking how far the index is: %w", err)
	}
	if i.learn(info.ProcessedUpToMutation); info.ProcessedUpToMutation == c.ID || i.known(c.ID) {
		return true, nil
	}
	if info.ProcessedUpToDatetime == nil || info.ProcessedUpToDatetime.UnixNano() <= c.At {
		return false, nil
	}
	seen, err := i.probe(ctx, a, c)
	if seen {
		i.learn(c.ID)
	}
	return seen, err
}

func (i *index) known(id string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	n, sent := i.order[id]
	return sent && n <= i.done
}

// learn takes in that a mutation is applied.
func (i *index) learn(id string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if n, sent := i.order[id]; sent {
		i.done = max(i.done, n)
	}
}

// probe looks at a vector that the change wrote or removed.
func (i *index) probe(ctx context.Context, a *Account, c change) (bool, error) {
	body, err := encode(map[string]any{"ids": []string{c.Probe}})
	if err != nil {
		return false, err
	}
	var found []struct{ Metadata map[string]any }
	call := apiCall{method: http.MethodPost, path: indexPath(i.name) + "/get_by_ids", contentType: "application/json", body: body, background: true}
	if err := a.call(ctx, call, &found); err != nil {
		return false, fmt.Errorf("asking for a vector: %w", err)
	}
	if len(found) == 0 {
		return c.Gone, nil
	}
	at, _ := found[0].Metadata[metaAt].(string) // without one it is none of this driver's
	written, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return false, nil //nolint:nilerr // nobody knows, so it is not visible yet
	}
	return written >= c.At, nil
}
