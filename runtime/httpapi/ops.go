package httpapi

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
)

// OpsOptions are the sources of the metrics listener's pages.
type OpsOptions struct {
	// Ready tells why requests can't be served now, nil if they can.
	Ready func(context.Context) error
	// Status is what the operator reads.
	Status func(context.Context) tenantconfig.Status
	// StatusToken is the bearer token of /status; without one /status is closed.
	StatusToken func() (string, error)
	// Metrics serves /metrics, if given.
	Metrics http.Handler
	// Inside are further pages, by pattern, for programs in the same pod: they take the
	// status token and are answered on loopback alone.
	Inside map[string]http.Handler
	// Logger gets why the process isn't ready. Default discards.
	Logger *slog.Logger
}

// Ops serves /healthz, /readyz, /status and /metrics. It belongs on a listener that
// tenants can't reach.
func Ops(o OpsOptions) http.Handler {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		plain(w, http.StatusOK, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := o.Ready(r.Context()); err != nil {
			o.Logger.Warn("not ready", slog.Any("error", err))
			plain(w, http.StatusServiceUnavailable, "not ready")
			return
		}
		plain(w, http.StatusOK, "ok")
	})
	mux.HandleFunc("GET "+tenantconfig.StatusPath, func(w http.ResponseWriter, r *http.Request) {
		if o.mayRead(w, r) {
			o.status(w, r)
		}
	})
	for pattern, page := range o.Inside {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if !isLoopback(r.RemoteAddr) {
				http.NotFound(w, r)
			} else if o.mayRead(w, r) {
				page.ServeHTTP(w, r)
			}
		})
	}
	if o.Metrics != nil {
		mux.Handle("GET /metrics", o.Metrics)
	}
	return mux
}

// mayRead asks for the status token, and has answered if it is false.
func (o OpsOptions) mayRead(w http.ResponseWriter, r *http.Request) bool {
	token, err := o.StatusToken()
	if err != nil || token == "" {
		o.Logger.Warn("status is closed: there is no status token", slog.Any("error", err))
		plain(w, http.StatusServiceUnavailable, "there is no status token beside the tenant document")
		return false
	}
	if !bearerIs(r.Header, token) {
		w.Header().Set("WWW-Authenticate", "Bearer")
		plain(w, http.StatusUnauthorized, "send the status token as Authorization: Bearer TOKEN")
		return false
	}
	return true
}

// isLoopback tells whether the other end is on this machine, which for a pod is the pod.
func isLoopback(remote string) bool {
	address, err := netip.ParseAddrPort(remote)
	return err == nil && address.Addr().Unmap().IsLoopback()
}

func (o OpsOptions) status(w http.ResponseWriter, r *http.Request) {
	body, err := json.Marshal(o.Status(r.Context()))
	if err != nil {
		o.Logger.Error("writing the status", slog.Any("error", err))
		plain(w, http.StatusInternalServerError, "the status could not be written")
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	_, _ = w.Write(body)
}

// bearerIs compares digests, so that the time tells nothing of the token, its length
// included.
func bearerIs(h http.Header, token string) bool {
	sent, ok := single(h["Authorization"])
	scheme, value, _ := strings.Cut(sent, " ")
	if !ok || !strings.EqualFold(scheme, "bearer") {
		return false
	}
	have, want := sha256.Sum256([]byte(strings.TrimSpace(value))), sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(have[:], want[:]) == 1
}

func single(values []string) (string, bool) {
	if len(values) != 1 {
		return "", false
	}
	return values[0], true
}

func plain(w http.ResponseWriter, status int, text string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n"))
}
