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
	r, err := a.measure(ctx, judgedBy(questions), func(format string, args ...any) { fmt.Printf(format+"\n", args...) })
	if err != nil {
		return err
	}
	if _, err := io.WriteString(os.Stdout, table([]*result{r})); err != nil {
		return fmt.Errorf("writing the table: %w", err)
	}
	conclude(os.Stdout, []*result{r}, nil)
	return nil
}

// judged is a question, and the gain of each document that answers it.
type judged struct {
	text  string
	gains map[string]float64
}

// judgedBy gives each document that a tenant names the gain 1.
func judgedBy(questions []question) []judged {
	all := make([]judged, len(questions))
	for i, q := range questions {
		all[i] = judged{q.Question, map[string]float64{}}
		for _, d := range q.Documents {
			all[i].gains[d] = 1
		}
	}
	return all
}

// measure asks each question by each mode, and once more for an answer.
func (a *api) measure(ctx context.Context, questions []judged, say func(string, ...any)) (*result, error) {
	r := &result{name: "tenant", about: fmt.Sprintf("%d questions of the tenant", len(questions))}
	var right, cited int
	var without int
	all := map[string][]quality{}
	for i, q := range questions {
		for _, mode := range []string{"text", "vector", "hybrid"} {
			f, err := a.search(ctx, map[string]any{"query": q.text, "topK": liveDepth, "mode": mode, "answer": false})
			if err != nil {
				return nil, fmt.Errorf("questions[%d] by %s: %w", i, mode, err)
			}
			all[mode] = append(all[mode], judge(documents(f), q.gains))
		}
		f, err := a.search(ctx, map[string]any{"query": q.text, "answer": true})
		if err != nil {
			return nil, fmt.Errorf("questions[%d] answered: %w", i, err)
		}
		good, n := citations(f, q.gains)
		right, cited = right+good, cited+n
		if n == 0 {
			without++
		}
		if n := i + 1; n%100 == 0 || n == len(questions) {
			say("%d of %d questions", n, len(questions))
		}
	}
	r.text, r.vector, r.hybrid = mean(all["text"]), mean(all["vector"]), mean(all["hybrid"])
	if cited > 0 {
		precision := float64(right) / float64(cited)
		r.citations = &precision
	}
	r.cited = 1 - float64(without)/float64(len(questions))
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

func (a *api) search(ctx context.Context, body map[string]any) (*found, error) {
	f := &found{}
	return f, a.post(ctx, "/search", body, f)
}

// refusal is an answer that isn't what was asked for.
type refusal struct {
	status        int
	code, message string
}

func (r *refusal) Error() string {
	return fmt.Sprintf("%d %s: %s %s", r.status, http.StatusText(r.status), r.code, r.message)
}

// post asks, and reads the answer's data into one unless it is nil. It waits for a rate
// limit as long as it is told to, up to liveWait in all.
func (a *api) post(ctx context.Context, path string, body map[string]any, into any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("writing the question: %w", err)
	}
	for until := time.Now().Add(liveWait); ; {
		wait, err := a.once(ctx, path, data, into)
		if wait == 0 || time.Now().Add(wait).After(until) {
			return err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (a *api) once(ctx context.Context, path string, body []byte, into any) (wait time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url+path, bytes.NewReader(body))
	if err != nil {
		return 0, fmt.Errorf("asking: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+a.key)
	resp, err := a.client.Do(req)
	if err != nil {
		return 0, fmt.Errorf("asking: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(resp.Body, liveAnswer))
	if err != nil {
		return 0, fmt.Errorf("reading the answer: %w", err)
	}
	var answer struct {
		Data  json.RawMessage `json:"data"`
		Error struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	good := resp.StatusCode/100 == 2
	if err := json.Unmarshal(data, &answer); err != nil && good {
		return 0, fmt.Errorf("reading the answer: %w", err)
	}
	switch {
	case resp.StatusCode == http.StatusTooManyRequests:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		return time.Duration(max(seconds, 1)) * time.Second, errors.New("the rate limit leaves no room: raise it while measuring")
	case !good:
		return 0, &refusal{resp.StatusCode, answer.Error.Code, answer.Error.Message}
	case answer.Data == nil:
		return 0, errors.New("the answer has no data: is this the API of a tenant?")
	case into == nil:
		return 0, nil
	}
	if err := json.Unmarshal(answer.Data, into); err != nil {
		return 0, fmt.Errorf("reading the answer: %w", err)
	}
	return 0, nil
}
