package rag

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

const (
	defaultPage = 50
	maxPage     = 200
)

// States of a document.
const (
	stateIndexed  = "indexed"
	stateIndexing = "indexing"
)

// documentInfo is one document; times in milliseconds since 1970.
type documentInfo struct {
	DocID string `json:"docId"`
	// State is indexed once it is found, also while a newer version is on its way.
	State            string         `json:"state"`
	Title            string         `json:"title,omitempty"`
	URL              string         `json:"url,omitempty"`
	Source           string         `json:"source,omitempty"`
	Metadata         map[string]any `json:"metadata,omitempty"`
	ContentType      string         `json:"contentType,omitempty"`
	Chunks           int            `json:"chunks"`
	Bytes            int64          `json:"bytes"`
	EmbeddingModelID string         `json:"embeddingModelId,omitempty"`
	// JobID of the version that is on its way.
	JobID     string `json:"jobId,omitempty"`
	CreatedAt int64  `json:"createdAt,omitempty"`
	UpdatedAt int64  `json:"updatedAt,omitempty"`
}

func infoOf(d storage.Document) documentInfo {
	return documentInfo{
		DocID: d.ID, State: stateIndexed, Title: d.Title, URL: d.URL, Source: d.Source, Metadata: d.Metadata,
		ContentType: d.ContentType, Chunks: d.Passages, Bytes: d.Bytes, EmbeddingModelID: modelOf(d),
		CreatedAt: d.Created.UnixMilli(), UpdatedAt: d.Updated.UnixMilli(),
	}
}

type listed struct {
	Documents  []documentInfo `json:"documents"`
	NextCursor string         `json:"nextCursor,omitempty"`
}

// list answers GET /documents, in the order of their ids.
func (f *Feature) list(ctx context.Context, c httpapi.Call, _ struct{}) (httpapi.Answer, error) {
	if err := enabled(c.Tenant); err != nil {
		return httpapi.Answer{}, err
	}
	limit, err := number(c, "limit", 1, maxPage, defaultPage)
	if err != nil {
		return httpapi.Answer{}, err
	}
	found, next, err := f.Documents.List(ctx, c.Tenant.ID, limit, c.Query.Get("cursor"))
	if errors.Is(err, storage.ErrBadCursor) {
		return httpapi.Answer{}, httpapi.Invalid("cursor", "must be the nextCursor of an earlier answer, or be left out")
	}
	if err != nil {
		return httpapi.Answer{}, fmt.Errorf("listing documents: %w", err)
	}
	out := listed{Documents: make([]documentInfo, len(found)), NextCursor: next}
	for i, d := range found {
		out.Documents[i] = infoOf(d)
	}
	return httpapi.Answer{Data: out}, nil
}

// show answers GET /documents/{docId}.
func (f *Feature) show(ctx context.Context, c httpapi.Call, _ struct{}) (httpapi.Answer, error) {
	id, err := docID(c)
	if err != nil {
		return httpapi.Answer{}, err
	}
	d, there, err := f.Documents.Document(ctx, c.Tenant.ID, id)
	if err != nil {
		return httpapi.Answer{}, fmt.Errorf("reading a document: %w", err)
	}
	job, err := f.jobOf(ctx, c.Tenant.ID, id)
	if err != nil {
		return httpapi.Answer{}, fmt.Errorf("looking for a document's job: %w", err)
	}
	info := documentInfo{DocID: id, State: stateIndexing}
	if there {
		info = infoOf(d)
	} else if job == "" {
		return httpapi.Answer{}, noDocument()
	}
	info.JobID = job
	return httpapi.Answer{Data: info}, nil
}

// chunkInfo is one passage.
type chunkInfo struct {
	ChunkID  string   `json:"chunkId"`
	Text     string   `json:"text"`
	Headings []string `json:"headings,omitempty"`
	Page     int      `json:"page,omitempty"`
}

