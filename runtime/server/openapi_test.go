package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/runtime/apidoc"
	"github.com/crispy-enigma/crispy-enigma/runtime/server"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// description is the document that GET /openapi.json serves, read by a library.
var description = sync.OnceValues(func() (*openapi3.T, error) {
	text, err := apidoc.New("test").Document("acme")
	if err != nil {
		return nil, err
	}
	return openapi3.NewLoader().LoadFromData(text)
})

// every is the document's operations as the door names its routes; of a wildcard that
// takes slashes OpenAPI has no word.
func every(doc *openapi3.T) (all []string) {
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			all = append(all, method+" "+path)
		}
	}
	slices.Sort(all)
	return all
}

func TestTheDescriptionHasEveryRouteAndNoOther(t *testing.T) {
	doc, err := description()
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Error(err)
	}
	cfg := document("http://127.0.0.1:1/v1")
	cfg.Upstream.CredentialsFile = ""
	tenant, err := tenancy.NewTenant(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.New(t.Context(), server.Options{
		Tenant: tenant, APIAddress: "127.0.0.1:0", MetricsAddress: "127.0.0.1:0", LameDuck: -1, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop() // it ends what it opened
	if err := s.Run(ctx); err != nil {
		t.Fatal(err)
	}
	var routes []string
	for _, r := range s.Routes() {
		routes = append(routes, r.Method+" "+strings.ReplaceAll(r.Pattern, "...}", "}"))
		path := doc.Paths.Find(strings.ReplaceAll(r.Pattern, "...}", "}"))
		if path == nil || path.GetOperation(r.Method) == nil {
			continue
		}
		if open := path.GetOperation(r.Method).Security; (open != nil && len(*open) == 0) != r.Route.Open {
			t.Errorf("%s %s: the description and the door differ over whether it needs a key", r.Method, r.Pattern)
		}
	}
	slices.Sort(routes)
	if d := cmp.Diff(routes, every(doc)); d != "" {
		t.Errorf("(-door +description):\n%s", d)
	}
}

func TestTheDescriptionHasEveryErrorCode(t *testing.T) {
	page, err := os.ReadFile("../../docs/http-api.md")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := description()
	if err != nil {
		t.Fatal(err)
	}
	documented := []string{"forbidden"} // told by the endpoints that need a scope
	for _, row := range regexp.MustCompile("(?m)^\\| `([A-Za-z_]+)` \\| [1-5][0-9]{2}").FindAllStringSubmatch(string(page), -1) {
		documented = append(documented, row[1])
	}
	var described []string
	for _, code := range doc.Components.Schemas["Code"].Value.Enum {
		described = append(described, code.(string))
	}
	slices.Sort(documented)
	slices.Sort(described)
	if d := cmp.Diff(slices.Compact(documented), described); d != "" {
		t.Errorf("codes (-page +description):\n%s", d)
	}
}

// described holds what every test asks and is answered against the description.
func described(t *testing.T, host string, next http.RoundTripper) http.RoundTripper {
	t.Helper()
	doc, err := description()
	if err != nil {
		t.Fatal(err)
	}
	return &witness{t, doc, host, next}
}

type witness struct {
	t    *testing.T
	doc  *openapi3.T
	host string
	next http.RoundTripper
}

// CloseIdleConnections is what http.Client looks for.
func (w *witness) CloseIdleConnections() {
	w.next.(interface{ CloseIdleConnections() }).CloseIdleConnections()
}

func (w *witness) RoundTrip(r *http.Request) (*http.Response, error) {
	var asked []byte
	if r.GetBody != nil {
		body, err := r.GetBody()
		if err != nil {
			return nil, err
		}
		asked, _ = io.ReadAll(body)
	}
	res, err := w.next.RoundTrip(r)
	if err != nil || r.URL.Host != w.host || r.Method == http.MethodOptions || r.Method == http.MethodHead {
		return res, err
	}
	op := w.operation(r)
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if op != nil && res.StatusCode < 300 && op.RequestBody != nil && json.Valid(asked) {
		w.fits(r, "the request", op.RequestBody.Value.Content.Get("application/json"), asked)
	}
	schema := w.answer(r, op, res.StatusCode, kind)
	if kind == "application/json" {
		// Read as the test reads it: some look at what comes when.
		res.Body = &overheard{ReadCloser: res.Body, done: func(got []byte) { w.fits(r, "the answer "+strconv.Itoa(res.StatusCode), schema, got) }}
	}
	return res, err
}

func (w *witness) operation(r *http.Request) *openapi3.Operation {
	for path, item := range w.doc.Paths.Map() {
		pattern := regexp.MustCompile(`\\\{[a-zA-Z]+\\\}`).ReplaceAllString(regexp.QuoteMeta(path), "[^/]+")
		if strings.HasPrefix(path, "/v1/models/") {
			pattern = "/v1/models/.+"
		}
		if regexp.MustCompile("^" + pattern + "/?$").MatchString(r.URL.EscapedPath()) {
			return item.GetOperation(r.Method)
		}
	}
	return nil
}

// answer finds what the description says of an answer; of no route it is the error.
func (w *witness) answer(r *http.Request, op *openapi3.Operation, status int, kind string) *openapi3.MediaType {
	response := w.doc.Components.Responses["Error"].Value
	if op != nil {
		ref := op.Responses.Status(status)
		if ref == nil {
			ref = op.Responses.Default()
			if status < 400 {
				w.t.Errorf("%s %s: %d isn't described", r.Method, r.URL.Path, status)
			}
		}
		response = ref.Value
	} else if strings.HasPrefix(r.URL.Path, "/v1/") {
		return nil // a wrong method of a route is refused in its style
	}
	media := response.Content.Get(kind)
	if media == nil && kind != "" {
		w.t.Errorf("%s %s: %d of %s isn't described", r.Method, r.URL.Path, status, kind)
	}
	return media
}

func (w *witness) fits(r *http.Request, what string, media *openapi3.MediaType, text []byte) {
	if media == nil || media.Schema == nil {
		return
	}
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		return // whoever reads half an answer doesn't judge it
	}
	if fields, ok := value.(map[string]any); ok && strings.HasPrefix(what, "the request") {
		for name, field := range fields {
			if field == nil {
				delete(fields, name) // null is a field left out
			}
		}
	}
	if err := media.Schema.Value.VisitJSON(value); err != nil {
		w.t.Errorf("%s %s: %s isn't as described: %.300v", r.Method, r.URL.Path, what, err)
	}
}

// overheard gives what was read when it has been read to its end.
type overheard struct {
	io.ReadCloser
	got  bytes.Buffer
	done func([]byte)
}

func (o *overheard) Read(p []byte) (int, error) {
	n, err := o.ReadCloser.Read(p)
	o.got.Write(p[:n])
	if errors.Is(err, io.EOF) && o.done != nil {
		o.done(o.got.Bytes())
		o.done = nil
	}
	return n, err
}
