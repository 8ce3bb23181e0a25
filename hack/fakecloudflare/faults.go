package fakecloudflare

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Fault is something that goes wrong with a call. What isn't said doesn't matter: an
// empty pattern matches everything.
type Fault struct {
	// Method and Operation are regular expressions over the method and the operation
	// id, Path one over the URL's path. All are anchored.
	Method, Path, Operation string
	// Account and Token narrow it to an account's id, or a token's id.
	Account, Token string
	// Nth is the first matching call that is hit, 0 and 1 the next one. Times is how many
	// in a row are; 0 means one, below 0 all.
	Nth, Times int

	// After: the call is carried out and the fault hides that. Otherwise it isn't.
	After bool
	// Status, Body and ContentType replace the answer. A status without a body gives
	// the envelope.
	Status      int
	Body        string
	ContentType string
	// RetryAfter is in whole seconds; it is sent if it isn't 0.
	RetryAfter time.Duration
	// Cut breaks the connection without an answer.
	Cut bool
	// Hang never answers, until the client goes away: a time-out.
	Hang bool
	// Truncate breaks the connection after so many bytes of the true answer's body.
	Truncate int
	// Delay holds the call back, by the real clock. Alone it makes a call slow.
	Delay time.Duration
	// Gate holds the call back until it is closed.
	Gate <-chan struct{} `json:"-"`
	// Do is called when the fault is played, for a test that stops its client there.
	Do func() `json:"-"`

	seen                    int
	method, path, operation *regexp.Regexp
}

// Bodies that are seen where the envelope is expected.
const BodyHTML = "<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body>cloudflare</body></html>"

// BodyEnvelope is an error of the REST API.
func BodyEnvelope(code int, message string) string {
	return fmt.Sprintf(`{"success":false,"errors":[{"code":%d,"message":%q}],"messages":[],"result":null}`, code, message)
}

// BodyGateway is an error of AI Gateway: error is singular and a list.
func BodyGateway(code int, message string) string {
	return fmt.Sprintf(`{"success":false,"result":[],"messages":[],"error":[{"code":%d,"message":%q}]}`, code, message)
}

// BodyBinding is an error of Workers AI's own.
func BodyBinding(code int, message string) string {
	return fmt.Sprintf(`{"internalCode":%d,"message":%q,"name":"InferenceUpstreamError","description":%q}`, code, message, message)
}

// BodyOpenAI is an error in OpenAI's shape.
func BodyOpenAI(code, message string) string {
	return fmt.Sprintf(`{"error":{"message":%q,"type":"invalid_request_error","code":%q}}`, message, code)
}

// Script adds a fault. The oldest one that matches a call is played.
func (s *Server) Script(f Fault) error {
	for _, p := range []struct {
		text string
		re   **regexp.Regexp
	}{{f.Method, &f.method}, {f.Path, &f.path}, {f.Operation, &f.operation}} {
		if p.text == "" {
			continue
		}
		re, err := regexp.Compile("^(?:" + p.text + ")$")
		if err != nil {
			return fmt.Errorf("reading the pattern of a fault: %w", err)
		}
		*p.re = re
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
	return nil
}

// Heal takes all scripted faults back.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// Call is what a test may decide on before a call is carried out.
type Call struct {
	Seq                           int
	Method, Path, Operation, Kind string
	// Token is the id of the caller's.
	Account, Token, Query string
	Body                  []byte
}

// OnCall lets f give the fault of each call, or nil. It is asked before the scripted
// ones, by several goroutines at once. Nil takes it back.
func (s *Server) OnCall(f func(Call) *Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onCall = f
}

// due gives the fault of a call.
func (s *Server) due(c *call) *Fault {
	s.mu.Lock()
	onCall := s.onCall
	e := c.entry
	cred, ok := s.values[strings.TrimPrefix(c.r.Header.Get("Authorization"), "Bearer ")]
	if ok {
		e.Token = cred.token.ID
	}
	s.mu.Unlock()
	if onCall != nil {
		if f := onCall(Call{Seq: e.Seq, Method: e.Method, Path: e.Path, Operation: e.Operation, Kind: e.Kind, Account: e.Account,
			Token: e.Token, Query: c.r.URL.RawQuery, Body: c.body}); f != nil {
			return f
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var hit *Fault
	for _, f := range s.faults {
		if !f.matches(e) {
			continue
		}
		f.seen++
		first := max(f.Nth, 1)
		if hit == nil && f.seen >= first && (f.Times < 0 || f.seen < first+max(f.Times, 1)) {
			hit = f
		}
	}
	return hit
}

func (f *Fault) matches(e Entry) bool {
	is := func(re *regexp.Regexp, s string) bool { return re == nil || re.MatchString(s) }
	return is(f.method, e.Method) && is(f.path, e.Path) && is(f.operation, e.Operation) &&
		(f.Account == "" || f.Account == e.Account) && (f.Token == "" || f.Token == e.Token)
}

// play waits, breaks the connection, or gives the answer that replaces the true one.
func (f *Fault) play(c *call) (answer, bool) {
	ctx := c.r.Context()
	if f.Do != nil {
		f.Do()
	}
	if f.Delay > 0 {
		t := time.NewTimer(f.Delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
		}
	}
	if f.Gate != nil {
		select {
		case <-f.Gate:
		case <-ctx.Done():
		}
	}
	switch {
	case f.Hang || f.Cut:
		c.entry.Fault, c.entry.Status = "cut", 0
		if f.Hang {
			c.entry.Fault = "hang"
		}
		c.s.note(c) // before the client can know
		if f.Hang {
			<-ctx.Done()
		}
		panic(http.ErrAbortHandler)
	case f.Status == 0:
		return answer{}, false
	}
	c.entry.Fault = "status " + strconv.Itoa(f.Status)
	a := fail(f.Status, 10001, "%s", http.StatusText(f.Status))
	if f.Body != "" {
		a.body = []byte(f.Body)
		if strings.HasPrefix(f.Body, "<") {
			a.contentType = "text/html; charset=UTF-8"
		}
	}
	if f.ContentType != "" {
		a.contentType = f.ContentType
	}
	if f.RetryAfter > 0 {
		a = a.with("Retry-After", strconv.Itoa(int((f.RetryAfter+time.Second-1)/time.Second)))
	}
	return a, true
}
