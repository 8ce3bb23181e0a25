package mcpapi

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

const (
	// scheme begins the address of a document; its escaped id follows.
	scheme = "document:///"
	// pageSize is how many documents one resources/list tells.
	pageSize = 100
	// maxResource bounds what is read of one document, in bytes.
	maxResource = 1 << 20
	// passagesAtOnce are read in one go.
	passagesAtOnce = 200
)

// URI is the address of a document.
func uriOf(doc string) string { return scheme + url.PathEscape(doc) }

// listResources answers resources/list from the store's own pages.
func (x *caller) listResources(ctx context.Context, req *mcp.ListResourcesRequest) (mcp.Result, error) {
	out := &mcp.ListResourcesResult{Resources: []*mcp.Resource{}}
	docs := x.documents()
	if docs == nil {
		return out, nil
	}
	cursor := ""
	if req.Params != nil {
		cursor = req.Params.Cursor
	}
	list, next, err := docs.List(ctx, x.c.Tenant.ID, pageSize, cursor)
	if errors.Is(err, storage.ErrBadCursor) {
		return nil, &jsonrpc.Error{Code: jsonrpc.CodeInvalidParams, Message: "the cursor is not one of this list: start without one"}
	}
	if err != nil {
		return nil, err
	}
	for _, d := range list {
		out.Resources = append(out.Resources, &mcp.Resource{
			URI: uriOf(d.ID), Name: d.ID, Title: firstLine(d.Title), MIMEType: "text/plain", Size: d.Bytes,
		})
	}
	out.NextCursor = next
	return out, nil
}

// readResource answers resources/read with a document's text.
func (x *caller) readResource(ctx context.Context, req *mcp.ReadResourceRequest) (mcp.Result, error) {
	uri := req.Params.URI
	id, ok := strings.CutPrefix(uri, scheme)
	id, err := url.PathUnescape(id)
	docs := x.documents()
	if !ok || err != nil || docs == nil {
		return nil, mcp.ResourceNotFoundError(uri)
	}
	if err := x.admit(ctx); err != nil {
		return nil, err
	}
	// A document that is replaced meanwhile is read anew; one of twice is enough.
	for range 3 {
		d, found, err := docs.Document(ctx, x.c.Tenant.ID, id)
		if errors.Is(err, storage.ErrBadDocument) || err == nil && !found {
			return nil, mcp.ResourceNotFoundError(uri)
		}
		if err != nil {
			return nil, err
		}
		text, whole, err := x.textOf(ctx, d)
		if err != nil {
			return nil, err
		}
		if whole {
			return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{URI: uri, MIMEType: "text/plain", Text: text}}}, nil
		}
	}
	return nil, &jsonrpc.Error{Code: jsonrpc.CodeInternalError, Message: "the document is being replaced: try again"}
}

// textOf joins a version's passages. It is false if the version went away meanwhile.
func (x *caller) textOf(ctx context.Context, d storage.Document) (string, bool, error) {
	var b strings.Builder
	last := ""
	for n := 0; n < d.Passages; {
		list, err := x.documents().Passages(ctx, x.c.Tenant.ID, d.ID, d.Version, n, passagesAtOnce, false)
		if err != nil {
			return "", false, err
		}
		if len(list) == 0 {
			return "", false, nil
		}
		for _, p := range list {
			fresh := p.Text[repeated(last, p.Text):]
			if b.Len() > 0 && len(fresh) == len(p.Text) {
				b.WriteString("\n\n")
			}
			b.WriteString(fresh)
			last = p.Text
		}
		n += len(list)
		if b.Len() > maxResource {
			text, cut := b.String(), maxResource
			for !utf8.RuneStart(text[cut]) {
				cut--
			}
			return text[:cut] + "\n(cut here: the document is longer)", true, nil
		}
	}
	return b.String(), true, nil
}

// leastOverlap is how many bytes must be the same to be taken for a repetition.
const leastOverlap = 16

// repeated is how many bytes of next repeat the end of the passage before.
func repeated(before, next string) int {
	for n := min(len(before), len(next)/2); n >= leastOverlap; n-- {
		if strings.HasSuffix(before, next[:n]) && utf8.RuneStart(next[n]) {
			return n
		}
	}
	return 0
}
