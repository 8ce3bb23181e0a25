package workersai

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/chatwire"
)

// Options of a Driver.
type Options struct {
	// AccountID is 32 hexadecimal digits.
	AccountID string
	// GatewayID of the AI Gateway; empty calls Workers AI directly.
	GatewayID string
	// CacheTTLSeconds lets the gateway answer from its cache: 60 to 2592000, 0 = off.
	CacheTTLSeconds int
	// CollectLogs lets the gateway keep the conversations.
	CollectLogs bool
	// Environment is told to the gateway beside the tenant.
	Environment string
	// BaseURL replaces https://api.cloudflare.com and https://gateway.ai.cloudflare.com;
	// the paths below stay. Empty for Cloudflare's own.
	BaseURL string
	// Credential gives the API token for each call.
	Credential func() string
	// Transport for all calls; chatwire.NewTransport's if nil. Drivers may share one.
	Transport http.RoundTripper
	// Times bounds the waits; zero fields take their defaults.
	Times chatwire.Times
}

// Driver is an ai.Chatter over Workers AI.
type Driver struct{ *chatwire.Client }

var (
	_ ai.Chatter = Driver{}

	accountID = regexp.MustCompile(`^[0-9a-f]{32}$`)
	gatewayID = regexp.MustCompile(`^[a-z0-9_]+(-[a-z0-9_]+)*$`)
)

// New makes a driver. It doesn't call Cloudflare.
func New(o Options) (Driver, error) {
	address, err := o.address()
	if err != nil {
		return Driver{}, fmt.Errorf("making the workersai driver: %w", err)
	}
	s := chatwire.Settings{
		URL:        address,
		Credential: o.Credential,
		Kind:       kind,
		Transport:  o.Transport,
		Times:      o.Times,
	}
	if o.GatewayID != "" {
		s.Prepare = o.gatewayHeaders
	}
	c, err := chatwire.NewClient(s)
	if err != nil {
		return Driver{}, fmt.Errorf("making the workersai driver: %w", err)
	}
	return Driver{c}, nil
}

func (o Options) address() (string, error) {
	if !accountID.MatchString(o.AccountID) {
		return "", errors.New("the account id must be 32 hexadecimal digits")
	}
	if ttl := o.CacheTTLSeconds; ttl != 0 && (ttl < 60 || ttl > 2_592_000) {
		return "", fmt.Errorf("the gateway's cache TTL is %d s; it must be 0 or from 60 to 2592000", ttl)
	}
	origin := strings.TrimRight(o.BaseURL, "/")
	if o.GatewayID == "" {
		if origin == "" {
			origin = "https://api.cloudflare.com"
		}
		return origin + "/client/v4/accounts/" + o.AccountID + "/ai/v1/chat/completions", nil
	}
	if !gatewayID.MatchString(o.GatewayID) || len(o.GatewayID) > 64 {
		return "", errors.New("the gateway id must be 1 to 64 lower-case letters, digits, underscores and inner hyphens")
	}
	if origin == "" {
		origin = "https://gateway.ai.cloudflare.com"
	}
	return origin + "/v1/" + o.AccountID + "/" + o.GatewayID + "/workers-ai/v1/chat/completions", nil
}
