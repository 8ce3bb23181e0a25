package rag

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/outbound"
	"github.com/crispy-enigma/crispy-enigma/runtime/rag/chunk"
	"github.com/crispy-enigma/crispy-enigma/runtime/rag/extract"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// fetchTime bounds fetching a document from its address.
const fetchTime = 30 * time.Second

var (
	epoch    = time.UnixMilli(1)
	errFetch = errors.New("a document that can't be fetched")
)

// prepared is a document cut into passages, without vectors.
type prepared struct {
	title       string
	contentType string
	passages    []storage.Passage
	bytes       int64
	// digest of what was cut, by which a job knows that what it staged is the same.
	digest string
}

// fetch gets the document from its address.
func (f *Feature) fetch(ctx context.Context, t *tenancy.Tenant, m *material) error {
	done, err := begin(ctx, f.fetches)
	if err != nil {
		return err
	}
	defer done()
	client := outbound.New(outbound.Policy{
		Hosts: t.Config.Documents.FetchHosts, Ports: f.FetchPorts, MaxBytes: uploadBytes(t.Config), Timeout: fetchTime,
	}, f.Outbound)
	defer client.Close()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.URL, nil)
	if err != nil {
		return httpapi.Invalid("url", "must be an http or https address without a login")
	}
	req.Header.Set("Accept", "text/html, text/markdown, text/plain, application/pdf, "+extract.TypeDOCX)
	req.Header.Set("User-Agent", "crispy-enigma")
	resp, err := client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("fetching a document: %w: %w", errFetch, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("fetching a document: %w: its host answers %d", errFetch, resp.StatusCode)
	}
	if m.data, err = io.ReadAll(resp.Body); err != nil {
		return fmt.Errorf("fetching a document: %w: %w", errFetch, err)
	}
	m.Fetch = false
	m.ContentType = cmp.Or(m.ContentType, resp.Header.Get("Content-Type"))
	if u, err := url.Parse(m.URL); err == nil {
		m.Name = path.Base(u.Path)
	}
	if len(m.data) == 0 {
		return extract.ErrEmpty
	}
	return nil
}

// prepare reads and cuts a document.
func (f *Feature) prepare(ctx context.Context, m *material) (*prepared, error) {
	d, err := f.Extractor.Extract(ctx, extract.Input{Name: m.Name, ContentType: m.ContentType, Data: m.data})
	if err != nil {
		return nil, fmt.Errorf("reading a document: %w", err)
	}
	cuts, err := chunk.Split(d.Blocks, chunk.Options{MaxChars: m.MaxChars, Overlap: m.Overlap})
	if err != nil {
		return nil, fmt.Errorf("cutting a document: %w", err)
	}
	if len(cuts) == 0 {
		return nil, extract.ErrEmpty
	}
	p := &prepared{title: cmp.Or(m.Title, d.Title), contentType: d.ContentType, passages: make([]storage.Passage, len(cuts))}
	sum := sha256.New()
	for i, c := range cuts {
		p.passages[i] = storage.Passage{N: i, Text: c.Text, Headings: c.Headings, Page: c.Page}
		p.bytes += int64(len(c.Text))
		_, _ = fmt.Fprintf(sum, "%d %s", len(c.Text), c.Text) // a hash takes everything
	}
	p.digest = hex.EncodeToString(sum.Sum(nil)[:16])
	return p, nil
}

// room tells whether the tenant may keep so many passages in place of what it has of the
// document.
func (f *Feature) room(ctx context.Context, t *tenancy.Tenant, doc string, passages int) error {
	most := int64(cmp.Or(t.Config.Documents.MaxPassages, tenantconfig.DefaultMaxPassages))
	_, have, err := f.Documents.Totals(ctx, t.ID)
	if err != nil {
		return fmt.Errorf("counting documents: %w", err)
	}
	if have+int64(passages) <= most {
		return nil
	}
	old, there, err := f.Documents.Document(ctx, t.ID, doc)
	if err != nil {
		return fmt.Errorf("reading a document: %w", err)
	}
	if there {
		have -= int64(old.Passages)
	}
	if have+int64(passages) <= most {
		return nil
	}
	return &httpapi.Error{
		Status: http.StatusConflict, Code: "documents_limit",
		Message: fmt.Sprintf("the document has %d passages, and of the tenant's %d only %d are free; remove documents, or have documents.maxPassages raised", passages, most, max(0, most-have)),
	}
}

// embedded is what the vector of a passage is made of: the text with what leads to it.
func embedded(title string, p storage.Passage) string {
	lead := strings.Join(append([]string{title}, p.Headings...), " > ")
	if lead = strings.Trim(lead, " >"); lead == "" {
		return p.Text
	}
	return lead + "\n" + p.Text
}
