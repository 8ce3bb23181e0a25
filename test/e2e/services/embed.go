package main

import (
	"encoding/json"
	"hash/fnv"
	"io"
	"math"
	"net/http"
	"strings"
	"time"
	"unicode"
)

// dimensions of a vector: one for each of the classes that words fall into.
const dimensions = 64

// embedder gives texts with the same words the same direction.
type embedder struct{ pace time.Duration }

func (e *embedder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var req struct {
		Model string          `json:"model"`
		Input json.RawMessage `json:"input"`
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 8<<20))
	if err != nil || json.Unmarshal(body, &req) != nil {
		http.Error(w, `{"error":{"message":"the body is no request for embeddings"}}`, http.StatusBadRequest)
		return
	}
	texts := []string{""}
	if json.Unmarshal(req.Input, &texts[0]) != nil && json.Unmarshal(req.Input, &texts) != nil {
		http.Error(w, `{"error":{"message":"input must be texts"}}`, http.StatusBadRequest)
		return
	}
	select {
	case <-time.After(e.pace):
	case <-r.Context().Done():
		return
	}
	data, tokens := []any{}, 0
	for i, text := range texts {
		words := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
		tokens += len(words)
		data = append(data, map[string]any{"object": "embedding", "index": i, "embedding": vector(words)})
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"object": "list", "model": req.Model, "data": data,
		"usage": map[string]int{"prompt_tokens": tokens, "total_tokens": tokens},
	})
}

func vector(words []string) []float64 {
	v := make([]float64, dimensions)
	for _, word := range words {
		h := fnv.New32a()
		_, _ = io.WriteString(h, word)
		v[h.Sum32()%dimensions]++
	}
	var square float64
	for _, x := range v {
		square += x * x
	}
	if square == 0 {
		v[0], square = 1, 1
	}
	for i := range v {
		v[i] /= math.Sqrt(square)
	}
	return v
}
