package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	liveDepth  = 50 // the most that the API gives
	liveAnswer = 32 << 20
	liveWait   = 2 * time.Minute // for one answer, and for a rate limit
)

// api is a tenant's API.
type api struct {
	url, key string
	client   *http.Client
}

// found is what /search answers, as far as it is measured.
type found struct {
	Answer  string `json:"answer"`
	Sources []struct {
		DocID string `json:"docId"`
	} `json:"sources"`
}

func (o options) live(ctx context.Context) error {
	if o.api == "" || o.keyFile == "" || o.questions == "" {
		return errors.New("a live API needs all of -api URL, -key-file FILE and -questions FILE")
	}
	if u, err := url.Parse(o.api); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return errors.New("-api must be like https://acme.example.com")
	}
	key, err := os.ReadFile(filepath.Clean(o.keyFile))
	if err != nil {
		return fmt.Errorf("reading the key: %w", err)
	}
	data, err := os.ReadFile(filepath.Clean(o.questions))
	if err != nil {
		return fmt.Errorf("reading questions: %w", err)
	}
	questions, err := parseQuestions(data)
	if err != nil {
		return err
	}
	a := &api{url: strings.TrimRight(o.api, "/"), key: strings.TrimSpace(string(key)), client: &http.Client{Timeout: liveWait}}
	r, err := a.measure(ctx, questions, func(format string, args ...any) { fmt.Printf(format+"\n", args...) })
	if err != nil {
		return err
	}
	if _, err := io.WriteString(os.Stdout, table([]*result{r})); err != nil {
		return fmt.Errorf("writing the table: %w", err)
	}
	conclude(os.Stdout, []*result{r}, nil)
	return nil
}

// measure asks each question by each mode, and once more for an answer.
func (a *api) measure(ctx context.Context, questions []question, say func(string, ...any)) (*result, error) {
	r := &result{name: "tenant", about: fmt.Sprintf("%d questions of the tenant", len(questions))}
	var right, cited int
	var without int
	all := map[string][]quality{}
	for i, q := range questions {
		gains := map[string]float64{}
		for _, d := range q.Documents {
			gains[d] = 1
		}
		for _, mode := range []string{"text", "vector", "hybrid"} {
			f, err := a.search(ctx, map[string]any{"query": q.Question, "topK": liveDepth, "mode": mode, "answer": false})
			if err != nil {
				return nil, fmt.Errorf("questions[%d] by %s: %w", i, mode, err)
			}
			all[mode] = append(all[mode], judge(documents(f), gains))
		}
		f, err := a.search(ctx, map[string]any{"query": q.Question, "answer": true})
		if err != nil {
			return nil, fmt.Errorf("questions[%d] answered: %w", i, err)
		}
		good, n := citations(f, gains)
		right, cited = right+good, cited+n
		if n == 0 {
			without++
		}
		say("%d of %d questions", i+1, len(questions))
	}
	r.text, r.vector, r.hybrid = mean(all["text"]), mean(all["vector"]), mean(all["hybrid"])
	if cited > 0 {
		precision := float64(right) / float64(cited)
		r.citations = &precision
	}
	r.notes = append(r.notes, fmt.Sprintf("%d citations, %d of a right document; %d answers without any", cited, right, without))
	return r, nil
}

// documents are those of the sources, each where its first passage is.
func documents(f *found) []string {
	var ids []string
	seen := map[string]bool{}
	for _, s := range f.Sources {
		if !seen[s.DocID] {
			seen[s.DocID] = true
			ids = append(ids, s.DocID)
		}
	}
	return ids
}

var citation = regexp.MustCompile(`\[(\d{1,3})\]`)

// citations counts the [n] of an answer, and those whose source is a right document; one
// of no source is wrong.
func citations(f *found, gains map[string]float64) (right, all int) {
	for _, m := range citation.FindAllStringSubmatch(f.Answer, -1) {
		all++
		if n, _ := strconv.Atoi(m[1]); n >= 1 && n <= len(f.Sources) && gains[f.Sources[n-1].DocID] > 0 {
			right++
		}
	}
	return right, all
}

// search waits for a rate limit as long as it is told to, up to liveWait in all.
func (a *api) search(ctx context.Context, body map[string]any) (*found, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("writing the question: %w", err)
	}
	for until := time.Now().Add(liveWait); ; {
		f, wait, err := a.once(ctx, data)
		if wait == 0 || time.Now().Add(wait).After(until) {
			return f, err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (a *api) once(ctx context.Context, body []byte) (f *found, wait time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url+"/search", bytes.NewReader(body))
	if err != nil {
		return nil, 0, fmt.Errorf("asking: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+a.key)
	resp, err := a.client.Do(req)
	if err != nil {
		return nil, 0, fmt.Errorf("asking: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(resp.Body, liveAnswer))
	if err != nil {
		return nil, 0, fmt.Errorf("reading the answer: %w", err)
	}
	var answer struct {
		Data  *found `json:"data"`
		Error struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	if err := json.Unmarshal(data, &answer); err != nil && resp.StatusCode == http.StatusOK {
		return nil, 0, fmt.Errorf("reading the answer: %w", err)
	}
	switch {
	case resp.StatusCode == http.StatusTooManyRequests:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		return nil, time.Duration(max(seconds, 1)) * time.Second, errors.New("the rate limit leaves no room: raise it while measuring")
	case resp.StatusCode != http.StatusOK:
		return nil, 0, fmt.Errorf("%s: %s %s", resp.Status, answer.Error.Code, answer.Error.Message)
	case answer.Data == nil:
		return nil, 0, errors.New("the answer has no data: is this the API of a tenant?")
	}
	return answer.Data, 0, nil
}
