package tools

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/outbound"
)

const (
	// maxRemote bounds one answer of a server, and one event of a stream, in bytes.
	maxRemote = 4 << 20
	// slack is what the HTTP call gets beyond the tool's time, which ends it mostly.
	slack = 5 * time.Second
)

// wire carries the protocol to one server: calls are bounded in time and size, the
// stream on which a server tells of changes in the size of its events.
type wire struct {
	endpoint       string
	token          string
	calls, streams *outbound.Client

	mu     sync.Mutex
	status int
	err    error
}

func newWire(p outbound.Policy, o outbound.Options, u *url.URL, token string, callTime time.Duration) (*wire, error) {
	if err := p.Check(u); err != nil {
		return nil, err
	}
	calls, streams := p, p
	calls.Timeout, calls.Idle, calls.MaxBytes = callTime+slack, -1, maxRemote
	streams.Timeout, streams.Idle, streams.MaxBytes = -1, -1, -1
	return &wire{endpoint: u.String(), token: token, calls: outbound.New(calls, o), streams: outbound.New(streams, o)}, nil
}

func (w *wire) close() {
	w.calls.Close()
	w.streams.Close()
}

// transport makes one for a session; with listens it has a stream for what the server
// tells by itself.
func (w *wire) transport(listens bool) mcp.Transport {
	w.saw(0, nil)
	return &mcp.StreamableClientTransport{
		Endpoint: w.endpoint, HTTPClient: &http.Client{Transport: w},
		DisableStandaloneSSE: !listens, MaxEventSize: maxRemote, MaxRetries: 2,
	}
}

// RoundTrip implements http.RoundTripper.
func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if w.token != "" {
		r.Header.Set("Authorization", "Bearer "+w.token)
	}
	client := w.calls
	if r.Method == http.MethodGet {
		client = w.streams
	}
	resp, err := client.Do(r)
	if err != nil {
		if !errors.Is(err, context.Canceled) {
			w.saw(0, err)
		}
		return nil, err
	}
	if r.Method == http.MethodPost {
		w.saw(resp.StatusCode, nil)
		resp.Body = &noting{ReadCloser: resp.Body, w: w}
	}
	return resp, nil
}

func (w *wire) saw(status int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status, w.err = status, err
}

func (w *wire) lastStatus() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.status
}

func (w *wire) lastError() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// explain tells what is wrong with a server, from what was last seen of it: the library's
// errors are texts.
func (w *wire) explain(name string, err error) tenantconfig.ToolStatus {
	status, last := w.lastStatus(), w.lastError()
	out := tenantconfig.ToolStatus{Name: name, Reason: ReasonUnreachable, Message: "it can't be reached: check its url, its network policy, and that it runs"}
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		out.Reason, out.Message = ReasonUnauthorized, fmt.Sprintf("it refused its token with status %d: mend the Secret of its token", status)
	case errors.Is(last, outbound.ErrAddressBlocked), errors.Is(last, outbound.ErrHostNotAllowed), errors.Is(last, outbound.ErrRedirects):
		out.Reason, out.Message = ReasonNotAllowed, "its address may not be reached from here: a server in a private network needs private: true"
	case errors.Is(last, outbound.ErrTooLarge):
		out.Reason, out.Message = ReasonBadServer, fmt.Sprintf("it answered more than %d bytes", maxRemote)
	case last != nil:
	case status >= 500:
		out.Message = fmt.Sprintf("it answers with status %d: see to it that it works", status)
	case status >= 400:
		out.Reason, out.Message = ReasonBadServer, fmt.Sprintf("it answers with status %d: check its url", status)
	case status != 0 && !errors.Is(err, errSessionLost) && !errors.Is(err, context.DeadlineExceeded):
		out.Reason, out.Message = ReasonBadServer, "what it answers isn't the Model Context Protocol: check its url"
	case errors.Is(err, context.DeadlineExceeded):
		out.Message = "it takes too long to answer: see to it that it works"
	}
	return out
}

// noting remembers why an answer couldn't be read.
type noting struct {
	io.ReadCloser
	w *wire
}

func (n *noting) Read(p []byte) (int, error) {
	c, err := n.ReadCloser.Read(p)
	if errors.Is(err, outbound.ErrTooLarge) {
		n.w.saw(n.w.lastStatus(), err)
	}
	return c, err
}
