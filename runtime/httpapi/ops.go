package httpapi

import (
	"context"
	"net/http"

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
}

// Ops serves /healthz, /readyz, /status and /metrics.
func Ops(o OpsOptions) http.Handler { return http.NotFoundHandler() }
