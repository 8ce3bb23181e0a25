package fakecloudflare

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// maxBody is above the largest body that Cloudflare takes here, 100 MB.
const maxBody = 101 << 20

// Server is the fake. It is an http.Handler and safe for concurrent use.
type Server struct {
	opts Options
	now  func() time.Time

	mu         sync.Mutex
	accounts   map[string]*account
	order      []string
	values     map[string]credential // by a token's value
	budgets    map[string]*budget    // by a token's id, or an address
	faults     []*Fault
	onCall     func(Call) *Fault
	log        []Entry
	seq        int
	violations []Violation
	chat       func(ChatCall) Reply
	changes    chan struct{}
	noted      chan struct{} // closed and replaced whenever a call is noted
}

// New makes a server from its options, and its state from the state file if there is
// one. Close releases its databases.
func New(opts Options) (*Server, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if len(opts.Accounts) == 0 {
		opts.Accounts = []Account{{ID: DefaultAccount}}
	}
	if opts.LogLimit == 0 {
		opts.LogLimit = 100_000
	}
	if opts.Rate.Limit == 0 {
		opts.Rate.Limit = 1200
	}
	if opts.Rate.Window == 0 {
		opts.Rate.Window = 5 * time.Minute
	}
	s := &Server{
		opts: opts, now: opts.Now, accounts: map[string]*account{}, values: map[string]credential{},
		budgets: map[string]*budget{}, chat: opts.Chat, changes: make(chan struct{}, 1), noted: make(chan struct{}),
	}
	if s.chat == nil {
		s.chat = Echo
	}
	if err := s.load(); err != nil {
		return nil, err
	}
	for _, a := range opts.Accounts {
		if !accountID.MatchString(a.ID) {
			return nil, fmt.Errorf("account id %q isn't 32 hex digits", a.ID)
		}
		if a.RootToken != "" && !bearer.MatchString("Bearer "+a.RootToken) {
			return nil, fmt.Errorf("the root token of account %s has characters that no token has", a.ID)
		}
		s.open(a)
	}
	return s, nil
}

// Changes has something to receive once anything was changed since the last time: then
// it is worth to Save.
func (s *Server) Changes() <-chan struct{} { return s.changes }

// Close releases what the databases hold. Calls that come later start them empty.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.accounts {
		for _, d := range a.D1.all() {
			d.Value.close()
		}
	}
}

// call is one request on its way.
type call struct {
	s      *Server
	r      *http.Request
	op     *operation
	params []string
	body   []byte
	doc    any // the body as JSON, if it is
	acct   *account
	token  *token
	now    time.Time
	ray    string
	entry  Entry
}

// param is the n-th variable of the path.
func (c *call) param(n int) string {
	if n < len(c.params) {
		return c.params[n]
	}
	return ""
}

// did says what the call changed, for the log.
func (c *call) did(effect, id, name string) {
	c.entry.Effect, c.entry.ID, c.entry.Name = effect, id, name
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/_fake/") {
		s.admin(w, r)
		return
	}
	if account, jurisdiction, path, ok := s.s3Address(r); ok {
		s.serveS3(w, r, account, jurisdiction, path)
		return
	}
	c := &call{s: s, r: r, now: s.now()}
	op, params, refusal := route(r)
	c.op, c.params = op, params
	s.run(w, c, func() answer {
		if op == nil {
			return refusal
		}
		return s.control(c)
	})
}

// run reads the body, plays the fault that is due, carries the call out and answers.
func (s *Server) run(w http.ResponseWriter, c *call, carryOut func() answer) {
	body, err := io.ReadAll(http.MaxBytesReader(w, c.r.Body, maxBody))
	if err != nil {
		fail(http.StatusRequestEntityTooLarge, 10006, "request body is too large or was cut").write(w, c)
		return
	}
	c.body = body
	s.begin(c)
	fault := s.due(c)
	var a answer
	replaced := false
	if fault != nil && !fault.After {
		a, replaced = fault.play(c)
	}
	if !replaced {
		a = carryOut()
		if fault != nil && fault.After {
			if other, hidden := fault.play(c); hidden {
				a = other
			}
		}
		if fault != nil && fault.Truncate > 0 {
			a.truncate, c.entry.Fault = fault.Truncate, "truncate"
		}
	}
	c.entry.Status = a.status
	s.note(c)
	a.write(w, c)
}

// control is a call of the REST API, or of the gateway: who, how often, may they, is it
// well-formed, and then what it is for.
func (s *Server) control(c *call) answer {
	s.mu.Lock()
	locked := true
	defer func() {
		if locked {
			s.mu.Unlock()
		}
	}()
	a, ok := s.admit(c)
	if !ok {
		return a
	}
	header := a.header
	refusal, broken := s.checkRequest(c)
	if broken {
		a = refusal
	} else {
		if c.op.unlocked {
			s.mu.Unlock()
			locked = false
		}
		a = c.op.do(c)
		if !locked {
			s.mu.Lock()
			locked = true
		}
	}
	s.checkAnswer(c, a)
	for name, values := range header {
		a = a.with(name, values[0])
	}
	return a
}
