package outbound

import (
	"context"
	"net"
)

// WithConnect replaces the network.
func WithConnect(o Options, connect func(ctx context.Context, network, address string) (net.Conn, error)) Options {
	o.connect = connect
	return o
}

var Reachable = reachable
