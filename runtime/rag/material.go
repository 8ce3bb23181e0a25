package rag

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/rag/chunk"
	"github.com/crispy-enigma/crispy-enigma/runtime/rag/extract"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

// formRoom is what a form, or JSON, may have beside the document.
const formRoom = 1 << 20

// IngestRequest is the JSON body of POST /ingest. A form has fields of the same names, of
// which metadata and chunking are JSON, and the document as its file.
type IngestRequest struct {
	// DocID is the caller's name of the document.
	DocID string `json:"docId"`
	// Text of the document, or none: then URL is fetched.
	Text *string `json:"text"`
	// URL is where the document is to be found, and is fetched if there is no Text.
	URL    string `json:"url"`
	Title  string `json:"title"`
	Source string `json:"source"`
	// Metadata can be filtered by.
	Metadata map[string]any `json:"metadata"`
	Chunking *Chunking      `json:"chunking"`
	// ContentType of Text: text/plain, text/markdown or text/html. Without it a docId that
	// ends in .md or .html tells, then the text itself.
	ContentType string `json:"contentType"`
	// Async answers at once, whatever the document's size.
	Async bool `json:"async"`
}

// Chunking of one document, in characters.
type Chunking struct {
	MaxChunkSize *int `json:"maxChunkSize"`
	Overlap      *int `json:"overlap"`
}

// material is a document on its way in: what a job's payload holds.
type material struct {
	DocID    string         `json:"docId"`
	Title    string         `json:"title,omitempty"`
	URL      string         `json:"url,omitempty"`
	Source   string         `json:"source,omitempty"`
	Metadata map[string]any `json:"metadata,omitempty"`
	MaxChars int            `json:"maxChars"`
	Overlap  *int           `json:"overlap,omitempty"`
	// Name and ContentType of data, as they were declared.
	Name        string `json:"name,omitempty"`
	ContentType string `json:"contentType,omitempty"`
	// Fetch tells that data is still at URL.
	Fetch bool `json:"-"`
	Async bool `json:"-"`

	data []byte
}

func maxBody(cfg *tenantconfig.Config) int64 { return uploadBytes(cfg) + formRoom }

func uploadBytes(cfg *tenantconfig.Config) int64 {
	return cmp.Or(cfg.Documents.UploadBytes, int64(tenantconfig.DefaultUploadBytes))
}

// readMaterial takes a request apart.
func readMaterial(c httpapi.Call, u *httpapi.Upload) (*material, error) {
	var req IngestRequest
	switch {
	case u.IsJSON():
		if err := u.Decode(&req); err != nil {
			return nil, err
		}
	case u.Fields != nil:
		if err := req.fromForm(u.Fields); err != nil {
			return nil, err
		}
	default:
		q := c.Query
		req = IngestRequest{DocID: q.Get("docId"), URL: q.Get("url"), Title: q.Get("title"), Source: q.Get("source"), Async: q.Get("async") == "true"}
	}
	return req.material(c.Tenant.Config, u.File)
}

func (r *IngestRequest) fromForm(fields map[string]string) error {
	for name, text := range fields {
		switch name {
		case "docId":
			r.DocID = text
		case "text":
			r.Text = &text
		case "url":
			r.URL = text
		case "title":
			r.Title = text
		case "source":
			r.Source = text
		case "contentType":
			r.ContentType = text
		case "async":
			var err error
			if r.Async, err = strconv.ParseBool(text); err != nil {
				return httpapi.Invalid(name, "must be true or false")
			}
		case "metadata":
			if strings.TrimSpace(text) != "" && json.Unmarshal([]byte(text), &r.Metadata) != nil {
				return httpapi.Invalid(name, "must be a JSON object")
			}
		case "chunking":
			if strings.TrimSpace(text) != "" && json.Unmarshal([]byte(text), &r.Chunking) != nil {
				return httpapi.Invalid(name, `must be JSON such as {"maxChunkSize":1200,"overlap":150}`)
			}
		}
	}
	return nil
}

// material checks what needs nothing of the document itself.
func (r *IngestRequest) material(cfg *tenantconfig.Config, file *httpapi.File) (*material, error) {
	m := &material{
		DocID: r.DocID, Title: r.Title, URL: r.URL, Source: r.Source, Metadata: r.Metadata, Async: r.Async,
		ContentType: r.ContentType,
	}
	if err := m.takeFrom(r, file); err != nil {
		return nil, err
	}
	if int64(len(m.data)) > uploadBytes(cfg) {
		return nil, &httpapi.Error{
			Status: http.StatusRequestEntityTooLarge, Code: "payload_too_large",
			Message: "the document has more than " + strconv.FormatInt(uploadBytes(cfg), 10) + " bytes; split it",
		}
	}
	if ds := m.problems(); ds != nil {
		return nil, &httpapi.Error{Status: http.StatusBadRequest, Code: "invalid_request", Message: "the request has invalid fields", Details: ds}
	}
	return m, m.cutBy(cfg.Documents.Chunking, r.Chunking)
}

