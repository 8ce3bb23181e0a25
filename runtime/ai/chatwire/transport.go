package chatwire

import (
	"net"
	"net/http"
	"net/url"
	"time"
)

// TransportOptions are what a deployment may want otherwise.
type TransportOptions struct {
	// Proxy names the proxy for a request, http.ProxyFromEnvironment for example.
	// Nil means none: a tenant's traffic doesn't follow the process's environment.
	Proxy func(*http.Request) (*url.URL, error)
}

// NewTransport makes a transport that all drivers of a process may share: thousands
// of streams at once, connections reused, five seconds to connect.
func NewTransport(o TransportOptions) *http.Transport {
	dialer := net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:                  o.Proxy,
		DialContext:            dialer.DialContext,
		TLSHandshakeTimeout:    5 * time.Second,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           4096,
		MaxIdleConnsPerHost:    2048,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		// A compressed stream would be held back until a block is full.
		DisableCompression: true,
	}
}
