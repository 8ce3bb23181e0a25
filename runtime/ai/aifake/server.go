package aifake

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"
)

// Server is the upstream. It is safe for concurrent use.
type Server struct {
	// URL is the base URL for an OpenAI driver.
	URL string
	// Origin is scheme, host and port, under which Cloudflare's paths lie too.
	Origin string

	http    *httptest.Server
	closing chan struct{}
	once    sync.Once

	mu       sync.Mutex
	key      string
	script   func(*Request) Answer
	queue    []Answer
	requests []*Request
	arrived  chan struct{} // closed and replaced whenever a request comes
}

// New starts a server that ends with the test. It gives the answers in order, and
// the last one for ever; without any it refuses.
func New(t testing.TB, answers ...Answer) *Server {
	t.Helper()
	s := Start(answers...)
	t.Cleanup(s.Close)
	return s
}

// Start is New for programs; call Close.
func Start(answers ...Answer) *Server {
	s := &Server{queue: answers, closing: make(chan struct{}), arrived: make(chan struct{})}
	s.http = httptest.NewServer(http.HandlerFunc(s.serve))
	s.Origin = s.http.URL
	s.URL = s.http.URL + "/v1"
	return s
}

// Close ends all calls and the server.
func (s *Server) Close() {
	s.once.Do(func() {
		close(s.closing)
		s.http.CloseClientConnections()
		s.http.Close()
	})
}

// Answer replaces what is still to be answered.
func (s *Server) Answer(answers ...Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script, s.queue = nil, answers
}

// Script lets f decide on each call. f may be called by several goroutines at once.
func (s *Server) Script(f func(*Request) Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = f
}

// RequireKey refuses calls without this bearer token.
func (s *Server) RequireKey(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.key = key
}

// Requests are all calls so far, in the order they came, refused ones included.
func (s *Server) Requests() []*Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Await waits until n calls have come and gives the n-th; it is nil if they didn't
// within ten seconds.
func (s *Server) Await(n int) *Request {
	limit := time.NewTimer(10 * time.Second)
	defer limit.Stop()
	for {
		s.mu.Lock()
		arrived, requests := s.arrived, s.requests
		s.mu.Unlock()
		if len(requests) >= n {
			return requests[n-1]
		}
		select {
		case <-arrived:
		case <-limit.C:
			return nil
		}
	}
}

// Ledger is what the answered calls used, in the order they came.
func (s *Server) Ledger() []Entry {
	var entries []Entry
	for _, r := range s.Requests() {
		if r.Refused == "" {
			entries = append(entries, r.entry())
		}
	}
	return entries
}

func (s *Server) serve(w http.ResponseWriter, hr *http.Request) {
	body, err := io.ReadAll(io.LimitReader(hr.Body, 32<<20))
	if err != nil {
		panic(http.ErrAbortHandler) // the client broke off its own request
	}
	r := &Request{
		Method: hr.Method, Path: hr.URL.Path, Header: hr.Header.Clone(), Body: body,
		canceled: make(chan struct{}), done: make(chan struct{}),
	}
	stop := context.AfterFunc(hr.Context(), func() {
		r.canceledAt = time.Now()
		close(r.canceled)
	})
	defer close(r.done)
	defer stop()
	answer := s.admit(r)
	play{w: w, ctx: hr.Context(), closing: s.closing, r: r, a: answer}.run()
}

// admit records the call and chooses its answer.
func (s *Server) admit(r *Request) Answer {
	status, complaint := check(r)
	s.mu.Lock()
	if complaint == "" && s.key != "" && r.Header.Get("Authorization") != "Bearer "+s.key {
		status, complaint = http.StatusUnauthorized, "Incorrect API key provided."
	}
	r.Refused = complaint
	s.requests = append(s.requests, r)
	close(s.arrived)
	s.arrived = make(chan struct{})
	script := s.script
	var answer Answer
	switch {
	case complaint != "":
		answer = Refuses(status, openAIError(complaint))
	case script != nil:
	case len(s.queue) == 0:
		answer = Refuses(http.StatusInternalServerError, openAIError("no answer was scripted"))
	default:
		answer = s.queue[0]
		if len(s.queue) > 1 {
			s.queue = s.queue[1:]
		}
	}
	s.mu.Unlock()
	if complaint == "" && script != nil {
		answer = script(r)
	}
	return answer
}
