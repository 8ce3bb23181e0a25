package cloudflare

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/cloudflareapi"
)

const (
	// maxAnswer is above the longest list that comes in one piece: 50,000 indexes.
	maxAnswer = 32 << 20
	// attempts of what may be repeated.
	attempts   = 3
	firstPause = 200 * time.Millisecond
)

// request is one call of the API.
type request struct {
	op     string
	kind   Kind
	method string
	path   string // whole, its variables escaped
	query  url.Values
	header http.Header
	body   any
	// permissions of which the token needs one.
	permissions []string
	// creates: it must not be repeated, and is told to whom it may concern.
	creates bool
	// verifies: its refusal needs no explanation by another call.
	verifies bool
}

// request begins one for a verb on a kind.
func (c *Client) request(verb Verb, kind Kind) request {
	reads := verb == OpGet || verb == OpFind || verb == OpList
	return request{op: Op(verb, kind), kind: kind, method: http.MethodGet, permissions: PermissionsTo(kind, !reads), creates: verb == Create}
}

// to is the request with its method and the path below the account's.
func (r request) to(c *Client, method string, path ...string) request {
	r.method, r.path = method, c.base
	for _, p := range path {
		r.path += "/" + p
	}
	return r
}

func (r request) with(body any) request {
	r.body = body
	return r
}

// escape makes a segment of a path of what anyone may have written.
func escape(id string) string {
	switch id {
	case ".", "..":
		return "%2E" + url.PathEscape(id[1:]) // no way up
	}
	return url.PathEscape(id)
}

// call makes the request, again if it is safe, and reads its result. The error is an
// *Error.
func (c *Client) call(ctx context.Context, r request, result any) (cloudflareapi.PageInfo, error) {
	var body []byte
	if r.body != nil {
		var err error
		if body, err = json.Marshal(r.body); err != nil {
			return cloudflareapi.PageInfo{}, &Error{Op: r.op, Meaning: ErrInvalid, Cause: err}
		}
	}
	if !c.token.sendable() {
		return cloudflareapi.PageInfo{}, &Error{Op: r.op, Meaning: ErrUnauthorized}
	}
	for n := 1; ; n++ {
		if after, err := c.budget.wait(ctx, c.lane); err != nil {
			e := &Error{Op: r.op, Meaning: ErrUnavailable, Cause: err, After: after}
			if errors.Is(err, context.DeadlineExceeded) {
				e.Meaning = ErrRateLimited
			}
			return cloudflareapi.PageInfo{}, e
		}
		page, e := c.exchange(ctx, r, body, result)
		if e == nil {
			return page, nil
		}
		again := r.method != http.MethodPost && errors.Is(e.Meaning, errFailed) && n < attempts && ctx.Err() == nil
		if !again {
			c.judge(ctx, r, e)
			return page, e
		}
		if !c.pause(ctx, firstPause<<(n-1)) {
			c.judge(ctx, r, e)
			return page, e
		}
	}
}

// pause waits between half of d and d; it is false if ctx ends before.
func (c *Client) pause(ctx context.Context, d time.Duration) bool {
	t := c.pool.opts.Clock.NewTimer(d/2 + rand.N(d/2)) // #nosec G404 -- spreads retries, keeps no secret
	defer t.Stop()
	select {
	case <-t.C():
		return true
	case <-ctx.Done():
		return false
	}
}

// judge turns a verdict into a meaning.
func (c *Client) judge(ctx context.Context, r request, e *Error) {
	verdict := e.Meaning
	switch {
	case errors.Is(verdict, errFailed):
		e.Meaning = ErrUncertain
		if r.method == http.MethodGet {
			e.Meaning = ErrUnavailable
		}
	case errors.Is(verdict, ErrRateLimited):
		e.After = c.budget.block(e.After)
	case errors.Is(verdict, errUnclear):
		e.Meaning = ErrInvalid
	case errors.Is(verdict, errRoute), errors.Is(verdict, errDenied):
		if r.verifies {
			e.Meaning = ErrWrongAccount
			return
		}
		denied := c.denied(ctx)
		if errors.Is(verdict, errRoute) && errors.Is(denied, ErrForbidden) {
			// The account is right, so it is the thing's id.
			e.Meaning = ErrNotFound
			if r.creates {
				e.Meaning = ErrInvalid
			}
			return
		}
		if e.Meaning = denied; errors.Is(denied, ErrForbidden) {
			e.Missing = r.permissions
		}
	}
}

