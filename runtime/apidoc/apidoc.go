package apidoc

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"go.yaml.in/yaml/v3"

	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
)

//go:embed *.yaml
var files embed.FS

// Feature is GET /openapi.json.
type Feature struct {
	build string
	whole map[string]any
}

// New joins the files. build is the version that the document tells. A file that is no
// YAML, or has what another has too, is a mistake in the program.
func New(build string) *Feature {
	whole, err := joined()
	if err != nil {
		panic("apidoc: " + err.Error())
	}
	return &Feature{build, whole}
}

// Mount adds the feature's route.
func (f *Feature) Mount(d *httpapi.Door) {
	httpapi.Handle(d, http.MethodGet, "/openapi.json", httpapi.Route{Open: true}, f.serve)
}

func (f *Feature) serve(_ context.Context, c httpapi.Call, _ struct{}) (httpapi.Answer, error) {
	text, err := f.Document(c.Tenant.ID.String())
	if err != nil {
		return httpapi.Answer{}, err
	}
	return httpapi.Answer{Body: &httpapi.Body{
		ContentType: "application/json", Length: int64(len(text)), Reader: io.NopCloser(bytes.NewReader(text)),
	}}, nil
}

// Document is the JSON of one tenant's document. The server is where the document came
// from: the tenant may have many hosts, and behind a gateway others than it knows.
func (f *Feature) Document(tenant string) ([]byte, error) {
	doc := make(map[string]any, len(f.whole)+1)
	for key, value := range f.whole {
		doc[key] = value
	}
	info, _ := f.whole["info"].(map[string]any)
	own := map[string]any{"title": tenant, "version": f.build}
	for key, value := range info {
		if own[key] == nil {
			own[key] = value
		}
	}
	doc["info"] = own
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("writing the API's description: %w", err)
	}
	return text, nil
}

func joined() (map[string]any, error) {
	entries, err := files.ReadDir(".")
	if err != nil {
		return nil, err
	}
	whole := map[string]any{}
	for _, e := range entries {
		text, err := files.ReadFile(e.Name())
		if err != nil {
			return nil, err
		}
		var part map[string]any
		if err := yaml.Unmarshal(text, &part); err != nil {
			return nil, fmt.Errorf("%s: %w", e.Name(), err)
		}
		if err := merge(whole, part, 3); err != nil {
			return nil, fmt.Errorf("%s: %w", e.Name(), err)
		}
	}
	return whole, nil
}

// merge adds what part has to whole; maps are joined to the depth, all else is there once.
func merge(whole, part map[string]any, depth int) error {
	for key, value := range part {
		have, there := whole[key]
		a, isMap := have.(map[string]any)
		b, both := value.(map[string]any)
		switch {
		case !there:
			whole[key] = value
		case isMap && both && depth > 1:
			if err := merge(a, b, depth-1); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%q is there twice", key)
		}
	}
	return nil
}
