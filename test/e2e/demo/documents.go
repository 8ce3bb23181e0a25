package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/crispy-enigma/crispy-enigma/test/e2e/stage"
)

// A document, a question about it, and what must be in each answer.
const (
	docID    = "house-rules"
	document = "# Breakfast\n\nBreakfast is served from seven to ten, in the winter garden.\n\n" +
		"# Boats\n\nGuests may sail the two small boats until sunset. Life jackets hang in the boathouse.\n"
	docQuestion = "Until when may guests sail?"
	docAnswer   = "Guests may sail the two small boats until sunset. [1]"
)

// documents takes one document in, searches it, and asks a chat that reads it.
func documents(ctx context.Context, s *stage.Stage, url string) error {
	key, err := s.Key(ctx, namespace, minimal, "default")
	if err != nil {
		return err
	}
	fmt.Printf("==> one document of tenant %s, and what is said of it\n\n", minimal)
	if _, err := post(ctx, url+"/ingest", key, map[string]any{"docId": docID, "contentType": "text/markdown", "text": document}); err != nil {
		return err
	}
	a, err := post(ctx, url+"/search", key, map[string]any{"query": docQuestion})
	if err != nil {
		return err
	}
	var found stage.Grounded
	if err := a.Into(&found); err != nil {
		return err
	}
	if found.Answer != docAnswer || len(found.Sources) == 0 || found.Sources[0].DocID != docID {
		return fmt.Errorf("the search answered %q from %d sources, not %q from %s", found.Answer, len(found.Sources), docAnswer, docID)
	}
	fmt.Printf("search:  %s\nanswer:  %s\nsources: [1] %s, %s\n\n", docQuestion, found.Answer, found.Sources[0].DocID, strings.Join(found.Sources[0].Headings, " > "))
	if a, err = post(ctx, url+"/v1/chat/completions", key, map[string]any{
		"messages": []map[string]string{{"role": "user", "content": docQuestion}}, "enigma": map[string]any{"useRag": true}}); err != nil {
		return err
	}
	var completion struct {
		Choices []struct{ Message struct{ Content string } }
	}
	if err := a.Into(&completion); err != nil {
		return err
	}
	if len(completion.Choices) != 1 || completion.Choices[0].Message.Content != docAnswer {
		return errors.New("/v1/chat/completions didn't answer from the document")
	}
	fmt.Printf("POST /v1/chat/completions, as OpenAI's clients do: %s\n\n", completion.Choices[0].Message.Content)
	return nil
}

func post(ctx context.Context, url, key string, body any) (stage.Answer, error) {
	a, err := stage.Ask(ctx, http.MethodPost, url, key, "application/json", body)
	if err == nil && a.Status != http.StatusOK {
		err = fmt.Errorf("POST %s: status %d: %s", url, a.Status, a.Body)
	}
	return a, err
}
