package tools

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/outbound"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

const (
	// connectTime bounds the connection to a server and the list of its tools.
	connectTime = 15 * time.Second
	// A server that is away is tried again after firstPause, which doubles up to maxPause.
	firstPause, maxPause = 250 * time.Millisecond, time.Minute
	// listEvery is how often a server is asked for its tools though it told of no change:
	// not every one tells.
	listEvery = 5 * time.Minute
	// listPause is the least time between two lists: a server may tell of changes without end.
	listPause = time.Second
	// pingEvery finds servers that went away without a word.
	pingEvery = 30 * time.Second
	// maxServerTools bounds what is taken of one server.
	maxServerTools = 256
	// handshake is the newest version of the protocol with sessions, in which a server
	// can tell that its tools changed. Servers without it are asked in the newest.
	handshake = "2025-11-25"
)

// server is one MCP server of a tenant: connected in the background, again whenever that
// ends. The tools that it had are offered while it is away, so that what a model is
// offered doesn't flicker.
type server struct {
	f      *Feature
	tenant tenancy.ID
	cfg    tenantconfig.MCPServer
	token  string
	wire   *wire
	owner  atomic.Pointer[registry]
	end    context.CancelFunc
	// again is told that the session is gone, listed that there are other tools.
	again, listed chan struct{}

	mu      sync.Mutex
	session *mcp.ClientSession
	// ready is closed when there is a session; it is replaced when that ends.
	ready   chan struct{}
	tools   []*tool
	broken  []tenantconfig.ToolStatus
	trouble *tenantconfig.ToolStatus
}

// connect gives r the servers of its document: those of was where nothing has changed. The
// first of them may fail, and publish r, while the others are being added.
func (f *Feature) connect(r, was *registry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var old []*server
	if was != nil {
		old = was.servers
		for _, t := range was.fixed {
			if t.close != nil {
				t.close()
			}
		}
	}
	for _, cfg := range r.tenant.Config.Tools.MCP {
		token, missing := "", false
		if cfg.TokenFile != "" {
			var err error
			token, err = r.tenant.Secret(cfg.TokenFile)
			missing = err != nil
		}
		if missing {
			r.broken = append(r.broken, tenantconfig.ToolStatus{Name: cfg.Name, Reason: ReasonNoSecret, Message: "the secret with its token is missing or empty: mend the Secret that it names"})
			continue
		}
		i := slices.IndexFunc(old, func(s *server) bool { return s.same(cfg, token) })
		if i >= 0 {
			old[i].owner.Store(r)
			r.servers = append(r.servers, old[i])
			old = slices.Delete(slices.Clone(old), i, i+1)
			continue
		}
		s, err := f.newServer(r, cfg, token)
		if err != nil {
			r.broken = append(r.broken, tenantconfig.ToolStatus{Name: cfg.Name, Reason: ReasonNotAllowed, Message: "its url can't be called: " + err.Error()})
			continue
		}
		r.servers = append(r.servers, s)
	}
	for _, s := range old {
		s.end()
	}
}

func (f *Feature) newServer(r *registry, cfg tenantconfig.MCPServer, token string) (*server, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil {
		return nil, outbound.ErrBadURL
	}
	w, err := newWire(policyOf(u, cfg.Private), f.n.Outbound, u, token, seconds(cfg.TimeoutSeconds))
	if err != nil {
		return nil, err
	}
	ctx, end := context.WithCancel(f.life)
	s := &server{
		f: f, tenant: r.tenant.ID, cfg: cfg, token: token, wire: w, end: end,
		again: make(chan struct{}, 1), listed: make(chan struct{}, 1), ready: make(chan struct{}),
		trouble: &tenantconfig.ToolStatus{Name: cfg.Name, Reason: ReasonConnecting, Message: "it is being connected for the first time"},
	}
	s.owner.Store(r)
	f.sessions.Go(func() { s.run(ctx) })
	return s, nil
}

func (s *server) same(cfg tenantconfig.MCPServer, token string) bool {
	a, b := s.cfg, cfg
	return a.Name == b.Name && a.URL == b.URL && s.token == token && a.Private == b.Private && a.TimeoutSeconds == b.TimeoutSeconds &&
		slices.Equal(a.Allow, b.Allow) && slices.Equal(a.ReadOnly, b.ReadOnly)
}

// offers are the server's tools, and what is wrong with it.
func (s *server) offers() ([]*tool, []tenantconfig.ToolStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	status := slices.Clone(s.broken)
	if s.trouble != nil {
		status = append(status, *s.trouble)
	}
	return s.tools, status
}

// run keeps a session until ctx ends.
func (s *server) run(ctx context.Context) {
	defer s.wire.close()
	for pause := firstPause; ctx.Err() == nil; pause = min(2*pause, maxPause) {
		began := time.Now()
		err := s.live(ctx)
		if ctx.Err() != nil {
			return
		}
		s.fell(err)
		if time.Since(began) > time.Minute {
			pause = firstPause
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause/2 + rand.N(pause)):
		}
	}
}

