package chatwire

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
)

// Refusal is an upstream's no: a status and a body, or a frame inside a stream
// (status 0).
type Refusal struct {
	Status      int
	ContentType string
	Body        []byte
	// Tools tells that tools were offered: only then can they be what is refused.
	Tools bool
}

// refusal says what it means. Header is nil inside a stream.
func (c *Client) refusal(r Refusal, header http.Header) *ai.Error {
	e := &ai.Error{Status: r.Status, RetryAfter: retryAfter(header, time.Now())}
	if r.noTools() {
		e.Kind = ai.KindNoTools
		return e
	}
	if c.s.Kind != nil {
		e.Kind, e.Err = c.s.Kind(r)
	}
	if e.Kind == "" {
		e.Kind, e.Err = meaning(r)
	}
	return e
}

// meaning reads the refusals of OpenAI, vLLM, Ollama, llama.cpp, LiteLLM and their
// kin. They share no codes beyond a few of OpenAI's, so words of the message decide
// what the status leaves open; the words themselves are dropped.
func meaning(r Refusal) (ai.Kind, error) {
	d := read(r.Body)
	status := r.Status
	if status < 400 {
		status = d.status
	}
	switch {
	case status >= 300 && status < 400:
		return ai.KindUnavailable, errors.New("the upstream redirects, and redirects aren't followed; give the base URL that it points to")
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return ai.KindUnauthorized, nil
	case status == http.StatusPaymentRequired, d.says("insufficient_quota", "billing_hard_limit", "insufficient balance", "exceeded your current quota"):
		return ai.KindQuota, nil
	case status == http.StatusTooManyRequests, d.says("rate_limit"):
		return ai.KindRateLimited, nil
	case status == http.StatusRequestTimeout:
		return ai.KindTimeout, nil
	case status == http.StatusRequestEntityTooLarge, d.tooLong():
		return ai.KindTooLong, nil
	case status == http.StatusNotFound || status == http.StatusBadRequest || status == 0:
		return notFoundOrBad(status, d)
	case status == http.StatusMethodNotAllowed:
		return ai.KindUnavailable, errors.New("the upstream has no chat completions at this address; is the base URL right?")
	case status > 400 && status < 500:
		return ai.KindBadRequest, nil
	default:
		return ai.KindUnavailable, nil
	}
}

func notFoundOrBad(status int, d details) (ai.Kind, error) {
	switch {
	case d.says("model_not_found", "model not found"), d.says("model") && d.says("not found", "does not exist", "no such", "not exist"):
		return ai.KindModelNotFound, nil
	case d.says("content_filter", "content_policy", "responsibleai"):
		return ai.KindBlocked, nil
	case status == http.StatusNotFound:
		return ai.KindUnavailable, errors.New("the upstream has no chat completions at this address; is the base URL right?")
	case status == http.StatusBadRequest || d.says("invalid_request"):
		return ai.KindBadRequest, nil
	default:
		return ai.KindUnavailable, nil
	}
}

// toolPhrases are how servers say that a model, or their set-up, has no tools. None has a
// code for it, so this is the one place where a refusal's words alone decide; a server
// that says it otherwise gives bad_request.
var toolPhrases = []string{
	"does not support tool", "doesn't support tool", "not support function call", // Ollama, DeepSeek
	"enable-auto-tool-choice", "tool-call-parser", // vLLM
	"tools param requires", "requires --jinja", // llama.cpp
	"support tool use", "tool calling is not supported", "tool use is not supported", // OpenRouter, Groq
	"function calling is not supported", "tools are not supported", "does not support function",
	"'tools' is not supported", "`tools` is not supported", "unsupported parameter: 'tools'", "does not support parameters: ['tools'", // OpenAI, Groq, LiteLLM
}

// noTools tells that what was refused is the tools.
func (r Refusal) noTools() bool {
	switch r.Status {
	case 0, http.StatusOK, http.StatusBadRequest, http.StatusNotFound, http.StatusUnprocessableEntity, http.StatusInternalServerError, http.StatusNotImplemented:
	default:
		return false
	}
	return r.Tools && details{text: strings.ToLower(string(r.Body[:min(len(r.Body), maxRefusal)]))}.says(toolPhrases...)
}

// details are what an error body says, lower case, for comparing only.
type details struct {
	text   string
	status int
}

func (d details) says(words ...string) bool {
	for _, w := range words {
		if strings.Contains(d.text, w) {
			return true
		}
	}
	return false
}

func (d details) tooLong() bool {
	return d.says("context_length", "exceed_context_size", "maximum context", "context length", "context window",
		"available context", "prompt is too long", "input is too long", "too many tokens", "reduce the length")
}

// read finds code, type and message in {"error":{…}}, {"error":"…"} and the bare
// object of older vLLM.
func read(body []byte) details {
	var outer struct {
		Error json.RawMessage `json:"error"`
		object
	}
	if json.Unmarshal(body, &outer) != nil {
		return details{}
	}
	o := outer.object
	var text string
	switch {
	case json.Unmarshal(outer.Error, &text) == nil:
		o.Message = text
	case len(outer.Error) > 0:
		o = object{}
		if json.Unmarshal(outer.Error, &o) != nil {
			return details{}
		}
	}
	code := strings.Trim(string(o.Code), `"`)
	d := details{text: strings.ToLower(code + "\n" + o.Type + "\n" + o.Message)}
	if n, err := strconv.Atoi(code); err == nil && n >= 400 && n < 600 {
		d.status = n
	}
	return d
}

type object struct {
	Code    json.RawMessage `json:"code"`
	Type    string          `json:"type"`
	Message string          `json:"message"`
}

// maxRetryAfter caps what an upstream may ask its clients to wait.
const maxRetryAfter = 24 * time.Hour

// retryAfter reads the header's seconds or date, rounded up to whole seconds.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if v == "" {
		return 0
	}
	if n, err := strconv.ParseFloat(v, 64); err == nil {
		if !(n > 0) {
			return 0
		}
		return time.Duration(min(n, maxRetryAfter.Seconds()) * float64(time.Second)).Truncate(time.Millisecond)
	}
	at, err := http.ParseTime(v)
	if err != nil || !at.After(now) {
		return 0
	}
	return min(at.Sub(now).Truncate(time.Second)+time.Second, maxRetryAfter)
}
