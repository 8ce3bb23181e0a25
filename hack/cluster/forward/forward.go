// Package forward carries TCP connections between the host's network and the cluster's own.
//
// It promises: bytes go on as they come (a token of a streamed answer waits for no buffer), each direction closes by
// itself, and nothing but the addresses it was told to is reachable. It refuses to look into what it carries.
package forward

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// dialTimeout bounds how long a client waits for a target that does not answer.
const dialTimeout = 10 * time.Second

// Dial opens a connection to the target of one forward.
type Dial func(ctx context.Context) (net.Conn, error)

// Serve accepts until the listener closes and joins each connection to one that dial opens. A client whose target
// can't be reached sees its connection closed; report is told why.
func Serve(ctx context.Context, listener net.Listener, dial Dial, report func(error)) {
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	var open sync.WaitGroup
	defer open.Wait()
	for {
		client, err := listener.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				report(err)
			}
			return
		}
		open.Go(func() {
			defer func() { _ = client.Close() }()
			dialCtx, cancel := context.WithTimeout(ctx, dialTimeout)
			target, err := dial(dialCtx)
			cancel()
			if err != nil {
				report(err)
				return
			}
			defer func() { _ = target.Close() }()
			// Both ends close when the forward does, or Serve would wait for the last idle client.
			stop := context.AfterFunc(ctx, func() { _ = client.Close(); _ = target.Close() })
			defer stop()
			Join(client, target)
		})
	}
}

// Join copies both ways until both directions have ended. The end of one direction is passed on (half-close); an
// error in either breaks both, so that no peer waits for a dead one.
func Join(a, b net.Conn) {
	var both sync.WaitGroup
	both.Go(func() { pass(a, b) })
	both.Go(func() { pass(b, a) })
	both.Wait()
}

func pass(from, to net.Conn) {
	if _, err := io.Copy(to, from); err != nil {
		_ = from.Close()
		_ = to.Close()
		return
	}
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // fails when the peer has gone, which the other direction notices
		return
	}
	_ = to.Close()
}
