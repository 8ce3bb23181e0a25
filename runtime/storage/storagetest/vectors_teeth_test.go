package storagetest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/memory"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/storagetest"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// bent is a store of vectors with one method done wrong.
type bent struct {
	storage.Vectors
	upsert  func(context.Context, tenancy.ID, []storage.Chunk) (storage.Mutation, error)
	query   func(context.Context, tenancy.ID, storage.VectorQuery) ([]storage.Match, error)
	remove  func(context.Context, tenancy.ID, []storage.ChunkKey) (storage.Mutation, error)
	visible func(context.Context, tenancy.ID, storage.Mutation) (bool, error)
}

func (b bent) Upsert(ctx context.Context, t tenancy.ID, c []storage.Chunk) (storage.Mutation, error) {
	if b.upsert != nil {
		return b.upsert(ctx, t, c)
	}
	return b.Vectors.Upsert(ctx, t, c)
}

func (b bent) Query(ctx context.Context, t tenancy.ID, q storage.VectorQuery) ([]storage.Match, error) {
	if b.query != nil {
		return b.query(ctx, t, q)
	}
	return b.Vectors.Query(ctx, t, q)
}

func (b bent) Delete(ctx context.Context, t tenancy.ID, k []storage.ChunkKey) (storage.Mutation, error) {
	if b.remove != nil {
		return b.remove(ctx, t, k)
	}
	return b.Vectors.Delete(ctx, t, k)
}

func (b bent) Visible(ctx context.Context, t tenancy.ID, m storage.Mutation) (bool, error) {
	if b.visible != nil {
		return b.visible(ctx, t, m)
	}
	return b.Vectors.Visible(ctx, t, m)
}

// keeps changes each chunk on its way in; shows each match on its way out.
func keeps(change func(*storage.Chunk)) func(*memory.Vectors) storage.Vectors {
	return func(v *memory.Vectors) storage.Vectors {
		return bent{Vectors: v, upsert: func(ctx context.Context, t tenancy.ID, chunks []storage.Chunk) (storage.Mutation, error) {
			chunks = slices.Clone(chunks)
			for i := range chunks {
				change(&chunks[i])
			}
			return v.Upsert(ctx, t, chunks)
		}}
	}
}

func shows(change func([]storage.Match) []storage.Match) func(*memory.Vectors) storage.Vectors {
	return func(v *memory.Vectors) storage.Vectors {
		return bent{Vectors: v, query: func(ctx context.Context, t tenancy.ID, q storage.VectorQuery) ([]storage.Match, error) {
			found, err := v.Query(ctx, t, q)
			return change(found), err
		}}
	}
}

func asks(change func(*storage.VectorQuery)) func(*memory.Vectors) storage.Vectors {
	return func(v *memory.Vectors) storage.Vectors {
		return bent{Vectors: v, query: func(ctx context.Context, t tenancy.ID, q storage.VectorQuery) ([]storage.Match, error) {
			change(&q)
			return v.Query(ctx, t, q)
		}}
	}
}

func cut(n int) func(*storage.Chunk) {
	return func(c *storage.Chunk) { c.Text = c.Text[:min(n, len(c.Text))] }
}

var oneForAll, _ = tenancy.NewID("all", "all")

