package stage

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// Answer is a whole answer of an API.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Into reads the body's JSON; with the product's envelope around it, what is in it.
func (a Answer) Into(v any) error {
	var envelope struct {
		OK   *bool           `json:"ok"`
		Data json.RawMessage `json:"data"`
	}
	body := a.Body
	if json.Unmarshal(body, &envelope) == nil && envelope.OK != nil && envelope.Data != nil {
		body = envelope.Data
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("reading an answer with status %d: %w", a.Status, err)
	}
	return nil
}

// Ask sends a request: no body for nil, bytes as they are, all else as JSON.
func Ask(ctx context.Context, method, url, key, contentType string, body any) (Answer, error) {
	sent, raw := body.([]byte)
	if body != nil && !raw {
		var err error
		if sent, err = json.Marshal(body); err != nil {
			return Answer{}, fmt.Errorf("writing a request: %w", err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(sent))
	if err != nil {
		return Answer{}, err
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer func() { _ = res.Body.Close() }()
	got, err := io.ReadAll(io.LimitReader(res.Body, 16<<20))
	if err != nil {
		return Answer{}, fmt.Errorf("reading an answer: %w", err)
	}
	return Answer{res.StatusCode, res.Header, got}, nil
}

// Grounded is what a search found and said.
type Grounded struct {
	Answer     string   `json:"answer"`
	Sources    []Source `json:"sources"`
	Confidence float64  `json:"confidence"`
}

// Source is one that an answer cites.
type Source struct {
	ID       int      `json:"id"`
	DocID    string   `json:"docId"`
	ChunkID  string   `json:"chunkId"`
	Title    string   `json:"title"`
	URL      string   `json:"url"`
	Headings []string `json:"headings"`
	Text     string   `json:"text"`
	Score    float64  `json:"score"`
}