// exchange is one request and its answer. The error's meaning may be a verdict.
func (c *Client) exchange(ctx context.Context, r request, body []byte, result any) (cloudflareapi.PageInfo, *Error) {
	var none cloudflareapi.PageInfo
	ctx, cancel := context.WithTimeout(ctx, c.pool.opts.Timeout)
	defer cancel()
	var sent atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { sent.Store(true) }})

	address := r.path
	if len(r.query) > 0 {
		address += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, address, bytes.NewReader(body))
	if err != nil {
		return none, &Error{Op: r.op, Meaning: ErrInvalid, Cause: errors.New("the API's address or an id can't be part of an address")}
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	req.Header.Set("Authorization", "Bearer "+string(c.token))
	req.Header.Set("User-Agent", c.pool.opts.UserAgent)
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.pool.client.Do(req)
	if err != nil {
		e := &Error{Op: r.op, Meaning: errFailed, Cause: err}
		if !sent.Load() {
			// No connection, so nobody can have understood anything.
			e.Meaning = ErrUnavailable
		}
		return none, e
	}
	defer func() { _ = resp.Body.Close() }()
	return c.answer(r, resp, result)
}

// answer reads what came back.
func (c *Client) answer(r request, resp *http.Response, result any) (cloudflareapi.PageInfo, *Error) {
	var env cloudflareapi.Envelope
	e := &Error{Op: r.op, Status: resp.StatusCode, RequestID: requestID(resp.Header), After: retryAfter(resp.Header)}
	c.heed(resp.Header)
	body, err := cloudflareapi.ReadBody(resp.Body, maxAnswer)
	if err != nil {
		e.Meaning, e.Cause = errFailed, err
		if resp.StatusCode >= 400 {
			e.Code, e.Meaning = meaning(r, resp.StatusCode, nil)
		}
		return env.Page, e
	}
	refusals := cloudflareapi.ParseErrors(resp.StatusCode, resp.Header.Get("Content-Type"), body)
	err = json.Unmarshal(body, &env)
	if resp.StatusCode >= 300 || err == nil && (env.Success == nil || !*env.Success) {
		e.Code, e.Meaning = meaning(r, resp.StatusCode, refusals)
		return env.Page, e
	}
	if err == nil && result != nil {
		err = json.Unmarshal(env.Result, result)
	}
	if err != nil {
		// It was carried out, but the answer makes no sense.
		e.Meaning, e.Cause = errFailed, errors.New("the answer isn't what the API promises")
		return env.Page, e
	}
	return env.Page, nil
}

// empty is an answer that says yes and names nothing.
func (r request) empty() error {
	e := &Error{Op: r.op, Meaning: ErrUnavailable, Status: http.StatusOK}
	if r.method != http.MethodGet {
		e.Meaning = ErrUncertain
	}
	return e
}

// requestID is what Cloudflare's support asks for; a text of somebody else's is cut.
func requestID(h http.Header) string {
	id := h.Get("Cf-Ray")
	return id[:min(len(id), 40)]
}

// heed holds everyone back once others have used up what we were to share.
func (c *Client) heed(h http.Header) {
	left, reset := -1, 0
	for part := range strings.SplitSeq(h.Get("Ratelimit"), ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		n, err := strconv.Atoi(value)
		switch {
		case err != nil:
		case name == "r":
			left = n
		case name == "t":
			reset = n
		}
	}
	if left == 0 && reset > 0 {
		c.budget.block(time.Duration(min(reset, 3600)) * time.Second)
	}
}

// retryAfter is 0 if it isn't told, and a day at most.
func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return min(time.Duration(min(seconds, 86_400))*time.Second, 24*time.Hour)
}