// chunks answers GET /documents/{docId}/chunks?from&limit.
func (f *Feature) chunks(ctx context.Context, c httpapi.Call, _ struct{}) (httpapi.Answer, error) {
	id, err := docID(c)
	if err != nil {
		return httpapi.Answer{}, err
	}
	from, err := number(c, "from", 0, storage.MaxPassages, 0)
	if err != nil {
		return httpapi.Answer{}, err
	}
	limit, err := number(c, "limit", 1, maxPage, defaultPage)
	if err != nil {
		return httpapi.Answer{}, err
	}
	for range searchAttempts {
		d, there, err := f.Documents.Document(ctx, c.Tenant.ID, id)
		if err != nil {
			return httpapi.Answer{}, fmt.Errorf("reading a document: %w", err)
		}
		if !there {
			return httpapi.Answer{}, noDocument()
		}
		out := struct {
			DocID  string      `json:"docId"`
			Total  int         `json:"total"`
			Chunks []chunkInfo `json:"chunks"`
		}{id, d.Passages, []chunkInfo{}}
		if from >= d.Passages {
			return httpapi.Answer{Data: out}, nil
		}
		found, err := f.Documents.Passages(ctx, c.Tenant.ID, id, d.Version, from, limit, false)
		if err != nil {
			return httpapi.Answer{}, fmt.Errorf("reading passages: %w", err)
		}
		if len(found) == 0 {
			continue // replaced meanwhile
		}
		for _, p := range found {
			out.Chunks = append(out.Chunks, chunkInfo{ChunkID: chunkID(id, p.N), Text: p.Text, Headings: p.Headings, Page: p.Page})
		}
		return httpapi.Answer{Data: out}, nil
	}
	return httpapi.Answer{}, changing()
}

// remove answers DELETE /documents/{docId}: it says whether there was one.
func (f *Feature) remove(ctx context.Context, c httpapi.Call, _ struct{}) (httpapi.Answer, error) {
	if err := mayWrite(c); err != nil {
		return httpapi.Answer{}, err
	}
	id, err := docID(c)
	if err != nil {
		return httpapi.Answer{}, err
	}
	deleted, err := f.drop(ctx, c, id)
	if err != nil {
		return httpapi.Answer{}, told(err)
	}
	return httpapi.Answer{Data: struct {
		Deleted bool `json:"deleted"`
	}{deleted}}, nil
}

func (f *Feature) drop(ctx context.Context, c httpapi.Call, id string) (bool, error) {
	if remote(c.Tenant.Config) {
		if err := f.queueSweep(ctx, c, id); err != nil {
			return false, err
		}
	}
	deleted, err := f.Documents.Remove(ctx, c.Tenant.ID, id)
	if err != nil {
		return false, fmt.Errorf("removing a document: %w", err)
	}
	objects := f.Originals(c.Tenant.ID)
	if objects == nil {
		return deleted, nil
	}
	// Those of a version that begins from now on stay.
	next, err := f.Documents.NextVersion(ctx, c.Tenant.ID)
	if err != nil {
		return false, fmt.Errorf("removing originals: %w", err)
	}
	if err := dropBefore(ctx, objects, c.Tenant.ID, id, next); err != nil {
		return false, &httpapi.Error{
			Status: http.StatusServiceUnavailable, Code: "unavailable", Cause: fmt.Errorf("removing originals: %w", err),
			Message: "the document is removed, but not what was uploaded of it: send the request again",
		}
	}
	return deleted, nil
}

// queueSweep queues the forgetting of what is about to be removed, so that a crash
// leaves none of it in the index of vectors.
func (f *Feature) queueSweep(ctx context.Context, c httpapi.Call, id string) error {
	d, there, err := f.Documents.Document(ctx, c.Tenant.ID, id)
	if err != nil {
		return fmt.Errorf("reading a document: %w", err)
	}
	if !there {
		return nil
	}
	_, err = f.add(ctx, c, kindSweep, note{DocID: id, Old: &version{d.Version, d.Passages}}, nil)
	return err
}

// docID is the one of the path, in which its slashes are written %2F.
func docID(c httpapi.Call) (string, error) {
	if err := enabled(c.Tenant); err != nil {
		return "", err
	}
	id := c.Path("docId")
	if storage.CheckDocID(id) != nil {
		return "", httpapi.Invalid("docId", "must be 1 to 256 bytes without control characters, percent-encoded in the path")
	}
	return id, nil
}

func noDocument() error {
	return &httpapi.Error{
		Status: http.StatusNotFound, Code: "document_not_found",
		Message: "there is no such document; check the docId, whose slashes are written %2F in a path",
	}
}

func chunkID(doc string, n int) string { return doc + "#" + strconv.Itoa(n) }

// number reads a parameter of the query.
func number(c httpapi.Call, name string, least, most, unset int) (int, error) {
	text := c.Query.Get(name)
	if text == "" {
		return unset, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, httpapi.Invalid(name, fmt.Sprintf("must be a number from %d to %d", least, most))
	}
	return n, nil
}