// TestVectorTeeth plants stores that each break one promise.
func TestVectorTeeth(t *testing.T) {
	t.Parallel()
	for _, m := range []struct {
		breaks, check string
		plant         func(*memory.Vectors) storage.Vectors
	}{
		{"text is cut to 10 KiB", "Query/what is found", keeps(cut(10 << 10))},
		{"text isn't fetched", "Query/what is found", shows(func(m []storage.Match) []storage.Match {
			for i := range m {
				m[i].Text = ""
			}
			return m
		})},
		{"metadata isn't fetched", "Query/what is found", shows(func(m []storage.Match) []storage.Match {
			for i := range m {
				m[i].Metadata = nil
			}
			return m
		})},
		{"numbers become texts", "Query/what is found", keeps(func(c *storage.Chunk) {
			if c.Metadata = maps.Clone(c.Metadata); c.Metadata["year"] != nil {
				c.Metadata["year"] = "1999.5"
			}
		})},
		{"a version passes through a float", "Query/what is found", keeps(func(c *storage.Chunk) { c.Version = int64(float64(c.Version) / 2) })},
		{"the metric is dot product", "Query/the nearest", dots},
		{"the worst first", "Query/the nearest", shows(func(m []storage.Match) []storage.Match { slices.Reverse(m); return m })},
		{"a score of NaN", "Query/the nearest", shows(func(m []storage.Match) []storage.Match {
			for i := range m {
				m[i].Score = math.NaN()
			}
			return m
		})},
		{"ties as they come", "Query/equal scores", shows(func(m []storage.Match) []storage.Match { slices.Reverse(m); return m })},
		{"at most 20 matches", "Query/at most topK", asks(func(q *storage.VectorQuery) { q.TopK = min(q.TopK, 20) })},
		{"any topK", "Query/at most topK", asks(func(q *storage.VectorQuery) { q.TopK = max(1, min(q.TopK, 50)) })},
		{"ids are cut to 64 bytes", "Upsert/no key spells", keeps(func(c *storage.Chunk) { c.Doc = strings.ToValidUTF8(c.Doc[:min(64, len(c.Doc))], "") })},
		{"the version leaks: old chunks stay", "Upsert/replaces", keeps(func(c *storage.Chunk) { c.Version += int64(len(c.Text)) })},
		{"batches over 1000 are cut", "Upsert/thousands", func(v *memory.Vectors) storage.Vectors {
			return bent{Vectors: v, upsert: func(ctx context.Context, t tenancy.ID, c []storage.Chunk) (storage.Mutation, error) {
				return v.Upsert(ctx, t, c[:min(1000, len(c))])
			}}
		}},
		{"a deletion is of the whole document", "Delete/these keys", func(v *memory.Vectors) storage.Vectors {
			return bent{Vectors: v, remove: func(ctx context.Context, t tenancy.ID, keys []storage.ChunkKey) (storage.Mutation, error) {
				for n := range 10 {
					for _, k := range slices.Clone(keys) {
						k.N = n
						keys = append(keys, k)
					}
					keys = slices.Compact(keys[:min(len(keys), 100)])
				}
				return v.Delete(ctx, t, keys)
			}}
		}},
		{"a deletion does nothing", "Delete/these keys", func(v *memory.Vectors) storage.Vectors {
			return bent{Vectors: v, remove: func(context.Context, tenancy.ID, []storage.ChunkKey) (storage.Mutation, error) { return "", nil }}
		}},
		{"visible before it is", "Visible/a change", func(v *memory.Vectors) storage.Vectors {
			return bent{Vectors: v, upsert: func(ctx context.Context, t tenancy.ID, c []storage.Chunk) (storage.Mutation, error) {
				if len(c) == 1 && c[0].Doc == "2" {
					return "", nil
				}
				return v.Upsert(ctx, t, c)
			}}
		}},
		{"any mutation is visible", "Visible/a change", func(v *memory.Vectors) storage.Vectors {
			return bent{Vectors: v, visible: func(context.Context, tenancy.ID, storage.Mutation) (bool, error) { return true, nil }}
		}},
		{"no tenant is checked", "Tenants/each finds", func(v *memory.Vectors) storage.Vectors {
			return bent{Vectors: v,
				upsert: func(ctx context.Context, _ tenancy.ID, c []storage.Chunk) (storage.Mutation, error) {
					return v.Upsert(ctx, oneForAll, c)
				},
				query: func(ctx context.Context, _ tenancy.ID, q storage.VectorQuery) ([]storage.Match, error) {
					return v.Query(ctx, oneForAll, q)
				},
			}
		}},
		{"no tenant is let in", "Tenants/none", func(v *memory.Vectors) storage.Vectors {
			return bent{Vectors: v, query: func(ctx context.Context, _ tenancy.ID, q storage.VectorQuery) ([]storage.Match, error) {
				return v.Query(ctx, oneForAll, q)
			}}
		}},
		{"the filter is ignored", "Filter/every operator", asks(func(q *storage.VectorQuery) { q.Filter = nil })},
		{"what lacks a property meets $ne", "Filter/every operator", asks(func(q *storage.VectorQuery) {
			q.Filter = slices.DeleteFunc(slices.Clone(q.Filter), func(c storage.Condition) bool { return c.Op == storage.NotEqual })
		})},
		{"only the last condition counts", "Filter/every operator", asks(func(q *storage.VectorQuery) { q.Filter = q.Filter[max(0, len(q.Filter)-1):] })},
		{"$lte is $lt", "Filter/every operator", asks(func(q *storage.VectorQuery) {
			q.Filter = slices.Clone(q.Filter)
			for i := range q.Filter {
				if q.Filter[i].Op == storage.LessOrEqual {
					q.Filter[i].Op = storage.Less
				}
			}
		})},
		{"a filter that can't be is none", "Filter/those that can't", func(v *memory.Vectors) storage.Vectors {
			return bent{Vectors: v, query: func(ctx context.Context, t tenancy.ID, q storage.VectorQuery) ([]storage.Match, error) {
				found, err := v.Query(ctx, t, q)
				if errors.Is(err, storage.ErrBadFilter) {
					q.Filter = nil
					return v.Query(ctx, t, q)
				}
				return found, err
			}}
		}},
		{"NaN is kept as 0", "Upsert/vectors that can't", keeps(func(c *storage.Chunk) {
			c.Vector = slices.Clone(c.Vector)
			for i, x := range c.Vector {
				if x != x {
					c.Vector[i] = 0
				}
			}
		})},
		{"refused calls keep what was good", "Upsert/chunks that can't", func(v *memory.Vectors) storage.Vectors {
			return bent{Vectors: v, upsert: func(ctx context.Context, t tenancy.ID, c []storage.Chunk) (m storage.Mutation, err error) {
				for i := range c {
					if m, err = v.Upsert(ctx, t, c[i:i+1]); err != nil {
						return m, err
					}
				}
				return m, nil
			}}
		}},
		{"an ended context deletes", "Context/an ended", func(v *memory.Vectors) storage.Vectors {
			return bent{Vectors: v, remove: func(ctx context.Context, t tenancy.ID, k []storage.ChunkKey) (storage.Mutation, error) {
				return v.Delete(context.WithoutCancel(ctx), t, k)
			}}
		}},
	} {
		t.Run(m.breaks, func(t *testing.T) {
			t.Parallel()
			checks := storagetest.VectorChecks()
			i := slices.IndexFunc(checks, func(c storagetest.VectorCheck) bool { return strings.HasPrefix(c.Name, m.check) })
			if i < 0 {
				t.Fatalf("no check is called %q", m.check)
			}
			if passes(func(w *witness) {
				checks[i].Run(w, storagetest.VectorBed{Vectors: m.plant(memory.NewVectors(storagetest.VectorShape))})
			}) {
				t.Errorf("%q did not notice", checks[i].Name)
			}
		})
	}
}

