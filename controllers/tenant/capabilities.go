package tenant

import (
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// Discovery tells what an API server serves; client-go's discovery client does.
type Discovery interface {
	ServerResourcesForGroupVersion(groupVersion string) (*metav1.APIResourceList, error)
}

// GatewayAPI knows whether the cluster has the Gateway API, which may be installed, and
// removed, while the operator runs. It asks the API server itself: the client's mapping
// never forgets a kind.
type GatewayAPI struct {
	Discovery Discovery
	Clock     clock.PassiveClock

	mu     sync.Mutex
	served bool
	asked  time.Time
}

// askAgain bounds how long an answer is believed.
const askAgain = 10 * time.Second

// Served tells whether HTTPRoutes can be read and written. While the API server doesn't
// say, its last answer counts.
func (g *GatewayAPI) Served() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.Clock.Now()
	if !g.asked.IsZero() && now.Sub(g.asked) < askAgain {
		return g.served
	}
	list, err := g.Discovery.ServerResourcesForGroupVersion(gatewayv1.GroupVersion.String())
	switch {
	case apierrors.IsNotFound(err):
		g.served = false
	case err != nil:
		return g.served
	default:
		g.served = false
		for _, r := range list.APIResources {
			g.served = g.served || r.Kind == "HTTPRoute"
		}
	}
	g.asked = now
	return g.served
}

// Doubt makes the next question go to the API server: a call found the kind missing.
func (g *GatewayAPI) Doubt() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked = time.Time{}
}
