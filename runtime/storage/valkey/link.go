package valkey

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	valkeygo "github.com/valkey-io/valkey-go"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

const (
	dialTimeout = 500 * time.Millisecond
	// callTimeout bounds a call, so that a server which doesn't answer holds no request
	// up for long.
	callTimeout = time.Second
	// deadAfter is how long a connection may be silent, with pings, before it is dropped.
	deadAfter = time.Second
	// tryEvery is the mean pause between two tries to reach a server that is away. It
	// leaves room for a try that times out in the second in which calls work again.
	tryEvery = 200 * time.Millisecond
	// refreshEvery bounds how long a failover that announced itself to no one stays
	// unseen.
	refreshEvery = 2 * time.Second
	bufferBytes  = 64 << 10
)

// link is the connection to the server, or the lack of one. keep makes it anew.
type link struct {
	options valkeygo.ClientOption
	logger  *slog.Logger
	client  atomic.Pointer[valkeygo.Client]
	reason  atomic.Pointer[string]
	closed  atomic.Bool
	// down wakes keep.
	down chan struct{}
	stop chan struct{}
	// ended is closed when nothing of the link is left.
	ended    chan struct{}
	stopOnce sync.Once

	mu    sync.Mutex
	conns map[*conn]struct{}
}

func newLink(o valkeygo.ClientOption, logger *slog.Logger) *link {
	l := &link{
		logger: logger, conns: map[*conn]struct{}{},
		down: make(chan struct{}, 1), stop: make(chan struct{}), ended: make(chan struct{}),
	}
	o.Dialer = net.Dialer{Timeout: dialTimeout, KeepAlive: deadAfter / 2}
	o.Sentinel.Dialer = o.Dialer
	o.Sentinel.TopologyRefreshInterval = refreshEvery
	o.ClusterOption.ShardsRefreshInterval = refreshEvery
	o.ConnWriteTimeout = deadAfter
	o.ReadBufferEachConn, o.WriteBufferEachConn = bufferBytes, bufferBytes
	// A call whose answer was lost may have been done: only the caller knows whether it
	// may be done twice.
	o.DisableRetry = true
	o.DisableCache = true
	// Servers of 7.0 don't know CLIENT SETINFO, and a tenant's login may not send it.
	o.ClientSetInfo = valkeygo.DisableClientSetInfo
	// The reader of a pipeline sees at once that the server has gone; the call after
	// that dials anew instead of failing.
	o.AlwaysPipelining = true
	o.DialCtxFn = l.dial
	l.options = o
	return l
}

// connect tries once.
func (l *link) connect() {
	c, err := valkeygo.NewClient(l.options)
	if err != nil {
		if c != nil {
			c.Close()
		}
		l.failed(reasonOf(err), err)
		return
	}
	l.client.Store(&c)
	l.worked()
}

// keep connects until it has, tries a server that was lost until it answers, and takes
// the connections down at the end.
func (l *link) keep() {
	defer close(l.ended)
	for {
		var pause <-chan time.Time
		if l.client.Load() == nil || l.lost() {
			pause = time.After(tryEvery/2 + rand.N(tryEvery))
		}
		select {
		case <-l.stop:
			if c := l.client.Load(); c != nil {
				(*c).Close()
			}
			return
		case <-l.down:
			continue
		case <-pause:
		}
		if c := l.client.Load(); c == nil {
			l.connect()
		} else {
			l.probe(*c)
		}
	}
}

// probe asks a server that was lost whether it is back, so that Health doesn't wait for
// a request to find out.
func (l *link) probe(c valkeygo.Client) {
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	if err := c.Do(ctx, c.B().Ping().Build()).Error(); err != nil {
		l.failed(reasonOf(err), err)
		return
	}
	l.worked()
}

func (l *link) lost() bool {
	r := l.reason.Load()
	return r != nil && (*r == ReasonUnreachable || *r == ReasonTimeout)
}

func (l *link) end() {
	l.closed.Store(true)
	l.stopOnce.Do(func() { close(l.stop) })
}

func (l *link) health() storage.Health {
	if l.closed.Load() {
		return storage.Health{Reason: ReasonClosed}
	}
	if r := l.reason.Load(); r != nil {
		return storage.Health{Reason: *r}
	}
	return storage.Health{OK: true}
}

func (l *link) worked() {
	if l.reason.Load() != nil && l.reason.Swap(nil) != nil {
		l.logger.Info("the state server is back")
	}
}

func (l *link) failed(reason string, err error) {
	if l.closed.Load() {
		return
	}
	if old := l.reason.Swap(&reason); old == nil || *old != reason {
		l.logger.Warn("the state server fails", "reason", reason, "error", err)
	}
	select {
	case l.down <- struct{}{}:
	default:
	}
}

// dial keeps count of the connections, so that all can be dropped when one has lost
// step.
func (l *link) dial(ctx context.Context, addr string, dialer *net.Dialer, config *tls.Config) (net.Conn, error) {
	var made net.Conn
	var err error
	if config != nil {
		made, err = (&tls.Dialer{NetDialer: dialer, Config: config}).DialContext(ctx, "tcp", addr)
	} else {
		made, err = dialer.DialContext(ctx, "tcp", addr)
	}
	if err != nil {
		return nil, err
	}
	c := &conn{made, l}
	l.mu.Lock()
	l.conns[c] = struct{}{}
	l.mu.Unlock()
	return c, nil
}

// drop closes all connections; calls under way fail, later ones dial anew.
func (l *link) drop() error {
	l.mu.Lock()
	var all []*conn
	for c := range l.conns {
		all = append(all, c)
	}
	l.mu.Unlock()
	var errs []error
	for _, c := range all {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

type conn struct {
	net.Conn
	link *link
}

func (c *conn) Close() error {
	c.link.mu.Lock()
	delete(c.link.conns, c)
	c.link.mu.Unlock()
	return c.Conn.Close()
}