// takeFrom finds the document: a text, a file, or what is at the address.
func (m *material) takeFrom(r *IngestRequest, file *httpapi.File) error {
	switch {
	case file != nil && r.Text != nil:
		return httpapi.Invalid("text", "send a text or a file, not both")
	case file != nil:
		m.Name, m.data = file.Name, file.Data
		m.ContentType = cmp.Or(m.ContentType, file.ContentType)
		if m.ContentType == "application/octet-stream" {
			m.ContentType = "" // says nothing
		}
	case r.Text != nil:
		m.data = []byte(*r.Text)
		m.nameText()
	case r.URL != "":
		m.Fetch = true
	default:
		return httpapi.Invalid("text", "send the document as text, as a file, or name its url")
	}
	if !m.Fetch && len(bytes.TrimSpace(m.data)) == 0 {
		return told(extract.ErrEmpty)
	}
	return nil
}

// nameText lets a docId such as notes.md tell what a text is. Only text can come as text.
func (m *material) nameText() {
	switch strings.ToLower(path.Ext(m.DocID)) {
	case ".md", ".markdown", ".html", ".htm":
		if m.ContentType == "" {
			m.Name = m.DocID
		}
	}
}

func (m *material) problems() []httpapi.Detail {
	var ds []httpapi.Detail
	wrong := func(path, message string) { ds = append(ds, httpapi.Detail{Path: path, Message: message}) }
	if err := storage.CheckDocID(m.DocID); err != nil {
		wrong("docId", "must be 1 to 256 bytes without control characters, and without empty or dot segments between slashes")
	}
	for _, f := range []struct{ path, text string }{{"title", m.Title}, {"url", m.URL}, {"source", m.Source}} {
		if len(f.text) > storage.MaxTitleBytes || !utf8.ValidString(f.text) {
			wrong(f.path, "must be UTF-8 of at most 2048 bytes")
		}
	}
	if u, err := url.Parse(m.URL); m.URL != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil) {
		wrong("url", "must be an http or https address without a login")
	}
	if len(m.ContentType) > 256 {
		wrong("contentType", "must have at most 256 bytes")
	}
	return append(ds, m.metadataProblems()...)
}

// metadataProblems checks one property at a time, so that each has its path.
func (m *material) metadataProblems() (ds []httpapi.Detail) {
	probe := storage.Document{ID: "x", Version: 1, Passages: 1, Updated: epoch}
	for name, value := range m.Metadata {
		probe.Metadata = map[string]any{name: value}
		if err := storage.CheckDocument(probe); err != nil {
			at := "metadata." + name
			if len(name) > storage.MaxPropertyBytes || strings.ContainsAny(name, ".[]\"") {
				at = "metadata"
			}
			ds = append(ds, httpapi.Detail{Path: at, Message: reason(err, storage.ErrBadDocument)})
		}
	}
	probe.Metadata = m.Metadata
	if err := storage.CheckDocument(probe); ds == nil && err != nil {
		ds = append(ds, httpapi.Detail{Path: "metadata", Message: reason(err, storage.ErrBadDocument)})
	}
	return ds
}

// cutBy settles how the document is cut: as asked, else as the tenant says.
func (m *material) cutBy(tenants tenantconfig.Chunking, asked *Chunking) error {
	m.MaxChars, m.Overlap = cmp.Or(tenants.MaxChars, tenantconfig.DefaultChunkChars), tenants.Overlap
	if asked == nil {
		return nil
	}
	if size := asked.MaxChunkSize; size != nil {
		if *size < chunk.MinChars || *size > chunk.MaxChars {
			return httpapi.Invalid("chunking.maxChunkSize", "must be from 100 to 10000 characters")
		}
		if *size != m.MaxChars {
			m.MaxChars, m.Overlap = *size, nil // the tenant's overlap was for its own size
		}
	}
	if o := asked.Overlap; o != nil {
		if *o < 0 || *o*2 >= m.MaxChars {
			return httpapi.Invalid("chunking.overlap", "must be 0 or more, and less than half of maxChunkSize")
		}
		m.Overlap = o
	}
	return nil
}

// payload of a job: one line of JSON, then the document as it came.
func (m *material) payload() ([]byte, error) {
	head, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	return append(append(head, '\n'), m.data...), nil
}

var errPayload = errors.New("a job's payload that this build can't read")

func materialOf(payload []byte) (*material, error) {
	head, data, ok := bytes.Cut(payload, []byte("\n"))
	m := &material{}
	if !ok || json.Unmarshal(head, m) != nil || m.DocID == "" {
		return nil, errPayload
	}
	m.data = data
	return m, nil
}
