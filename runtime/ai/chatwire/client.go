package chatwire

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// maxAnswer is the largest whole answer in bytes; maxRefusal is how much of an
// error's body is read.
const (
	maxAnswer  = 8 << 20
	maxRefusal = 64 << 10
)

// Times bounds the waits of a call. A zero field takes its default.
type Times struct {
	// FirstByte is the wait for the answer's headers, default 60 s. A whole answer
	// sends none before the model is done.
	FirstByte time.Duration
	// Silence is the longest pause inside an answer, default 60 s.
	Silence time.Duration
}

// Settings of a Client.
type Settings struct {
	// URL of the chat-completions call.
	URL string
	// Credential gives the bearer token, empty for none. It is asked for each call.
	Credential func() string
	// Prepare adds the driver's own headers to a call of a model with this body. It may
	// be nil.
	Prepare func(h http.Header, t tenancy.ID, model string, body []byte)
	// Kind reads the driver's own error bodies: "" means that the usual reading of
	// Refusal holds. The error says in the driver's own words what to do; it and Kind
	// may be nil.
	Kind func(r Refusal) (ai.Kind, error)
	// Transport for all calls, NewTransport if nil.
	Transport http.RoundTripper
	Times     Times
}

// Client makes chat-completions calls. It is safe for concurrent use.
type Client struct {
	s      Settings
	http   *http.Client
	tokens ai.Estimator
	spare  retryBudget
}

