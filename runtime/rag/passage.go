package rag

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/guard"
	"github.com/crispy-enigma/crispy-enigma/runtime/rag/index"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// leastRepeated is how long, in bytes, what a passage repeats of the one before is at
// least: less is the same by chance.
const leastRepeated = 16

// passage is a hit that was read, with the ones before and after it in its document.
type passage struct {
	hit      index.Hit
	document storage.Document
	// around holds the passage and its neighbours by their numbers.
	around map[int]storage.Passage
}

func (p passage) own() storage.Passage { return p.around[p.hit.N] }

// reader reads hits from the store.
type reader struct {
	f         *Feature
	tenant    tenancy.ID
	documents map[string]storage.Document
}

// read gives the passages of hits in their order, or errChanged.
func (r *reader) read(ctx context.Context, hits []index.Hit) ([]passage, error) {
	read := make([]passage, len(hits))
	for i, h := range hits {
		d, err := r.document(ctx, h)
		if err != nil {
			return nil, err
		}
		p := passage{hit: h, document: d, around: map[int]storage.Passage{}}
		for from, limit := max(0, h.N-1), 3; p.around[h.N].Text == ""; from, limit = h.N, 1 {
			// A driver may give fewer than asked for; the passage itself then comes alone.
			found, err := r.f.Documents.Passages(ctx, r.tenant, h.Doc, h.Version, from, limit, false)
			if err != nil {
				return nil, fmt.Errorf("reading passages: %w", err)
			}
			for _, one := range found {
				p.around[one.N] = one
			}
			if limit == 1 && p.around[h.N].Text == "" || len(found) == 0 {
				return nil, errChanged
			}
		}
		read[i] = p
	}
	return read, nil
}

func (r *reader) document(ctx context.Context, h index.Hit) (storage.Document, error) {
	d, known := r.documents[h.Doc]
	if !known {
		var there bool
		var err error
		if d, there, err = r.f.Documents.Document(ctx, r.tenant, h.Doc); err != nil {
			return d, fmt.Errorf("reading a document: %w", err)
		}
		if !there {
			return d, errChanged
		}
		r.documents[h.Doc] = d
	}
	if d.Version != h.Version {
		return d, errChanged
	}
	return d, nil
}

// span is a run of passages of one document that is one source.
type span struct {
	best   passage // whose score and place it has
	lo, hi int
	parts  map[int]storage.Passage
}

// join makes sources of passages, best first. A passage of less than half of what passages
// may have is given with its neighbours, as far as all together stay within that; and
// passages that then follow each other in a document become one source, within twice of
// it: a model reads one text rather than its parts, and what they repeat comes once.
func join(read []passage, chars int) []guard.Source {
	var spans []*span
	for _, p := range read {
		s := expand(p, chars)
		var into *span
		for _, other := range spans {
			if s.follows(other) && other.length()+s.length() <= 2*chars {
				into = other
				break
			}
			if s.meets(other) {
				s = alone(p)
			}
		}
		switch {
		case into != nil:
			into.take(s)
		case !within(spans, p):
			spans = append(spans, s)
		}
	}
	sources := make([]guard.Source, len(spans))
	for i, s := range spans {
		sources[i] = s.source(i + 1)
	}
	return sources
}

func within(spans []*span, p passage) bool {
	for _, s := range spans {
		if s.best.hit.Doc == p.hit.Doc && s.lo <= p.hit.N && p.hit.N <= s.hi {
			return true
		}
	}
	return false
}

func alone(p passage) *span {
	return &span{best: p, lo: p.hit.N, hi: p.hit.N, parts: map[int]storage.Passage{p.hit.N: p.own()}}
}

// expand takes the neighbours of a short passage along.
func expand(p passage, chars int) *span {
	s := alone(p)
	if s.length() >= chars/2 {
		return s
	}
	for _, n := range []int{p.hit.N + 1, p.hit.N - 1} {
		next, there := p.around[n]
		if there && s.length()+utf8.RuneCountInString(next.Text) <= chars {
			s.parts[n], s.lo, s.hi = next, min(s.lo, n), max(s.hi, n)
		}
	}
	return s
}

// follows tells that both are of one document with nothing between.
func (s *span) follows(o *span) bool {
	return s.best.hit.Doc == o.best.hit.Doc && s.lo <= o.hi+1 && o.lo <= s.hi+1
}

// meets tells that both hold a passage.
func (s *span) meets(o *span) bool {
	return s.best.hit.Doc == o.best.hit.Doc && s.lo <= o.hi && o.lo <= s.hi
}

func (s *span) length() (n int) {
	for _, p := range s.parts {
		n += utf8.RuneCountInString(p.Text)
	}
	return n
}

func (s *span) take(o *span) {
	for n, p := range o.parts {
		s.parts[n] = p
	}
	s.lo, s.hi = min(s.lo, o.lo), max(s.hi, o.hi)
}

func (s *span) source(id int) guard.Source {
	d, h := s.best.document, s.best.hit
	first := s.parts[s.lo]
	return guard.Source{
		ID: id, DocID: h.Doc, ChunkID: chunkID(h.Doc, h.N), Title: d.Title, URL: d.URL, Source: d.Source,
		Headings: s.best.own().Headings, Page: first.Page, Text: s.text(), Score: rounded(h.Score),
	}
}

func (s *span) text() string {
	text := s.parts[s.lo].Text
	for n := s.lo + 1; n <= s.hi; n++ {
		next := s.parts[n].Text
		if k := repeated(text, next); k > 0 {
			text += next[k:]
			continue
		}
		text += "\n\n" + next
	}
	return text
}

// repeated is how much of the beginning of next is the end of text.
func repeated(text, next string) int {
	for k := min(len(text), len(next)); k >= leastRepeated; k-- {
		if strings.HasSuffix(text, next[:k]) {
			return k
		}
	}
	return 0
}

// passageChars is how long the tenant's passages are at most.
func passageChars(cfg *tenantconfig.Config) int {
	return cmp.Or(cfg.Documents.Chunking.MaxChars, tenantconfig.DefaultChunkChars)
}
