package workersai

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// metadata is what the gateway's logs and spend limits tell tenants apart by. It
// takes five entries at most, and none may name a person.
type metadata struct {
	Tenant      string `json:"tenant"`
	Environment string `json:"environment,omitempty"`
	Trace       string `json:"trace,omitempty"`
}

// gatewayHeaders never leaves the cache to the gateway's own key: with one token for
// all tenants that key is the same for all.
func (o Options) gatewayHeaders(h http.Header, t tenancy.ID, model string, body []byte) {
	// The trace id was checked to be plain ASCII before it became a header.
	m, err := json.Marshal(metadata{Tenant: t.String(), Environment: o.Environment, Trace: h.Get("X-Request-Id")})
	if err == nil {
		h.Set("Cf-Aig-Metadata", string(m))
	}
	// A gateway with authentication asks for a token with AI Gateway Run beside the one
	// for the model; the tenant's is both.
	if token := h.Get("Authorization"); token != "" {
		h.Set("Cf-Aig-Authorization", token)
	}
	h.Set("Cf-Aig-Collect-Log", strconv.FormatBool(o.CollectLogs))
	h.Set("Cf-Aig-Cache-Key", cacheKey(t, model, body))
	if o.CacheTTLSeconds == 0 {
		// A key alone would turn on a cache of five minutes.
		h.Set("Cf-Aig-Skip-Cache", "true")
		return
	}
	h.Set("Cf-Aig-Cache-Ttl", strconv.Itoa(o.CacheTTLSeconds))
}

// cacheKey carries each part's length, so that no choice of names spells another
// tenant's key.
func cacheKey(t tenancy.ID, model string, body []byte) string {
	sum := sha256.New()
	for _, part := range [][]byte{[]byte(t.Identity()), []byte(model), body} {
		_ = binary.Write(sum, binary.BigEndian, uint64(len(part))) // a hash takes all
		sum.Write(part)
	}
	return hex.EncodeToString(sum.Sum(nil))
}
