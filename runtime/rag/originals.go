package rag

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// originalsOf begins the keys of all versions of a document as it came. No two documents
// share one: PathEscape never writes an exclamation mark.
func originalsOf(doc string) string {
	name := url.PathEscape(doc)
	if len(name) > 400 {
		sum := sha256.Sum256([]byte(doc))
		name = "!" + hex.EncodeToString(sum[:])
	}
	return "documents/" + name + "/"
}

func originalKey(doc string, version int64) string {
	return originalsOf(doc) + strconv.FormatInt(version, 10)
}

// keepOriginal keeps the document as it came, where the tenant has a place for that.
func (in *intake) keepOriginal(ctx context.Context) error {
	objects := in.f.Originals(in.tenant.ID)
	if objects == nil {
		return nil
	}
	err := objects.Put(ctx, in.tenant.ID, originalKey(in.m.DocID, in.version), int64(len(in.m.data)), bytes.NewReader(in.m.data))
	if err != nil {
		return originalsFailed(err)
	}
	return nil
}

func originalsFailed(err error) error {
	return &httpapi.Error{
		Status: http.StatusServiceUnavailable, Code: "unavailable", RetryAfter: 5 * time.Second, Cause: fmt.Errorf("keeping originals: %w", err),
		Message: "the store of uploaded documents can't be reached; nothing was changed, try again shortly",
	}
}

// dropOriginal takes back what keepOriginal kept of a version that isn't published.
func (f *Feature) dropOriginal(ctx context.Context, t tenancy.ID, doc string, version int64) {
	objects := f.Originals(t)
	if objects == nil {
		return
	}
	after, done := afterwards(ctx)
	defer done()
	if err := objects.Delete(after, t, originalKey(doc, version)); err != nil {
		f.Logger.Warn("an original that isn't needed stays until its document is ingested or removed", "tenant", t.String(), "error", err)
	}
}

// dropOriginals removes those of versions before the one that was published. What fails is
// done with the next ingest of the document, or its removal.
func (in *intake) dropOriginals(ctx context.Context) {
	objects := in.f.Originals(in.tenant.ID)
	if objects == nil {
		return
	}
	after, done := afterwards(ctx)
	defer done()
	if err := dropBefore(after, objects, in.tenant.ID, in.m.DocID, in.version); err != nil {
		in.f.Logger.Warn("originals of older versions stay until the document's next ingest", "tenant", in.tenant.ID.String(), "error", err)
	}
}

// dropBefore removes the originals of versions before version.
func dropBefore(ctx context.Context, objects storage.Objects, t tenancy.ID, doc string, version int64) error {
	prefix, after := originalsOf(doc), ""
	for {
		const page = 100
		keys, err := objects.Keys(ctx, t, prefix, after, page)
		if err != nil {
			return err
		}
		for _, key := range keys {
			n, err := strconv.ParseInt(strings.TrimPrefix(key, prefix), 10, 64)
			if err != nil || n >= version {
				continue
			}
			if err := objects.Delete(ctx, t, key); err != nil {
				return err
			}
		}
		if len(keys) < page {
			return nil
		}
		after = keys[len(keys)-1]
	}
}