// live has one session, from its beginning to its end.
func (s *server) live(ctx context.Context) error {
	session, err := s.open(ctx)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	s.f.sessions.Go(func() { ended <- session.Wait() })
	defer func() {
		s.took(nil)
		_ = session.Close()
	}()
	s.drain()
	if err := s.list(ctx, session); err != nil {
		return err
	}
	s.took(session)
	s.owner.Load().publish()
	tick := time.NewTicker(listEvery)
	defer tick.Stop()
	listed := s.listed
	var rested <-chan time.Time // listed is looked at again then
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.again:
			return errSessionLost
		case err := <-ended:
			return errors.Join(errSessionLost, err)
		case <-rested:
			listed, rested = s.listed, nil
			continue
		case <-listed:
		case <-tick.C:
		}
		listed, rested = nil, time.After(listPause)
		if err := s.list(ctx, session); err != nil {
			return err
		}
		s.owner.Load().publish()
	}
}

var errSessionLost = errors.New("the session with the server ended")

// drain forgets what an earlier session told.
func (s *server) drain() {
	for _, c := range []chan struct{}{s.again, s.listed} {
		select {
		case <-c:
		default:
		}
	}
}

// open connects, in the version with sessions or else in the newest.
func (s *server) open(ctx context.Context) (*mcp.ClientSession, error) {
	ctx, done := context.WithTimeout(ctx, connectTime)
	defer done()
	me := &mcp.Implementation{Name: "crispy-enigma", Version: "1"}
	options := func() *mcp.ClientOptions {
		return &mcp.ClientOptions{Capabilities: &mcp.ClientCapabilities{}, MultiRoundTrip: &mcp.MultiRoundTripOptions{Disabled: true}}
	}
	told := options()
	told.KeepAlive, told.KeepAliveFailureThreshold = pingEvery, 2
	told.ToolListChangedHandler = func(context.Context, *mcp.ToolListChangedRequest) { poke(s.listed) }
	session, err := mcp.NewClient(me, told).Connect(ctx, s.wire.transport(true), &mcp.ClientSessionOptions{ProtocolVersion: handshake})
	if err == nil || s.wire.lastStatus() != 0 && s.wire.lastStatus() != 400 && s.wire.lastStatus() != 200 || s.wire.lastError() != nil {
		return session, err
	}
	return mcp.NewClient(me, options()).Connect(ctx, s.wire.transport(false), nil)
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// took makes session the one that is called; nil is none.
func (s *server) took(session *mcp.ClientSession) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.session
	s.session = session
	switch {
	case session != nil:
		s.trouble = nil
		close(s.ready)
	case was != nil:
		s.ready = make(chan struct{})
	}
}

// fell tells why there is no session.
func (s *server) fell(err error) {
	status := s.wire.explain(s.cfg.Name, err)
	// The library's errors quote what the server said; those of the wire don't.
	s.f.n.Logger.Warn("a server of tools can't be used", "tenant", s.tenant.String(), "server", s.cfg.Name, "reason", status.Reason, "message", status.Message, "error", s.wire.lastError())
	s.mu.Lock()
	changed := s.trouble == nil || *s.trouble != status
	s.trouble = &status
	s.mu.Unlock()
	if changed {
		s.owner.Load().publish()
	}
}

// current gives the session, waiting a moment for one that is being made.
func (s *server) current(ctx context.Context, patience time.Duration) *mcp.ClientSession {
	s.mu.Lock()
	session, ready := s.session, s.ready
	s.mu.Unlock()
	if session != nil || patience <= 0 {
		return session
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-ready:
	case <-timer.C:
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.session
}

// list takes the server's tools up.
func (s *server) list(ctx context.Context, session *mcp.ClientSession) error {
	ctx, done := context.WithTimeout(ctx, connectTime)
	defer done()
	var (
		tools  []*tool
		broken []tenantconfig.ToolStatus
		seen   = map[string]bool{}
		count  int
	)
	for remote, err := range session.Tools(ctx, nil) {
		if err != nil {
			return fmt.Errorf("listing its tools: %w", err)
		}
		if count++; count > maxServerTools {
			broken = append(broken, tenantconfig.ToolStatus{Name: s.cfg.Name, Reason: ReasonBadServer, Message: fmt.Sprintf("it has more than %d tools; the rest is left out: use allow", maxServerTools)})
			break
		}
		if seen[remote.Name] || len(s.cfg.Allow) > 0 && !slices.Contains(s.cfg.Allow, remote.Name) {
			continue
		}
		seen[remote.Name] = true
		t, status := s.tool(remote)
		if status != nil {
			broken = append(broken, *status)
			continue
		}
		tools = append(tools, t)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tools, s.broken = tools, broken
	return nil
}
