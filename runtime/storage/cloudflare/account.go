package cloudflare

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/cloudflareapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

// Credential is one API token.
type Credential struct {
	// ID of the token; with the digest of Token it opens R2.
	ID string
	// Token is its value.
	Token string
}

// Options of an Account.
type Options struct {
	// AccountID is 32 hexadecimal digits.
	AccountID string
	// API replaces https://api.cloudflare.com/client/v4, S3 the address of R2. Empty for
	// Cloudflare's own.
	API, S3 string
	// Credential gives the API token for each call.
	Credential func() Credential
	// Pods share the token's budget; 0 is 1.
	Pods int
	// Transport for all calls; a default one if nil.
	Transport http.RoundTripper
	// Now is the clock of budgets and signatures; time.Now if nil.
	Now func() time.Time
}

// Account is what the calls of one API token have in common: address, budget, health.
// It is safe for concurrent use.
type Account struct {
	o      Options
	http   *http.Client
	budget *budget
	// trouble is why the last call failed, "" if it didn't.
	trouble atomic.Value
}

const (
	// firstByte is how long an answer may take to begin.
	firstByte = 30 * time.Second
	// callTimeout is how long a call of the REST API may take: thousands of vectors are
	// sent in one.
	callTimeout = 2 * time.Minute
)

// maxAnswer bounds an answer: 50 matches of 10 KiB, and as much again for the envelope.
const maxAnswer = 8 << 20

// New makes an account. It calls nobody.
func New(o Options) *Account {
	if o.API == "" {
		o.API = "https://api.cloudflare.com/client/v4"
	}
	o.API, o.S3 = strings.TrimRight(o.API, "/"), strings.TrimRight(o.S3, "/")
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Transport == nil {
		o.Transport = &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: 90 * time.Second, ResponseHeaderTimeout: firstByte, ForceAttemptHTTP2: true}
	}
	a := &Account{o: o, budget: newBudget(o.Pods, o.Now), http: &http.Client{
		Transport: o.Transport,
		// A redirect would carry the token to a place that nobody configured.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	a.trouble.Store("")
	return a
}

// Close lets go of idle connections.
func (a *Account) Close() { a.http.CloseIdleConnections() }

// Health tells whether the last call worked; it does no I/O.
func (a *Account) Health() storage.Health {
	reason := a.trouble.Load().(string)
	return storage.Health{OK: reason == "", Reason: reason}
}

// Refused counts calls that weren't made because the token's budget was spent, Rejected
// those that Cloudflare refused for the same reason.
func (a *Account) Refused() (here, atCloudflare int64) {
	a.budget.mu.Lock()
	defer a.budget.mu.Unlock()
	return a.budget.refused, a.budget.rejected
}

// apiCall is one call of the REST API. Every one may be repeated: it sets what is so
// already, or only reads.
type apiCall struct {
	method, path, contentType string
	body                      []byte
	// background: nobody waits for it.
	background bool
}

// apiError is Cloudflare's refusal. Its text is for logs and holds nothing of what was
// sent.
type apiError struct {
	status int
	codes  []int
	advice string
}

func (e *apiError) Error() string {
	s := fmt.Sprintf("cloudflare refused with status %d", e.status)
	if len(e.codes) > 0 {
		s += fmt.Sprintf(", code %d", e.codes[0])
	}
	if e.advice != "" {
		s += ": " + e.advice
	}
	return s
}

// Unwrap makes all refusals but those of a bad request an outage, which may heal.
func (e *apiError) Unwrap() error {
	if e.status == http.StatusBadRequest && e.advice == "" || e.status == http.StatusRequestEntityTooLarge {
		return nil
	}
	return storage.ErrUnavailable
}

// call makes one call and reads the envelope's result into out, if it isn't nil. It is
// tried once more if Cloudflare or the way to it failed.
func (a *Account) call(ctx context.Context, c apiCall, out any) error {
	for try := 0; ; try++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if busy := a.budget.take(c.background); busy != nil {
			return busy
		}
		body, again, err := a.once(ctx, c)
		if err == nil && out != nil {
			err = readResult(body, out)
		}
		a.note(ctx, err)
		if err == nil || !again || try > 0 || ctx.Err() != nil {
			return err
		}
	}
}

// raw is call for what isn't in an envelope.
func (a *Account) raw(ctx context.Context, c apiCall) ([]byte, error) {
	if busy := a.budget.take(c.background); busy != nil {
		return nil, busy
	}
	body, _, err := a.once(ctx, c)
	a.note(ctx, err)
	return body, err
}