// NewClient checks the address and makes a client. A URL with a user or password in
// it is refused: it would show up in logs.
func NewClient(s Settings) (*Client, error) {
	u, err := url.Parse(s.URL)
	if err != nil {
		return nil, errors.New("the upstream's base URL doesn't parse; it must look like http://ollama.models:11434/v1")
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, errors.New("the upstream's base URL must be absolute and begin with http:// or https://")
	case u.User != nil:
		return nil, errors.New("the upstream's base URL must not hold a user or password; put the token into the credentials file")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("the upstream's base URL must not have a query or fragment")
	}
	if s.Transport == nil {
		s.Transport = NewTransport(TransportOptions{})
	}
	if s.Times.FirstByte <= 0 {
		s.Times.FirstByte = time.Minute
	}
	if s.Times.Silence <= 0 {
		s.Times.Silence = time.Minute
	}
	return &Client{
		s: s,
		http: &http.Client{
			Transport: s.Transport,
			// A redirect would carry the conversation, and on the same host the
			// credential, to a place that nobody configured.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Complete waits for the whole answer.
func (c *Client) Complete(ctx context.Context, t tenancy.ID, req ai.ChatRequest) (ai.Answer, error) {
	k, err := c.call(ctx, t, req, false)
	if err != nil {
		return ai.Answer{}, err
	}
	defer k.end()
	body, err := k.whole()
	if err != nil {
		return ai.Answer{}, err
	}
	var f frame
	switch {
	case !f.read(body):
		return ai.Answer{}, &ai.Error{Kind: ai.KindMalformed, Status: k.status, Err: errors.New("the answer is no JSON object")}
	case f.refused:
		return ai.Answer{}, c.refusal(Refusal{Status: k.status, Body: body, Tools: len(req.Tools) > 0}, nil)
	case !f.spoke && !f.hasUsage:
		return ai.Answer{}, &ai.Error{Kind: ai.KindMalformed, Status: k.status, Err: errors.New("the answer has no choices")}
	}
	var j joiner
	a := ai.Answer{Text: j.add(f.text), Finish: f.finish, Usage: f.usage, Model: req.Model}
	a.Text += j.flush()
	var calls calls
	if !calls.add(f.calls) {
		return ai.Answer{}, &ai.Error{Kind: ai.KindMalformed, Status: k.status, Err: errTooManyCalls}
	}
	a.ToolCalls, a.Finish = calls.take(a.Finish)
	if !f.hasUsage {
		a.Usage = ai.Usage{In: c.tokens.Messages(req.Model, req.Messages, req.Tools...), Out: c.tokens.Text(req.Model, a.Text), Estimated: true}
		for _, call := range a.ToolCalls {
			a.Usage.Out += c.tokens.Text(req.Model, call.Name+call.Arguments)
		}
	}
	return a, nil
}

// Stream returns when the upstream has accepted the call.
func (c *Client) Stream(ctx context.Context, t tenancy.ID, req ai.ChatRequest) (ai.Stream, error) {
	k, err := c.call(ctx, t, req, true)
	if err != nil {
		return nil, err
	}
	return newStream(c, k, req.Model, len(req.Tools) > 0)
}

// call sends the request and waits until the upstream accepts it. It tries once more
// if the first attempt got no byte of an answer, or an overload's status.
func (c *Client) call(ctx context.Context, t tenancy.ID, req ai.ChatRequest, stream bool) (*exchange, error) {
	body, err := encode(t, req, stream)
	if err != nil {
		return nil, &ai.Error{Kind: ai.KindBadRequest, Err: err}
	}
	o := outgoing{url: c.s.URL, model: req.Model, trace: req.TraceID, accept: "application/json", body: body, tools: len(req.Tools) > 0}
	if stream {
		o.accept = "text/event-stream, application/json"
	}
	return c.send(ctx, t, o)
}

// outgoing is one request, as it is sent each time it is tried.
type outgoing struct {
	url, model, trace, accept string
	body                      []byte
	tools                     bool
}

func (c *Client) send(ctx context.Context, t tenancy.ID, o outgoing) (*exchange, error) {
	c.spare.earn()
	for attempt := 0; ; attempt++ {
		k, again, err := c.attempt(ctx, t, o)
		if err == nil || !again || attempt > 0 || !c.spare.spend() {
			return k, err
		}
		if err := pause(ctx); err != nil {
			return nil, err
		}
	}
}

// pause waits 50 to 150 ms, so that the calls of one outage don't come back together.
func pause(ctx context.Context) error {
	var random [1]byte
	_, _ = rand.Read(random[:]) // never fails
	wait := time.NewTimer(50*time.Millisecond + time.Duration(random[0])*100*time.Millisecond/256)
	defer wait.Stop()
	select {
	case <-wait.C:
		return nil
	case <-ctx.Done():
		return contextError(ctx)
	}
}

func (c *Client) attempt(ctx context.Context, t tenancy.ID, o outgoing) (k *exchange, again bool, err error) {
	k = newExchange(ctx, c.s.Times.FirstByte)
	var answered atomic.Bool
	traced := httptrace.WithClientTrace(k.ctx, &httptrace.ClientTrace{GotFirstResponseByte: func() { answered.Store(true) }})
	hr, err := http.NewRequestWithContext(traced, http.MethodPost, o.url, bytes.NewReader(o.body))
	if err != nil {
		k.end()
		return nil, false, &ai.Error{Kind: ai.KindBadRequest, Err: errors.New("the upstream's base URL makes no request")}
	}
	c.headers(hr.Header, t, o)
	if err := k.send(c.http, hr, c.s.Times.Silence); err != nil {
		err := k.failure(err, ai.KindUnavailable)
		k.end()
		return nil, !answered.Load() && refusedOrReset(err), err
	}
	if k.status == http.StatusOK {
		return k, false, nil
	}
	defer k.end()
	header := k.resp.Header
	r := Refusal{Status: k.status, ContentType: k.contentType, Tools: o.tools}
	r.Body, _ = io.ReadAll(io.LimitReader(k, maxRefusal))
	if ctx.Err() != nil {
		return nil, false, contextError(ctx)
	}
	e := c.refusal(r, header)
	switch k.status {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		again = e.Kind == ai.KindUnavailable && header.Get("Retry-After") == ""
	}
	return nil, again, e
}

func (c *Client) headers(h http.Header, t tenancy.ID, o outgoing) {
	h.Set("Content-Type", "application/json")
	h.Set("User-Agent", "crispy-enigma")
	h.Set("Accept", o.accept)
	if c.s.Credential != nil {
		if token := c.s.Credential(); token != "" {
			h.Set("Authorization", "Bearer "+token)
		}
	}
	if visible(o.trace) {
		h.Set("X-Request-Id", o.trace)
	}
	if c.s.Prepare != nil {
		c.s.Prepare(h, t, o.model, o.body)
	}
}

func visible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != "" && len(s) <= 128
}

// whole reads the answer's body.
func (k *exchange) whole() ([]byte, error) {
	if isHTML(k.contentType) {
		return nil, &ai.Error{Kind: ai.KindMalformed, Status: k.status, Err: errors.New("the answer is a web page; is the base URL right?")}
	}
	body, err := io.ReadAll(io.LimitReader(k, maxAnswer+1))
	if err != nil {
		return nil, k.failure(err, ai.KindTruncated)
	}
	if len(body) > maxAnswer {
		return nil, &ai.Error{Kind: ai.KindMalformed, Status: k.status, Err: fmt.Errorf("the answer exceeds %d MiB", maxAnswer>>20)}
	}
	return body, nil
}

func isHTML(contentType string) bool {
	t, _, err := mime.ParseMediaType(contentType)
	return err == nil && (t == "text/html" || t == "application/xhtml+xml")
}

// retryBudget lets one call in ten be repeated, with a reserve for a short outage,
// so that retries can't double the load of an upstream that is going down.
type retryBudget struct{ tenths atomic.Int64 }

const retryReserve = 100

func (b *retryBudget) earn() {
	if b.tenths.Load() > -retryReserve {
		b.tenths.Add(-1)
	}
}

// spend counts downwards from the reserve, so that the zero budget is a full one.
func (b *retryBudget) spend() bool {
	if b.tenths.Add(10) > retryReserve {
		b.tenths.Add(-10)
		return false
	}
	return true
}
