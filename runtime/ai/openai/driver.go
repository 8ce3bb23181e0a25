package openai

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/chatwire"
)

// Options of a Driver.
type Options struct {
	// BaseURL ends before /chat/completions, for example
	// "http://ollama.models:11434/v1".
	BaseURL string
	// Credential gives the bearer token for each call, empty for none. Nil sends none.
	Credential func() string
	// Transport for all calls; chatwire.NewTransport's if nil. Drivers may share one.
	Transport http.RoundTripper
	// Times bounds the waits; zero fields take their defaults.
	Times chatwire.Times
}

// Driver is an ai.Chatter, ai.Embedder and ai.Speaker over an OpenAI-compatible server.
type Driver struct {
	*chatwire.Client
	base string
}

var (
	_ ai.Chatter  = Driver{}
	_ ai.Embedder = Driver{}
	_ ai.Speaker  = Driver{}
)

// New makes a driver. It doesn't call the server.
func New(o Options) (Driver, error) {
	base := strings.TrimRight(o.BaseURL, "/")
	c, err := chatwire.NewClient(chatwire.Settings{
		URL:        base + "/chat/completions",
		Credential: o.Credential,
		Transport:  o.Transport,
		Times:      o.Times,
	})
	if err != nil {
		return Driver{}, fmt.Errorf("making the openai driver: %w", err)
	}
	return Driver{c, base}, nil
}