func readResult(body []byte, out any) error {
	var e cloudflareapi.Envelope
	if err := json.Unmarshal(body, &e); err != nil || e.Success == nil {
		return fmt.Errorf("%w: the answer isn't Cloudflare's", storage.ErrUnavailable)
	}
	if err := json.Unmarshal(e.Result, out); err != nil {
		return fmt.Errorf("%w: the answer isn't of this call", storage.ErrUnavailable)
	}
	return nil
}

func (a *Account) once(ctx context.Context, c apiCall) (body []byte, again bool, err error) {
	timed, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(timed, c.method, a.o.API+"/accounts/"+a.o.AccountID+c.path, bytes.NewReader(c.body))
	if err != nil {
		return nil, false, errors.New("making a call: cloudflare.api makes no address")
	}
	r.Header.Set("User-Agent", "crispy-enigma")
	r.Header.Set("Authorization", "Bearer "+a.o.Credential().Token)
	if c.contentType != "" {
		r.Header.Set("Content-Type", c.contentType)
	}
	resp, err := a.http.Do(r)
	if err != nil {
		return nil, true, unreachable(ctx)
	}
	defer func() { _ = resp.Body.Close() }() // it was read to its end, or is given up
	if body, err = cloudflareapi.ReadBody(resp.Body, maxAnswer); err != nil {
		return nil, !errors.Is(err, cloudflareapi.ErrTooLong), unreachable(ctx)
	}
	found := cloudflareapi.ParseErrors(resp.StatusCode, resp.Header.Get("Content-Type"), body)
	if resp.StatusCode < 300 && len(found) == 0 && !saysNo(body) {
		return body, false, nil
	}
	if resp.StatusCode == http.StatusTooManyRequests {
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After")) // 0 is no word
		return nil, false, a.budget.block(time.Duration(seconds) * time.Second)
	}
	e := &apiError{status: resp.StatusCode}
	for _, f := range found {
		e.codes = append(e.codes, f.Code)
	}
	e.advise()
	return nil, resp.StatusCode >= 500, e
}

// codeNoKey: KV has nothing under this key.
const codeNoKey = 10009

// saysNo finds success:false that no error explains.
func saysNo(body []byte) bool {
	var e cloudflareapi.Envelope
	return json.Unmarshal(body, &e) == nil && e.Success != nil && !*e.Success
}

func (e *apiError) advise() {
	switch {
	case e.has(3000), e.has(3005):
		e.advice = "the Vectorize index isn't there: see the Tenant's condition BindingsReady"
	case e.has(10013), e.has(7404):
		e.advice = "the namespace or database isn't there: see the Tenant's condition BindingsReady"
	case e.unauthorized():
		e.advice = "the API token isn't valid or lacks a permission: see the Tenant's condition BindingsReady"
	}
}

// unauthorized: 6003 is a header without a token, 9109 and 10000 one that isn't good.
func (e *apiError) unauthorized() bool {
	return e.status == http.StatusUnauthorized || e.status == http.StatusForbidden || e.has(6003) || e.has(9109) || e.has(10000)
}

func (e *apiError) has(code int) bool {
	for _, c := range e.codes {
		if c == code {
			return true
		}
	}
	return false
}

// unreachable is what a broken connection means; net/http's own text holds the address.
func unreachable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return fmt.Errorf("%w: cloudflare can't be reached", storage.ErrUnavailable)
}

// note keeps what the last call met, in one word for a script. A client that has gone
// says nothing of Cloudflare.
func (a *Account) note(ctx context.Context, err error) {
	var busy *storage.BusyError
	var refused *apiError
	switch {
	case err == nil:
		a.trouble.Store("")
	case ctx.Err() != nil:
	case errors.As(err, &refused) && refused.has(codeNoKey):
		a.trouble.Store("") // an answer like any other
	case errors.As(err, &busy):
		a.trouble.Store("rate_limited")
	case errors.As(err, &refused) && refused.unauthorized():
		a.trouble.Store("unauthorized")
	case errors.As(err, &refused) && refused.advice != "":
		a.trouble.Store("missing")
	case errors.Is(err, storage.ErrUnavailable):
		a.trouble.Store("unavailable")
	}
}

// drain reads what is left of a small answer, so that its connection can be used again.
func drain(r io.Reader) { _, _ = io.CopyN(io.Discard, r, 64<<10) } // only the connection's reuse is at stake
