package playground

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io"
	"mime"
	"net/http"
	"path"

	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
)

//go:embed page
var files embed.FS

// policy lets the page use its own files and API, and speech that it was sent, alone.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; media-src blob:; img-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Feature is GET / and what the page consists of.
type Feature struct{}

// New makes the feature.
func New() *Feature { return &Feature{} }

// Mount adds the feature's routes.
func (f *Feature) Mount(d *httpapi.Door) {
	httpapi.Handle(d, http.MethodGet, "/", httpapi.Route{Open: true}, f.index)
	httpapi.Handle(d, http.MethodGet, "/playground/{file}", httpapi.Route{Open: true}, f.file)
}

func (f *Feature) index(_ context.Context, c httpapi.Call, _ struct{}) (httpapi.Answer, error) {
	return serve(c, "index.html")
}

func (f *Feature) file(_ context.Context, c httpapi.Call, _ struct{}) (httpapi.Answer, error) {
	return serve(c, c.Path("file"))
}

func serve(c httpapi.Call, name string) (httpapi.Answer, error) {
	// A name with a slash, as an encoded one has, is none of the embedded files.
	text, err := files.ReadFile("page/" + name)
	if err != nil || !c.Tenant.Config.Playground {
		return httpapi.Answer{}, &httpapi.Error{
			Status: http.StatusNotFound, Code: "not_found", Message: "there is no such endpoint: check the path, which is case-sensitive",
		}
	}
	sum := sha256.Sum256(text)
	c.Out.Set("Content-Security-Policy", policy)
	c.Out.Set("Referrer-Policy", "no-referrer")
	c.Out.Set("Cross-Origin-Opener-Policy", "same-origin")
	// A new version of the runtime is a new page at once.
	c.Out.Set("Cache-Control", "no-cache")
	tag := `"` + hex.EncodeToString(sum[:8]) + `"`
	c.Out.Set("Etag", tag)
	if c.In.Get("If-None-Match") == tag {
		return httpapi.Answer{Status: http.StatusNotModified, Body: &httpapi.Body{ContentType: kind(name), Length: -1, Reader: http.NoBody}}, nil
	}
	return httpapi.Answer{Body: &httpapi.Body{ContentType: kind(name), Length: int64(len(text)), Reader: io.NopCloser(bytes.NewReader(text))}}, nil
}

// kind doesn't ask the machine's own table, which may know otherwise.
func kind(name string) string {
	switch path.Ext(name) {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".html":
		return "text/html; charset=utf-8"
	}
	return mime.TypeByExtension(path.Ext(name))
}
