package storage

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// CheckDocID gives ErrBadDocument for an id that some store or path couldn't keep apart
// from another: it is UTF-8 of 1 to MaxDocBytes bytes, without control characters and
// without empty or dot segments between its slashes.
func CheckDocID(id string) error {
	if id == "" || len(id) > MaxDocBytes || !utf8.ValidString(id) || strings.ContainsFunc(id, unicode.IsControl) {
		return fmt.Errorf("%w: its id is UTF-8 of 1 to %d bytes without control characters", ErrBadDocument, MaxDocBytes)
	}
	for part := range strings.SplitSeq(id, "/") {
		if part == "" || part == "." || part == ".." {
			return fmt.Errorf("%w: its id has an empty or dot segment between slashes", ErrBadDocument)
		}
	}
	return nil
}

// CheckDocument gives ErrBadDocument.
func CheckDocument(d Document) error {
	if err := CheckDocID(d.ID); err != nil {
		return err
	}
	for _, s := range []string{d.Title, d.URL, d.Source, d.ContentType, d.EmbeddingModel} {
		if len(s) > MaxTitleBytes || !utf8.ValidString(s) {
			return fmt.Errorf("%w: title, URL and source are UTF-8 of at most %d bytes", ErrBadDocument, MaxTitleBytes)
		}
	}
	if d.Version < 1 || d.Passages < 1 || d.Passages > MaxPassages || d.Bytes < 0 || d.Updated.IsZero() {
		return fmt.Errorf("%w: it needs a version, passages and the time of its update", ErrBadDocument)
	}
	if problem := metadataProblem(d.Metadata); problem != "" {
		return fmt.Errorf("%w: %s", ErrBadDocument, problem)
	}
	return nil
}

// CheckPassages gives ErrBadDocument with the passage's number.
func CheckPassages(passages []Passage) error {
	if len(passages) > MaxStaged {
		return fmt.Errorf("%w: more than %d passages at once", ErrBadDocument, MaxStaged)
	}
	seen := make(map[int]bool, len(passages))
	for _, p := range passages {
		switch {
		case p.N < 0 || p.N >= MaxPassages || seen[p.N]:
			return fmt.Errorf("%w: passage %d comes twice, or isn't one of 0 to %d", ErrBadDocument, p.N, MaxPassages-1)
		case p.Page < 0:
			return fmt.Errorf("%w: passage %d has a page below 0", ErrBadDocument, p.N)
		case p.Text == "" || len(p.Text) > MaxTextBytes || !utf8.ValidString(p.Text):
			return fmt.Errorf("%w: passage %d must be UTF-8 of 1 to %d bytes", ErrBadDocument, p.N, MaxTextBytes)
		case len(p.Vector) != len(passages[0].Vector):
			return fmt.Errorf("%w: passage %d has a vector of another length", ErrBadDocument, p.N)
		}
		if len(p.Vector) > 0 {
			if err := (Shape{Dimensions: len(p.Vector)}).checkVector(p.Vector); err != nil {
				return fmt.Errorf("%w: passage %d: %w", ErrBadDocument, p.N, err)
			}
		}
		for _, h := range p.Headings {
			if len(h) > MaxTitleBytes || !utf8.ValidString(h) {
				return fmt.Errorf("%w: a heading of passage %d is too long or not UTF-8", ErrBadDocument, p.N)
			}
		}
		seen[p.N] = true
	}
	return nil
}

// CheckStaged gives ErrBadDocument for what Stage can't take.
func CheckStaged(doc string, version int64, passages []Passage) error {
	if err := CheckDocID(doc); err != nil {
		return err
	}
	if version < 1 {
		return fmt.Errorf("%w: it needs a version", ErrBadDocument)
	}
	return CheckPassages(passages)
}

// CheckFilter refuses, as ErrBadFilter, a filter of conditions that can't be applied to
// any property; unlike Shape's own check it knows no list of filterable ones.
func CheckFilter(filter []Condition) error {
	properties := make([]string, 0, len(filter))
	for _, c := range filter {
		properties = append(properties, c.Property)
	}
	return Shape{Dimensions: 1, Filterable: properties}.CheckQuery(VectorQuery{Vector: []float32{1}, TopK: 1, Filter: filter})
}
