package fakecloudflare

import (
	"encoding/json"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// gateway keeps its settings as they were sent: PUT replaces all of them.
type gateway struct {
	ID       string
	Internal string
	Modified time.Time
	Settings map[string]any
	// Cache is by the key that the documentation gives.
	Cache map[string]cachedAnswer `json:"-"`

	calls []time.Time // within the gateway's own rate limit
}

type cachedAnswer struct {
	until       time.Time
	contentType string
	body        []byte
}

const gatewayBase = "/accounts/{account_id}/ai-gateway/gateways"

var gatewayOperations = []operation{
	{method: "GET", path: gatewayBase, id: "aig-config-list-gateway", kind: "gateways", groups: read("AI Gateway"), do: listGateways, malformed: gatewayMalformed},
	{method: "POST", path: gatewayBase, id: "aig-config-create-gateway", kind: "gateways", groups: write("AI Gateway"), takesJSON: true, do: createGateway, malformed: gatewayMalformed},
	{method: "GET", path: gatewayBase + "/{id}", id: "aig-config-fetch-gateway", kind: "gateways", groups: read("AI Gateway"), do: gatewayed(getGateway), malformed: gatewayMalformed},
	{method: "PUT", path: gatewayBase + "/{id}", id: "aig-config-update-gateway", kind: "gateways", groups: write("AI Gateway"), takesJSON: true, do: gatewayed(putGateway), malformed: gatewayMalformed},
	{method: "DELETE", path: gatewayBase + "/{id}", id: "aig-config-delete-gateway", kind: "gateways", groups: write("AI Gateway"), do: gatewayed(deleteGateway), malformed: gatewayMalformed},
}

var gatewayID = regexp.MustCompile(`^[a-z0-9_]+(?:-[a-z0-9_]+)*$`)

// gatewayMalformed: 7001 stands for all that is wrong, and a path says where.
func gatewayMalformed(_ *call, at []string, problem string) answer {
	if at == nil {
		at = []string{"body"}
	}
	return failWith(http.StatusBadRequest, apiFail{Code: 7001, Message: problem, Path: at})
}

func gatewayed(do func(*call, *item[gateway]) answer) func(*call) answer {
	return func(c *call) answer {
		i := c.acct.Gateways.get(c.param(1))
		if i == nil {
			return fail(http.StatusNotFound, 7002, "Gateway not found")
		}
		return do(c, i)
	}
}

// Settings by who may set them; the rest is dropped, as Cloudflare does.
var (
	requiredSettings = []string{"cache_invalidate_on_update", "cache_ttl", "collect_logs", "rate_limiting_interval", "rate_limiting_limit"}
	createSettings   = append([]string{"authentication", "log_management", "log_management_strategy", "logpush", "logpush_public_key", "rate_limiting_technique",
		"retry_backoff", "retry_delay", "retry_max_attempts", "store_id", "workers_ai_billing_mode", "zdr"}, requiredSettings...)
	updateSettings = append([]string{"dlp", "guardrails", "log_classification", "otel", "spend_limits", "stripe"}, createSettings...)
)

// settings reads a body; problem is a refusal.
func settings(c *call, allowed []string) (map[string]any, answer, bool) {
	var body map[string]any
	if err := json.Unmarshal(c.body, &body); err != nil {
		return nil, gatewayMalformed(c, nil, "Required"), false
	}
	for _, name := range requiredSettings {
		if _, there := body[name]; !there {
			return nil, gatewayMalformed(c, []string{"body", name}, "Required"), false
		}
	}
	if ttl, isNumber := body["cache_ttl"].(float64); isNumber && ttl != 0 && (ttl < 60 || ttl > maxCacheTTL) {
		return nil, gatewayMalformed(c, []string{"body", "cache_ttl"}, "cache_ttl must be 0, or 60 seconds to a month"), false
	}
	if limits, _ := body["spend_limits"].(map[string]any); limits != nil {
		if rules, _ := limits["rules"].([]any); len(rules) > 20 {
			return nil, gatewayMalformed(c, []string{"body", "spend_limits", "rules"}, "a gateway has at most 20 rules"), false
		}
	}
	kept := map[string]any{}
	for name, value := range body {
		if slices.Contains(allowed, name) {
			kept[name] = value
		}
	}
	return kept, answer{}, true
}

func (g *gateway) shown(c *call, created time.Time) map[string]any {
	shown := map[string]any{"id": g.ID, "created_at": created.UTC(), "modified_at": g.Modified.UTC(), "is_default": g.ID == "default",
		"authentication": false, "logpush": false, "rate_limiting_technique": "fixed"}
	if !c.s.opts.Unsure.GatewayIDsHidden {
		shown["account_id"], shown["internal_id"] = c.acct.ID, g.Internal
	}
	maps.Copy(shown, g.Settings)
	return shown
}

func listGateways(c *call) answer {
	shown := []map[string]any{}
	for _, i := range c.acct.Gateways.listed(c.now, c.s.opts.Lag.List) {
		if strings.Contains(i.Value.ID, c.r.URL.Query().Get("search")) {
			shown = append(shown, i.Value.shown(c, i.Created))
		}
	}
	return paged(c, shown, 20, 100)
}

func createGateway(c *call) answer {
	var body struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(c.body, &body); err != nil || !gatewayID.MatchString(body.ID) || len(body.ID) > 64 {
		return gatewayMalformed(c, []string{"body", "id"}, "Invalid")
	}
	kept, a, good := settings(c, createSettings)
	if !good {
		return a
	}
	if c.acct.Gateways.get(body.ID) != nil {
		status := http.StatusBadRequest
		if c.s.opts.Unsure.GatewayConflict409 {
			status = http.StatusConflict
		}
		return failWith(status, apiFail{Code: 7001, Message: "A gateway with this id exists already", Path: []string{"body", "id"}})
	}
	if c.acct.Gateways.count() >= c.acct.quotas.Gateways {
		return failWith(http.StatusForbidden, apiFail{Code: 7003, Message: "You have reached the limit of gateways of this account", Path: []string{"body"}})
	}
	i := c.acct.addGateway(body.ID, kept, c.now)
	c.did("create", body.ID, body.ID)
	return ok(i.Value.shown(c, i.Created))
}

func (a *account) addGateway(id string, kept map[string]any, now time.Time) *item[gateway] {
	return a.Gateways.add(id, gateway{ID: id, Internal: uuid.NewString(), Modified: now, Settings: kept}, now)
}

func getGateway(c *call, i *item[gateway]) answer { return ok(i.Value.shown(c, i.Created)) }

func putGateway(c *call, i *item[gateway]) answer {
	kept, a, good := settings(c, updateSettings)
	if !good {
		return a
	}
	i.Value.Settings, i.Value.Modified = kept, c.now
	if kept["cache_invalidate_on_update"] == true {
		i.Value.Cache = nil
	}
	c.did("update", i.Key, i.Key)
	return ok(i.Value.shown(c, i.Created))
}

func deleteGateway(c *call, i *item[gateway]) answer {
	shown := i.Value.shown(c, i.Created)
	c.acct.Gateways.remove(i.Key, c.now)
	c.did("delete", i.Key, i.Key)
	return ok(shown)
}