// dots scores by length too.
func dots(v *memory.Vectors) storage.Vectors {
	lengths := map[storage.ChunkKey]float64{}
	return bent{Vectors: v,
		upsert: func(ctx context.Context, t tenancy.ID, chunks []storage.Chunk) (storage.Mutation, error) {
			for _, c := range chunks {
				for _, x := range c.Vector {
					lengths[c.ChunkKey] += float64(x) * float64(x)
				}
			}
			return v.Upsert(ctx, t, chunks)
		},
		query: func(ctx context.Context, t tenancy.ID, q storage.VectorQuery) ([]storage.Match, error) {
			found, err := v.Query(ctx, t, q)
			slices.SortFunc(found, func(a, b storage.Match) int {
				return int(math.Copysign(1, b.Score*math.Sqrt(lengths[b.ChunkKey])-a.Score*math.Sqrt(lengths[a.ChunkKey])))
			})
			return found, err
		}}
}

// passes runs a check by itself, since a failure ends its goroutine.
func passes(check func(*witness)) bool {
	w := &witness{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		check(w)
	}()
	<-done
	return !w.Failed()
}

// bentObjects is a store of files with one method done wrong.
type bentObjects struct {
	storage.Objects
	put  func(ctx context.Context, t tenancy.ID, key string, size int64, r io.Reader) error
	get  func(ctx context.Context, t tenancy.ID, key string) (io.ReadCloser, error)
	keys func(ctx context.Context, t tenancy.ID, prefix, after string, limit int) ([]string, error)
}

func (b bentObjects) Put(ctx context.Context, t tenancy.ID, key string, size int64, r io.Reader) error {
	if b.put != nil {
		return b.put(ctx, t, key, size, r)
	}
	return b.Objects.Put(ctx, t, key, size, r)
}

