package fakecloudflare

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strconv"
	"strings"
	"time"
)

type vector struct {
	ID        string         `json:"id"`
	Values    []float32      `json:"values"`
	Namespace string         `json:"namespace,omitempty"`
	Metadata  map[string]any `json:"metadata,omitempty"`
	// Indexed is the metadata that a filter can see.
	Indexed map[string]any `json:"indexed,omitempty"`
}

// Limits of a batch over HTTP and of one vector.
const (
	maxBatch          = 5000
	maxVectorBody     = 100 << 20
	maxVectorID       = 64
	maxVectorMetadata = 10 << 10
)

func insertVectors(c *call, i *item[vectorIndex]) answer {
	lines, a, good := c.ndjson()
	if !good {
		return a
	}
	vectors, err := parseVectors(lines, i.Value.Dimensions, c.r.URL.Query().Get("unparsable-behavior") == "discard")
	var mismatch dimensionError
	switch {
	case errors.As(err, &mismatch):
		return fail(http.StatusBadRequest, codeDimension, "%s", err)
	case err != nil:
		c.s.violate(c, true, err.Error())
		return fail(http.StatusBadRequest, codeMalformed, "%s", err)
	case len(vectors) == 0 || len(vectors) > maxBatch:
		return fail(http.StatusBadRequest, codeMalformed, "a batch has 1 to %d vectors, not %d", maxBatch, len(vectors))
	}
	if strings.HasSuffix(c.op.path, "/upsert") {
		return c.promise(i, mutation{Upsert: vectors}, "write")
	}
	return c.promise(i, mutation{Insert: vectors}, "write")
}

// ndjson gives the lines of a body, or of its part vectors.
func (c *call) ndjson() ([]byte, answer, bool) {
	if len(c.body) > maxVectorBody {
		return nil, fail(http.StatusRequestEntityTooLarge, codeMalformed, "a batch may have 100 MB"), false
	}
	media, params, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	switch {
	case err == nil && media == "application/x-ndjson":
		return c.body, answer{}, true
	case err == nil && media == "multipart/form-data":
		form := multipart.NewReader(bytes.NewReader(c.body), params["boundary"])
		for {
			part, err := form.NextPart()
			if err != nil {
				break
			}
			if part.FormName() == "vectors" {
				if lines, err := io.ReadAll(part); err == nil {
					return lines, answer{}, true
				}
			}
		}
		c.s.violate(c, true, "the form has no part vectors")
		return nil, fail(http.StatusBadRequest, codeMalformed, "the form has no part vectors"), false
	}
	c.s.violate(c, true, "the body isn't application/x-ndjson")
	return nil, fail(http.StatusUnsupportedMediaType, codeMalformed, "the Content-Type must be application/x-ndjson"), false
}

type dimensionError struct{ want, have int }

func (e dimensionError) Error() string {
	return fmt.Sprintf("expected %d dimensions, and got %d dimensions", e.want, e.have)
}

func parseVectors(lines []byte, dimensions int, discard bool) ([]vector, error) {
	var vectors []vector
	scanner := bufio.NewScanner(bytes.NewReader(lines))
	scanner.Buffer(nil, maxVectorBody)
	for n := 1; scanner.Scan(); n++ {
		line := bytes.TrimSpace(scanner.Bytes())
		if len(line) == 0 {
			continue
		}
		v, err := parseVector(line)
		if err != nil {
			if discard {
				continue
			}
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if len(v.Values) != dimensions {
			return nil, fmt.Errorf("line %d: %w", n, dimensionError{want: dimensions, have: len(v.Values)})
		}
		vectors = append(vectors, v)
	}
	return vectors, scanner.Err()
}

func parseVector(line []byte) (vector, error) {
	var raw struct {
		vector
		Metadata json.RawMessage `json:"metadata"`
	}
	if err := decode(line, &raw); err != nil {
		return vector{}, errors.New("it isn't a vector")
	}
	v := raw.vector
	switch {
	case v.ID == "" || len(v.ID) > maxVectorID:
		return vector{}, fmt.Errorf("an id has 1 to %d bytes", maxVectorID)
	case len(v.Namespace) > 64:
		return vector{}, errors.New("a namespace has at most 64 bytes")
	case len(raw.Metadata) > maxVectorMetadata:
		return vector{}, fmt.Errorf("metadata has at most %d bytes", maxVectorMetadata)
	}
	v.Indexed = nil
	if len(raw.Metadata) > 0 && json.Unmarshal(raw.Metadata, &v.Metadata) != nil {
		return vector{}, errors.New("metadata isn't an object")
	}
	for name := range v.Metadata {
		if problem := propertyProblem(name); problem != "" || strings.Contains(name, ".") {
			return vector{}, errors.New("a metadata key must not be empty, hold . or \", or begin with $")
		}
	}
	return v, nil
}

func (v *vector) shown() map[string]any {
	shown := map[string]any{"id": v.ID, "values": v.Values}
	if v.Namespace != "" {
		shown["namespace"] = v.Namespace
	}
	if v.Metadata != nil {
		shown["metadata"] = v.Metadata
	}
	return shown
}

func (c *call) vectorIDs() ([]string, answer, bool) {
	var body struct {
		IDs []string `json:"ids"`
	}
	if err := decode(c.body, &body); err != nil || len(body.IDs) == 0 || len(body.IDs) > 1000 {
		return nil, fail(http.StatusBadRequest, codeMalformed, "ids must have 1 to 1000 entries"), false
	}
	return body.IDs, answer{}, true
}

// getVectors knows no namespace: who shares an index must look at what comes back.
func getVectors(c *call, i *item[vectorIndex]) answer {
	ids, a, good := c.vectorIDs()
	if !good {
		return a
	}
	found := []map[string]any{}
	for _, id := range ids {
		if v := i.Value.Vectors[id]; v != nil {
			found = append(found, v.shown())
		}
	}
	return ok(found)
}

func deleteVectors(c *call, i *item[vectorIndex]) answer {
	ids, a, good := c.vectorIDs()
	if !good {
		return a
	}
	return c.promise(i, mutation{Delete: ids}, "write")
}

func listVectors(c *call, i *item[vectorIndex]) answer {
	q := c.r.URL.Query()
	count := 100
	if text := q.Get("count"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 1000 {
			return fail(http.StatusBadRequest, codeMalformed, "count must be 1 to 1000")
		}
		count = n
	}
	after, err := base64.RawURLEncoding.DecodeString(q.Get("cursor"))
	if err != nil {
		return fail(http.StatusBadRequest, codeMalformed, "the cursor isn't one of ours")
	}
	shown := []map[string]string{}
	truncated := false
	ids := i.Value.ids()
	for _, id := range ids {
		if id <= string(after) {
			continue
		}
		if truncated = len(shown) == count; truncated {
			break
		}
		shown = append(shown, map[string]string{"id": id})
	}
	result := map[string]any{"count": len(shown), "totalCount": len(ids), "isTruncated": truncated, "vectors": shown, "nextCursor": nil, "cursorExpirationTimestamp": nil}
	if truncated {
		result["nextCursor"] = base64.RawURLEncoding.EncodeToString([]byte(shown[count-1]["id"]))
		result["cursorExpirationTimestamp"] = c.now.Add(48 * time.Hour).UTC().Format(time.RFC3339)
	}
	return ok(result)
}
