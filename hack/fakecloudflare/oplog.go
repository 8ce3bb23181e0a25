package fakecloudflare

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Entry is one call in the log. Bodies and token values are never in it.
type Entry struct {
	Seq    int       `json:"seq"`
	Time   time.Time `json:"time"`
	Ray    string    `json:"ray"`
	Method string    `json:"method"`
	Path   string    `json:"path"`
	// Account is the id of the account; Token the caller's id, empty if nobody knows it.
	Account   string `json:"account,omitempty"`
	Token     string `json:"token,omitempty"`
	TokenName string `json:"tokenName,omitempty"`
	// Operation is the document's id; Kind one of the keys of Snapshot.Objects.
	Operation string `json:"operation"`
	Kind      string `json:"kind,omitempty"`
	// Status is what the client got, 0 if the connection was broken.
	Status int `json:"status"`
	// Effect is create, update, delete or write; empty if nothing changed.
	Effect string `json:"effect,omitempty"`
	ID     string `json:"id,omitempty"`
	Name   string `json:"name,omitempty"`
	// Fault says what was scripted.
	Fault string `json:"fault,omitempty"`

	noted bool
}

// begin gives the call its number, before anything happens to it.
func (s *Server) begin(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seq++
	c.ray = fmt.Sprintf("%016x-FAK", s.seq)
	c.entry = Entry{Seq: s.seq, Time: c.now, Ray: c.ray, Method: c.r.Method, Path: c.r.URL.Path}
	if c.op != nil {
		c.entry.Operation, c.entry.Kind = c.op.id, c.op.kind
		if len(c.params) > 0 && accountID.MatchString(c.params[0]) {
			c.entry.Account = c.params[0]
		}
	}
}

func (s *Server) note(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.entry.noted {
		return
	}
	c.entry.noted = true
	s.log = append(s.log, c.entry)
	close(s.noted)
	s.noted = make(chan struct{})
	if c.entry.Effect != "" {
		select {
		case s.changes <- struct{}{}:
		default:
		}
	}
	if extra := len(s.log) - s.opts.LogLimit; extra > s.opts.LogLimit/4 {
		s.log = slices.Delete(s.log, 0, extra)
	}
}

// Log is what was called, in the order the calls ended.
func (s *Server) Log() []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.log)
}

// Await waits until is says yes to an entry of the log, and gives the first such one.
func (s *Server) Await(ctx context.Context, is func(Entry) bool) (Entry, error) {
	for {
		s.mu.Lock()
		n, noted := slices.IndexFunc(s.log, is), s.noted
		if n >= 0 {
			e := s.log[n]
			s.mu.Unlock()
			return e, nil
		}
		s.mu.Unlock()
		select {
		case <-noted:
		case <-ctx.Done():
			return Entry{}, fmt.Errorf("waiting for a call: %w", ctx.Err())
		}
	}
}

// Calls is how many calls have come so far.
func (s *Server) Calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seq
}

// Violation is a request or an answer that breaks Cloudflare's document, or a header
// that breaks the gateway's rules.
type Violation struct {
	// Client: the request was wrong and has been refused. Otherwise the fake's answer is.
	Client    bool   `json:"client"`
	Ray       string `json:"ray"`
	Operation string `json:"operation"`
	// Problem names the place and the rule, not the value.
	Problem string `json:"problem"`
}

// Violations are all so far.
func (s *Server) Violations() []Violation {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.violations)
}

// violate must be called with the lock held.
func (s *Server) violate(c *call, client bool, problem string) {
	s.violations = append(s.violations, Violation{Client: client, Ray: c.ray, Operation: c.op.id, Problem: problem})
}
