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

// Driver is an ai.Chatter, ai.Embedder, ai.Reranker and ai.Speaker over Workers AI.
type Driver struct {
	*chatwire.Client
	// compatible ends before the OpenAI-compatible paths, native before a model's name.
	compatible, native string
}

var (
	_ ai.Chatter  = Driver{}
	_ ai.Embedder = Driver{}
	_ ai.Reranker = Driver{}
	_ ai.Speaker  = Driver{}

	accountID = regexp.MustCompile(`^[0-9a-f]{32}$`)
	gatewayID = regexp.MustCompile(`^[a-z0-9_]+(-[a-z0-9_]+)*$`)
)

// New makes a driver. It doesn't call Cloudflare.
func New(o Options) (Driver, error) {
	d, err := o.addresses()
	if err != nil {
		return Driver{}, fmt.Errorf("making the workersai driver: %w", err)
	}
	s := chatwire.Settings{
		URL:        d.compatible + "/chat/completions",
		Credential: o.Credential,
		Kind:       kind,
		Transport:  o.Transport,
		Times:      o.Times,
	}
	if o.GatewayID != "" {
		s.Prepare = o.gatewayHeaders
	}
	if d.Client, err = chatwire.NewClient(s); err != nil {
		return Driver{}, fmt.Errorf("making the workersai driver: %w", err)
	}
	return d, nil
}

// addresses gives a driver that knows where it calls, and no more.
func (o Options) addresses() (Driver, error) {
	if !accountID.MatchString(o.AccountID) {
		return Driver{}, errors.New("the account id must be 32 hexadecimal digits")
	}
	if ttl := o.CacheTTLSeconds; ttl != 0 && (ttl < 60 || ttl > 2_592_000) {
		return Driver{}, fmt.Errorf("the gateway's cache TTL is %d s; it must be 0 or from 60 to 2592000", ttl)
	}
	origin := strings.TrimRight(o.BaseURL, "/")
	if o.GatewayID == "" {
		if origin == "" {
			origin = "https://api.cloudflare.com"
		}
		ai := origin + "/client/v4/accounts/" + o.AccountID + "/ai"
		return Driver{compatible: ai + "/v1", native: ai + "/run/"}, nil
	}
	if !gatewayID.MatchString(o.GatewayID) || len(o.GatewayID) > 64 {
		return Driver{}, errors.New("the gateway id must be 1 to 64 lower-case letters, digits, underscores and inner hyphens")
	}
	if origin == "" {
		origin = "https://gateway.ai.cloudflare.com"
	}
	gateway := origin + "/v1/" + o.AccountID + "/" + o.GatewayID + "/workers-ai"
	return Driver{compatible: gateway + "/v1", native: gateway + "/"}, nil
}
