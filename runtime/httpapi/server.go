package httpapi

import (
	"log/slog"
	"net/http"
	"time"
)

// Server makes the http.Server of the API listener. It has no timeout over a whole
// request, because streams last: the Door bounds bodies and every write by itself. It
// speaks HTTP/1.1 only: TLS and HTTP/2 end at the gateway in front.
func Server(h http.Handler, logger *slog.Logger) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       120 * time.Second,
		// net/http adds 4 KiB of slack.
		MaxHeaderBytes: 60 << 10,
		Protocols:      protocols,
		// "OPTIONS *" gets the envelope too.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
}

// OpsServer makes the http.Server of the metrics listener.
func OpsServer(h http.Handler, logger *slog.Logger) *http.Server {
	s := Server(h, logger)
	s.ReadTimeout = 10 * time.Second
	s.WriteTimeout = 30 * time.Second
	return s
}
