package cloudflare

import (
	"crypto/sha256"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// DefaultEndpoint is Cloudflare's API.
const DefaultEndpoint = "https://api.cloudflare.com/client/v4"

// PoolOptions are for all accounts of a Pool. The zero value is fit for use.
type PoolOptions struct {
	// Clock of budgets and pauses; nil is the real one.
	Clock clock.Clock
	// Transport of requests; nil is one with time-outs of its own.
	Transport http.RoundTripper
	// UserAgent of requests; "" is crispy-enigma.
	UserAgent string
	// Timeout of one request; 0 means 30 s.
	Timeout time.Duration
}

// Options say which account, with which token and how fast.
type Options struct {
	// AccountID is 32 hexadecimal digits.
	AccountID string
	// Endpoint is DefaultEndpoint if empty.
	Endpoint string
	Token    Secret
	// Requests in any Window are allowed to the token, of which ReservePercent is left to
	// others; 0 and 0 mean Cloudflare's 1,200 in 5 minutes.
	Requests       int
	Window         time.Duration
	ReservePercent int
	// PollPercent is how much of what remains may be used by Polls; 0 is all.
	PollPercent int
}

// Pool opens accounts so that all who use one API token share one budget. It is safe for
// concurrent use.
type Pool struct {
	opts   PoolOptions
	client *http.Client

	mu       sync.Mutex
	budgets  map[budgetKey]*budget
	accounts map[accountKey]*facts
}

// A token's value isn't kept as a key: a dump of the map shows none.
type budgetKey struct {
	endpoint string
	token    [sha256.Size]byte
}

type accountKey struct {
	budgetKey
	account string
}

// NewPool makes a Pool in which nothing is open.
func NewPool(opts PoolOptions) *Pool {
	if opts.Clock == nil {
		opts.Clock = clock.RealClock{}
	}
	if opts.UserAgent == "" {
		opts.UserAgent = "crispy-enigma"
	}
	if opts.Timeout == 0 {
		opts.Timeout = 30 * time.Second
	}
	if opts.Transport == nil {
		opts.Transport = &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
			TLSHandshakeTimeout: 10 * time.Second,
			ForceAttemptHTTP2:   true,
			MaxIdleConnsPerHost: 8,
			IdleConnTimeout:     90 * time.Second,
		}
	}
	client := &http.Client{
		Transport: opts.Transport,
		// A redirect would carry the token somewhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return &Pool{opts: opts, client: client, budgets: map[budgetKey]*budget{}, accounts: map[accountKey]*facts{}}
}

// Open gives the account in a lane. It calls nobody; opening again is cheap. The rate of
// a token is what it was opened with last.
func (p *Pool) Open(o Options, lane Lane) *Client {
	if o.Endpoint == "" {
		o.Endpoint = DefaultEndpoint
	}
	o.Endpoint = strings.TrimRight(o.Endpoint, "/")
	r := rate{requests: o.Requests, window: o.Window, pollPart: o.PollPercent}
	if r.requests <= 0 {
		r.requests = 1200
	}
	if r.window <= 0 {
		r.window = 5 * time.Minute
	}
	if r.pollPart <= 0 || r.pollPart > 100 {
		r.pollPart = 100
	}
	r.requests = max(1, r.requests*(100-min(max(o.ReservePercent, 0), 99))/100)

	key := budgetKey{endpoint: o.Endpoint, token: sha256.Sum256([]byte(o.Token))}
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.budgets[key]
	if b == nil {
		p.forget()
		b = newBudget(p.opts.Clock, r)
		p.budgets[key] = b
	}
	b.set(r)
	known := p.accounts[accountKey{key, o.AccountID}]
	if known == nil {
		known = &facts{}
		p.accounts[accountKey{key, o.AccountID}] = known
	}
	return &Client{pool: p, base: o.Endpoint + "/accounts/" + url.PathEscape(o.AccountID), root: o.Endpoint,
		account: o.AccountID, token: o.Token, lane: lane, budget: b, facts: known}
}

// forget drops what nobody has used for long: tokens are replaced.
func (p *Pool) forget() {
	for key, b := range p.budgets {
		if b.idle() {
			delete(p.budgets, key)
		}
	}
	for key := range p.accounts {
		if p.budgets[key.budgetKey] == nil {
			delete(p.accounts, key)
		}
	}
}

// facts are what was learnt of an account with a token, for all its Clients.
type facts struct {
	mu sync.Mutex
	// groups are Cloudflare's permission groups, read at.
	groups   []permissionGroup
	groupsAt time.Time
	// verdict on the token in the account, good until.
	verdict      error
	verdictUntil time.Time
	// places are the jurisdictions of buckets that aren't in the default one.
	places map[string]string
	// indexes are Vectorize indexes, of which nothing can change but metadata indexes.
	indexes map[string]Thing
}
