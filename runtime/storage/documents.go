package storage

import (
	"context"
	"errors"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// Bounds of Documents, the same for every driver.
const (
	// MaxTitleBytes bounds a document's title, URL and source, each.
	MaxTitleBytes = 2 << 10
	// MaxPassages is how many passages a document has at most.
	MaxPassages = 1 << 20
	// MaxStaged is how many passages one Stage takes at most.
	MaxStaged = 1000
	// TombstonesKept is how long a removal is told by Changes. Drivers may forget older
	// ones.
	TombstonesKept = 24 * time.Hour
)

var (
	// ErrBadDocument: a document or passage beyond the bounds of this package, or an id
	// that CheckDocID refuses.
	ErrBadDocument = errors.New("a document that can't be kept")
	// ErrOldVersion: a newer version of the document was published, or it or all of the
	// tenant was removed after this version had begun, or NextVersion never gave it.
	ErrOldVersion = errors.New("a newer version of the document is there, or it was removed")
	// ErrIncomplete: not all passages of the version were staged.
	ErrIncomplete = errors.New("passages of this version are missing")
	// ErrChangesForgotten: changes after that sequence number can't be told any more. Read
	// all anew: Head, then List to its end, then Changes after that Head.
	ErrChangesForgotten = errors.New("these changes are forgotten: read all anew")
)

// Document is one published version of a tenant's document.
type Document struct {
	// ID is the caller's, see CheckDocID.
	ID string `json:"id"`
	// Version is from NextVersion: a newer one is greater.
	Version int64 `json:"version"`
	// Change is the sequence number with which this version was published. The store
	// sets it.
	Change int64  `json:"change"`
	Title  string `json:"title,omitempty"`
	URL    string `json:"url,omitempty"`
	Source string `json:"source,omitempty"`
	// Metadata is the caller's, in the bounds of Chunk.Metadata.
	Metadata map[string]any `json:"metadata,omitempty"`
	// Passages is how many there are, 1 or more.
	Passages int `json:"passages"`
	// Bytes of all passages' texts.
	Bytes int64 `json:"bytes"`
	// ContentType of what was ingested.
	ContentType string `json:"contentType,omitempty"`
	// EmbeddingModel made the passages' vectors; empty where they have none. Where they are
	// kept elsewhere it also says in which index.
	EmbeddingModel string `json:"embeddingModel,omitempty"`
	// Created is when the first version was published, Updated when this one was, both
	// in milliseconds. Updated is the caller's, and needed; the store sets Created.
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
}

// Passage is one part of a document's version: what is found, and quoted whole.
type Passage struct {
	// N counts the version's passages from 0.
	N int `json:"n"`
	// Text is kept whole: not empty, UTF-8, up to MaxTextBytes.
	Text string `json:"text"`
	// Headings lead to the passage, outermost first.
	Headings []string `json:"headings,omitempty"`
	// Page of a paged document, from 1; 0 if it has none.
	Page int `json:"page,omitempty"`
	// Vector may be nil. All of one version have the same length, or none has any.
	Vector []float32 `json:"vector,omitempty"`
}

// PassageKey names a passage.
type PassageKey struct {
	Doc     string
	Version int64
	N       int
}

// Change tells what became of one document. Of several changes of one document only the
// last is told.
type Change struct {
	// Seq is greater than that of every change of the tenant before it, also of those
	// before an erasure.
	Seq int64
	Doc string
	// Document is what is there now; nil if it was removed.
	Document *Document
}

// Documents keeps documents with their passages. A version is staged in parts, which
// nobody finds, and published whole: whoever reads finds the version before or this one,
// never a part of either.
type Documents interface {
	// NextVersion gives a number greater than every one before it of this tenant, on
	// whatever replica.
	NextVersion(ctx context.Context, t tenancy.ID) (int64, error)
	// Stage keeps passages of a version that isn't published; those of the same N are
	// replaced. All or none of a call of at most MaxStaged. Nobody finds them. The first
	// ones settle whether the version has vectors and how long they are. Of a version that
	// is published already nothing is kept, which is no error; ErrOldVersion is as Publish's.
	// A version for which nothing was staged for a day and that wasn't published may be
	// dropped.
	Stage(ctx context.Context, t tenancy.ID, doc string, version int64, passages []Passage) error
	// Publish makes d.Version, of which passages 0 to d.Passages-1 are staged, the one
	// that is found, and drops what there is of older ones and staged beyond d.Passages. In one step for readers, and
	// durable when it returns. ErrIncomplete, ErrOldVersion, or ErrBadDocument change
	// nothing. Publishing what is published already is no error. It returns the document
	// as it is kept.
	Publish(ctx context.Context, t tenancy.ID, d Document) (Document, error)
	// Remove drops the document, all its passages and what is staged of it, and tells
	// whether it was there. A version that began before can't be published any more, for
	// TombstonesKept at the least. Removing what isn't there is no change.
	Remove(ctx context.Context, t tenancy.ID, doc string) (bool, error)
	// Document gives the published version of doc, and whether there is one.
	Document(ctx context.Context, t tenancy.ID, doc string) (Document, bool, error)
	// List gives up to limit documents in the order of their ids, starting after cursor
	// ("" = the beginning), and the cursor of the next page ("" = the end). A limit below
	// 1 is ErrBadLimit, a cursor that wasn't made for this tenant ErrBadCursor.
	List(ctx context.Context, t tenancy.ID, limit int, cursor string) ([]Document, string, error)
	// Passages gives the published version's passages from N = from on, up to limit, in
	// order; fewer than there are if limit or a size the driver chooses is reached, but at
	// least one. None if version isn't the published one. Vectors only if asked for. A
	// limit below 1 is ErrBadLimit.
	Passages(ctx context.Context, t tenancy.ID, doc string, version int64, from, limit int, vectors bool) ([]Passage, error)
	// Vectors gives the vectors of published passages, in the order of keys; nil for each
	// that isn't there or has none.
	Vectors(ctx context.Context, t tenancy.ID, keys []PassageKey) ([][]float32, error)
	// Head is the sequence number of the tenant's latest change, 0 before the first.
	// What a change made on another replica is seen once it has returned there.
	Head(ctx context.Context, t tenancy.ID) (int64, error)
	// Changes gives up to limit changes after since, in order. ErrChangesForgotten if
	// removals after since may have been forgotten, or since is beyond Head; since 0 never
	// is: it tells no removals. Reading on from its first page may be, so a tenant of more
	// documents than limit is read by List. A limit below 1 is ErrBadLimit.
	Changes(ctx context.Context, t tenancy.ID, since int64, limit int) ([]Change, error)
	// Await returns once Head is other than after, with that Head, or with ctx's error: it
	// is less once the tenant was erased. It may be up to 2 s late.
	Await(ctx context.Context, t tenancy.ID, after int64) (int64, error)
	// Totals counts the tenant's documents and passages without a scan.
	Totals(ctx context.Context, t tenancy.ID) (documents, passages int64, err error)
}
