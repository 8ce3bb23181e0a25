package cloudflare

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
)

const gatewayPath = "ai-gateway/gateways"

// A gateway stays plain JSON: an update replaces the whole, and what the dashboard set
// must come back as it was, whether this program has a word for it or not.
type gatewayJSON map[string]json.RawMessage

// readOnly is what Cloudflare tells of a gateway and doesn't take back.
var readOnly = []string{"id", "account_id", "account_tag", "internal_id", "created_at", "modified_at", "is_default"}

// told are the settings that this program has words for, as Cloudflare writes them.
type told struct {
	ID        string `json:"id"`
	CreatedAt string `json:"created_at"`
	CacheTTL  *int   `json:"cache_ttl"`
	Collect   bool   `json:"collect_logs"`
	Auth      bool   `json:"authentication"`
	Limit     *int   `json:"rate_limiting_limit"`
	Interval  *int   `json:"rate_limiting_interval"`
	Technique string `json:"rate_limiting_technique"`
}

func gatewayThing(raw json.RawMessage) Thing {
	var g told
	if json.Unmarshal(raw, &g) != nil {
		return Thing{}
	}
	number := func(p *int) int {
		if p == nil {
			return 0
		}
		return *p
	}
	return Thing{Kind: AIGateway, ID: g.ID, Name: g.ID, CreatedAt: moment(g.CreatedAt), Settings: Settings{Gateway: &Gateway{
		CacheTTLSeconds: number(g.CacheTTL), CollectLogs: g.Collect, Authentication: g.Auth,
		RateLimit: number(g.Limit), RateInterval: number(g.Interval), RateTechnique: g.Technique, Rest: raw,
	}}}
}

func (c *Client) getGateway(ctx context.Context, r request, id string) (Thing, error) {
	return c.oneGateway(ctx, r.to(c, http.MethodGet, gatewayPath, escape(id)))
}

func (c *Client) oneGateway(ctx context.Context, r request) (Thing, error) {
	var raw json.RawMessage
	if _, err := c.call(ctx, r, &raw); err != nil {
		return Thing{}, err
	}
	t := gatewayThing(raw)
	if t.ID == "" {
		return Thing{}, r.empty()
	}
	return t, nil
}

func (c *Client) listGateways(ctx context.Context, r request) ([]Thing, error) {
	all, err := numbered(ctx, c, r.to(c, http.MethodGet, gatewayPath), 100, func(raw json.RawMessage) string { return gatewayThing(raw).ID })
	return things(all, gatewayThing), err
}

func (c *Client) doGateway(ctx context.Context, r request, s Step) (Thing, error) {
	switch s.Verb {
	case Create:
		return c.createGateway(ctx, r, s)
	case Update:
		return c.updateGateway(ctx, r, s)
	case Delete:
		_, err := c.call(ctx, r.to(c, http.MethodDelete, gatewayPath, escape(s.ID)), nil)
		return Thing{}, err
	}
	return Thing{}, r.impossible()
}

func (c *Client) createGateway(ctx context.Context, r request, s Step) (Thing, error) {
	body := gatewayJSON{}
	body.say("id", s.Name)
	body.set(s.Settings.Gateway)
	t, err := c.oneGateway(ctx, r.to(c, http.MethodPost, gatewayPath).with(body))
	// One code stands for a gateway that exists and for a body that is wrong: look.
	var e *Error
	if errors.As(err, &e) && e.Code == 7001 && errors.Is(e, ErrInvalid) {
		_, missing := c.getGateway(ctx, c.request(OpGet, AIGateway), s.Name)
		switch {
		case missing == nil:
			e.Meaning = ErrNameTaken
		case !errors.Is(missing, ErrNotFound):
			return Thing{}, missing
		}
	}
	return t, err
}

// updateGateway changes what is ours to say in what is there now, not in what was read
// some time ago.
func (c *Client) updateGateway(ctx context.Context, r request, s Step) (Thing, error) {
	if s.Settings.Gateway == nil {
		return Thing{}, r.impossible()
	}
	var body gatewayJSON
	if _, err := c.call(ctx, r.to(c, http.MethodGet, gatewayPath, escape(s.ID)), &body); err != nil {
		return Thing{}, err
	}
	for _, name := range readOnly {
		delete(body, name)
	}
	for name, value := range body {
		if string(value) == "null" {
			delete(body, name)
		}
	}
	body.set(s.Settings.Gateway)
	return c.oneGateway(ctx, r.to(c, http.MethodPut, gatewayPath, escape(s.ID)).with(body))
}

func (g gatewayJSON) say(name string, value any) {
	// Texts, numbers and truths are always JSON.
	g[name], _ = json.Marshal(value)
}

// set writes what is ours to say, and what Cloudflare demands besides.
func (g gatewayJSON) set(want *Gateway) {
	if want == nil {
		want = &Gateway{Authentication: true}
	}
	if g["cache_invalidate_on_update"] == nil {
		g.say("cache_invalidate_on_update", false)
	}
	g.say("cache_ttl", want.CacheTTLSeconds)
	g.say("collect_logs", want.CollectLogs)
	g.say("authentication", want.Authentication)
	g.say("rate_limiting_limit", want.RateLimit)
	g.say("rate_limiting_interval", want.RateInterval)
	if want.RateTechnique != "" {
		g.say("rate_limiting_technique", want.RateTechnique)
	}
}