func (b bentObjects) Get(ctx context.Context, t tenancy.ID, key string) (io.ReadCloser, error) {
	if b.get != nil {
		return b.get(ctx, t, key)
	}
	return b.Objects.Get(ctx, t, key)
}

func (b bentObjects) Keys(ctx context.Context, t tenancy.ID, prefix, after string, limit int) ([]string, error) {
	if b.keys != nil {
		return b.keys(ctx, t, prefix, after, limit)
	}
	return b.Objects.Keys(ctx, t, prefix, after, limit)
}

func TestObjectTeeth(t *testing.T) {
	t.Parallel()
	for _, m := range []struct {
		breaks, check string
		plant         func(*memory.Objects) storage.Objects
	}{
		{"files end after 64 KiB", "Objects/what is got", func(o *memory.Objects) storage.Objects {
			return bentObjects{Objects: o, get: func(ctx context.Context, t tenancy.ID, key string) (io.ReadCloser, error) {
				r, err := o.Get(ctx, t, key)
				return io.NopCloser(io.LimitReader(r, 64<<10)), err
			}}
		}},
		{"the size isn't looked at", "Objects/another size", func(o *memory.Objects) storage.Objects {
			return bentObjects{Objects: o, put: func(ctx context.Context, t tenancy.ID, key string, _ int64, r io.Reader) error {
				body, err := io.ReadAll(r)
				if err != nil {
					return err
				}
				return o.Put(ctx, t, key, int64(len(body)), bytes.NewReader(body))
			}}
		}},
		{"only the first page", "Objects/keys in order", func(o *memory.Objects) storage.Objects {
			return bentObjects{Objects: o, keys: func(ctx context.Context, t tenancy.ID, prefix, after string, limit int) ([]string, error) {
				return o.Keys(ctx, t, prefix, after, min(limit, 20))
			}}
		}},
		{"after counts too", "Objects/keys in order", func(o *memory.Objects) storage.Objects {
			return bentObjects{Objects: o, keys: func(ctx context.Context, t tenancy.ID, prefix, after string, limit int) ([]string, error) {
				keys, err := o.Keys(ctx, t, prefix, "", 1000)
				keys = slices.DeleteFunc(keys, func(k string) bool { return k < after })
				return keys[:min(limit, len(keys))], err
			}}
		}},
		{"keys are unescaped", "Objects/no key spells", func(o *memory.Objects) storage.Objects {
			return bentObjects{Objects: o, put: func(ctx context.Context, t tenancy.ID, key string, size int64, r io.Reader) error {
				return o.Put(ctx, t, strings.ReplaceAll(key, "%2F", "/"), size, r)
			}}
		}},
		{"a key that can't be isn't there", "Objects/keys that can't", func(o *memory.Objects) storage.Objects {
			return bentObjects{Objects: o, get: func(ctx context.Context, t tenancy.ID, key string) (io.ReadCloser, error) {
				r, err := o.Get(ctx, t, key)
				if errors.Is(err, storage.ErrBadObjectKey) {
					err = storage.ErrNoObject
				}
				return r, err
			}}
		}},
		{"one space for all tenants", "Objects/each tenant", func(o *memory.Objects) storage.Objects {
			return bentObjects{Objects: o,
				put: func(ctx context.Context, _ tenancy.ID, key string, size int64, r io.Reader) error {
					return o.Put(ctx, oneForAll, key, size, r)
				},
				get: func(ctx context.Context, _ tenancy.ID, key string) (io.ReadCloser, error) {
					return o.Get(ctx, oneForAll, key)
				},
			}
		}},
		{"an ended context puts", "Objects/an ended", func(o *memory.Objects) storage.Objects {
			return bentObjects{Objects: o, put: func(ctx context.Context, t tenancy.ID, key string, size int64, r io.Reader) error {
				return o.Put(context.WithoutCancel(ctx), t, key, size, r)
			}}
		}},
	} {
		t.Run(m.breaks, func(t *testing.T) {
			t.Parallel()
			checks := storagetest.ObjectChecks()
			i := slices.IndexFunc(checks, func(c storagetest.ObjectCheck) bool { return strings.HasPrefix(c.Name, m.check) })
			if i < 0 {
				t.Fatalf("no check is called %q", m.check)
			}
			if passes(func(w *witness) { checks[i].Run(w, m.plant(memory.NewObjects())) }) {
				t.Errorf("%q did not notice", checks[i].Name)
			}
		})
	}
}
