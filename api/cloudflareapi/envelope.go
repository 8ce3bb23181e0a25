package cloudflareapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Envelope is what the REST API puts its answers in.
type Envelope struct {
	// Success is nil in what isn't an envelope.
	Success *bool           `json:"success"`
	Result  json.RawMessage `json:"result"`
	Page    PageInfo        `json:"result_info"`
}

// PageInfo says how a list goes on: by number, or by cursor. What isn't told is 0.
type PageInfo struct {
	Page       int    `json:"page"`
	PerPage    int    `json:"per_page"`
	TotalCount int    `json:"total_count"`
	TotalPages int    `json:"total_pages"`
	Cursor     string `json:"cursor"`
}

// ErrTooLong is an answer that goes on after the limit.
var ErrTooLong = errors.New("the answer is too long")

// ReadBody reads an answer of at most limit bytes; one that is longer is ErrTooLong.
func ReadBody(r io.Reader, limit int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading an answer: %w", err)
	case int64(len(body)) > limit:
		return nil, ErrTooLong
	}
	return body, nil
}
