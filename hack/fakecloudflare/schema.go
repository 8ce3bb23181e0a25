package fakecloudflare

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
)

//go:embed openapi/cloudflare.json.gz
var packed []byte

// document is Cloudflare's own, read when it is first asked for. It is the same for all
// servers, and nobody changes it.
var document = sync.OnceValues(func() (*openapi3.T, error) {
	zip, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("unpacking the API document: %w", err)
	}
	text, err := io.ReadAll(zip)
	if err != nil {
		return nil, fmt.Errorf("unpacking the API document: %w", err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		return nil, fmt.Errorf("reading the API document: %w", err)
	}
	return doc, nil
})

// LoadSchema loads the document now rather than at the first call.
func (s *Server) LoadSchema() error {
	if s.opts.NoSchema {
		return nil
	}
	_, err := document()
	return err
}

// checkRequest reads the body and holds the call against the document. A call that
// breaks it is refused with the product's code for that.
func (s *Server) checkRequest(c *call) (answer, bool) {
	if c.op.takesJSON {
		media, _, err := mime.ParseMediaType(strings.TrimSuffix(strings.TrimSpace(c.r.Header.Get("Content-Type")), ";"))
		if !c.op.anyType && (err != nil || media != "application/json") {
			s.violate(c, true, "the body isn't application/json")
			return c.op.malformed(c, nil, "the Content-Type must be application/json"), true
		}
		d := json.NewDecoder(bytes.NewReader(c.body))
		if err := d.Decode(&c.doc); err != nil || d.More() {
			s.violate(c, true, "the body isn't one JSON value")
			return c.op.malformed(c, nil, "the body isn't valid JSON"), true
		}
	}
	if s.opts.NoSchema || c.op.undocumented {
		return answer{}, false
	}
	path, problem := s.requestProblem(c)
	if problem == "" {
		return answer{}, false
	}
	s.violate(c, true, problem)
	return c.op.malformed(c, path, problem), true
}

func (s *Server) operation(c *call) (*openapi3.T, *openapi3.PathItem, *openapi3.Operation, error) {
	doc, err := document()
	if err != nil {
		return nil, nil, nil, err
	}
	item := doc.Paths.Value(c.op.path)
	if item == nil || item.GetOperation(c.op.method) == nil {
		return nil, nil, nil, fmt.Errorf("the document has no %s %s", c.op.method, c.op.path)
	}
	return doc, item, item.GetOperation(c.op.method), nil
}

// requestProblem gives where the request breaks the document, and how.
func (s *Server) requestProblem(c *call) ([]string, string) {
	doc, item, op, err := s.operation(c)
	if err != nil {
		return nil, err.Error()
	}
	in := &openapi3filter.RequestValidationInput{
		Request: c.r, PathParams: c.op.named(c.params),
		Route: &routers.Route{Spec: doc, Path: c.op.path, PathItem: item, Method: c.op.method, Operation: op},
	}
	for _, ref := range append(append(openapi3.Parameters{}, item.Parameters...), op.Parameters...) {
		if ref.Value.In == "header" && strings.HasPrefix(ref.Value.Name, "cf-aig") {
			continue // the gateway's own rules say more
		}
		if err := openapi3filter.ValidateParameter(c.r.Context(), in, ref.Value); err != nil {
			return []string{ref.Value.In, ref.Value.Name}, ref.Value.In + " " + ref.Value.Name + ": " + reason(err)
		}
	}
	if !c.op.takesJSON || op.RequestBody == nil {
		return nil, ""
	}
	media := op.RequestBody.Value.Content.Get("application/json")
	if media == nil || media.Schema == nil {
		return nil, ""
	}
	if err := media.Schema.Value.VisitJSON(c.doc, openapi3.VisitAsRequest(), openapi3.DisableReadOnlyValidation()); err != nil {
		at := pointer(err)
		return append([]string{"body"}, at...), "body /" + strings.Join(at, "/") + ": " + reason(err)
	}
	return nil, ""
}

// checkAnswer notes where the fake itself breaks the document. It must be called with
// the lock held.
func (s *Server) checkAnswer(c *call, a answer) {
	if s.opts.NoSchema || c.op.undocumented || a.stream != nil {
		return
	}
	_, _, op, err := s.operation(c)
	if err != nil {
		s.violate(c, false, err.Error())
		return
	}
	ref := op.Responses.Status(a.status)
	if ref == nil && a.status >= 400 && a.status < 500 {
		ref = op.Responses.Value(strconv.Itoa(a.status/100) + "XX")
	}
	if ref == nil {
		if a.status < 300 {
			s.violate(c, false, "the document has no answer "+strconv.Itoa(a.status))
		}
		return // refusals before the door are documented nowhere
	}
	media := ref.Value.Content.Get(a.contentType)
	if media == nil || media.Schema == nil || a.contentType != "application/json" {
		return
	}
	var v any
	if err := json.Unmarshal(a.body, &v); err != nil {
		s.violate(c, false, "the answer isn't JSON")
		return
	}
	err = media.Schema.Value.VisitJSON(v, openapi3.VisitAsResponse())
	if m, isObject := v.(map[string]any); err != nil && isObject && a.status >= 400 && m["result"] == nil {
		err = lenient(media.Schema.Value, m, err)
	}
	if err != nil {
		s.violate(c, false, http.StatusText(a.status)+" /"+strings.Join(pointer(err), "/")+": "+reason(err))
	}
}

// lenient looks past what the document forgot about errors: that they have a result of
// null, and that success is false in all of them.
func lenient(schema *openapi3.Schema, m map[string]any, err error) error {
	for _, change := range []func(){
		func() { delete(m, "result") },
		func() { m["success"] = true },
		func() { m["success"], m["result"] = false, map[string]any{} },
	} {
		if change(); schema.VisitJSON(m, openapi3.VisitAsResponse()) == nil {
			return nil
		}
	}
	return err
}

func pointer(err error) []string {
	var e *openapi3.SchemaError
	if errors.As(err, &e) {
		return e.JSONPointer()
	}
	return nil
}

// reason leaves out the value, which may be a secret.
func reason(err error) string {
	var e *openapi3.SchemaError
	if errors.As(err, &e) {
		return e.Reason
	}
	var r *openapi3filter.RequestError
	if errors.As(err, &r) {
		if r.Err != nil {
			return r.Err.Error()
		}
		return r.Reason
	}
	return "breaks the document"
}
