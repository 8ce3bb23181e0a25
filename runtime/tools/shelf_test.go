package tools_test

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/crispy-enigma/crispy-enigma/runtime/guard"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
)

// shelf is documents that are kept and found by their words.
type shelf struct {
	mu    sync.Mutex
	texts map[string]string
}

func (s *shelf) Search(_ context.Context, _ httpapi.Call, query string, topK int) ([]guard.Source, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []guard.Source
	for id, text := range s.texts {
		if strings.Contains(text, query) {
			found = append(found, guard.Source{DocID: id, ChunkID: id + "#0", Text: text, Score: 1})
		}
	}
	slices.SortFunc(found, func(a, b guard.Source) int { return cmp.Compare(a.DocID, b.DocID) })
	return found[:min(len(found), topK)], nil
}

func (s *shelf) Ingest(_ context.Context, _ httpapi.Call, id, _, _, text string, _ int, metadata map[string]any) (int, string, error) {
	if strings.Contains(id, "\x00") || metadata["docId"] != nil {
		return 0, "", &httpapi.Error{Status: http.StatusBadRequest, Code: "invalid_request", Message: "the request has invalid fields", Details: []httpapi.Detail{{Path: "docId", Message: "is no id"}}}
	}
	if len(text) > 10_000 {
		return 0, "job-1", nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.texts == nil {
		s.texts = map[string]string{}
	}
	s.texts[id] = text
	return 1, "", nil
}
