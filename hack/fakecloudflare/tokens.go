package fakecloudflare

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// credential is one value that opens the door for a token.
type credential struct {
	account string
	token   *token
	ends    *time.Time // when a rolled value dies
}

type token struct {
	ID        string         `json:"id"`
	Name      string         `json:"name"`
	Status    string         `json:"status"`
	IssuedOn  time.Time      `json:"issued_on"`
	Modified  time.Time      `json:"modified_on"`
	NotBefore *time.Time     `json:"not_before,omitempty"`
	ExpiresOn *time.Time     `json:"expires_on,omitempty"`
	Policies  []policy       `json:"policies"`
	Condition map[string]any `json:"condition,omitempty"`
	Value     string         `json:"value,omitempty"`
}

type policy struct {
	ID        string         `json:"id"`
	Effect    string         `json:"effect"`
	Groups    []groupRef     `json:"permission_groups"`
	Resources map[string]any `json:"resources"`
}

type groupRef struct {
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
}

// shown is the token without its value, and with what its clock says.
func (t token) shown(now time.Time) token {
	t.Value, t.Status = "", t.status(now)
	return t
}

func (t *token) status(now time.Time) string {
	switch {
	case t.ExpiresOn != nil && !now.Before(*t.ExpiresOn):
		return "expired"
	case t.NotBefore != nil && now.Before(*t.NotBefore):
		return "disabled"
	}
	return t.Status
}

var tokenOperations = []operation{
	{method: "GET", path: "/accounts/{account_id}", id: "accounts-account-details", groups: append(read("Account Settings"), accountReaders...), do: getAccount},
	{method: "GET", path: "/user/tokens/verify", id: "user-api-tokens-verify-token", kind: "tokens", verifies: true, do: verifyToken},
	{method: "GET", path: "/accounts/{account_id}/tokens/verify", id: "account-api-tokens-verify-token", kind: "tokens", verifies: true, do: verifyToken},
	{method: "GET", path: "/accounts/{account_id}/tokens/permission_groups", id: "account-api-tokens-list-permission-groups", groups: read("Account API Tokens"), do: listGroups},
	{method: "GET", path: "/accounts/{account_id}/tokens", id: "account-api-tokens-list-tokens", kind: "tokens", groups: read("Account API Tokens"), do: listTokens},
	{method: "POST", path: "/accounts/{account_id}/tokens", id: "account-api-tokens-create-token", kind: "tokens", groups: write("Account API Tokens"), takesJSON: true, do: createToken},
	{method: "GET", path: "/accounts/{account_id}/tokens/{token_id}", id: "account-api-tokens-token-details", kind: "tokens", groups: read("Account API Tokens"), do: getToken},
	{method: "PUT", path: "/accounts/{account_id}/tokens/{token_id}", id: "account-api-tokens-update-token", kind: "tokens", groups: write("Account API Tokens"), takesJSON: true, do: updateToken},
	{method: "DELETE", path: "/accounts/{account_id}/tokens/{token_id}", id: "account-api-tokens-delete-token", kind: "tokens", groups: write("Account API Tokens"), do: deleteToken},
	{method: "PUT", path: "/accounts/{account_id}/tokens/{token_id}/value", id: "account-api-tokens-roll-token", kind: "tokens", groups: write("Account API Tokens"), takesJSON: true, do: rollToken},
}

// accountReaders may look at the account too; the document has many more.
var accountReaders = append(append(append([]string{}, read("Workers KV Storage")...), read("Workers R2 Storage")...), read("Workers Scripts")...)

func getAccount(c *call) answer {
	return ok(map[string]any{"id": c.acct.ID, "name": "fake " + c.acct.ID[24:], "type": "standard", "settings": map[string]any{"enforce_twofactor": false}})
}

func noToken() answer { return fail(http.StatusNotFound, 1003, "Token not found") }

func verifyToken(c *call) answer {
	result := map[string]any{"id": c.token.ID, "status": c.token.status(c.now)}
	if c.token.ExpiresOn != nil {
		result["expires_on"] = c.token.ExpiresOn
	}
	return ok(result)
}

func listTokens(c *call) answer {
	var shown []token
	for _, i := range c.acct.Tokens.listed(c.now, c.s.opts.Lag.List) {
		t := i.Value.shown(c.now)
		if t.Status != "expired" || c.r.URL.Query().Get("include_expired") == "true" {
			shown = append(shown, t)
		}
	}
	if c.r.URL.Query().Get("direction") == "desc" {
		slices.Reverse(shown)
	}
	return paged(c, shown, 20, 50)
}

func getToken(c *call) answer {
	i := c.acct.Tokens.get(c.param(1))
	if i == nil {
		return noToken()
	}
	return ok(i.Value.shown(c.now))
}

// tokenSpec is what may be said of a token.
type tokenSpec struct {
	Name      string         `json:"name"`
	Status    string         `json:"status"`
	NotBefore *time.Time     `json:"not_before"`
	ExpiresOn *time.Time     `json:"expires_on"`
	Policies  []policy       `json:"policies"`
	Condition map[string]any `json:"condition"`
}

// tokenFrom reads a body into a token.
func tokenFrom(c *call, t *token) (answer, bool) {
	var spec tokenSpec
	if err := decode(c.body, &spec); err != nil {
		return fail(http.StatusBadRequest, 1001, "Invalid token: %s", err), false
	}
	switch {
	case spec.Name == "" || len(spec.Name) > 120:
		return fail(http.StatusBadRequest, 1001, "Invalid token name: it must have 1 to 120 characters"), false
	case len(spec.Policies) == 0:
		return fail(http.StatusBadRequest, 1001, "Invalid token: at least one policy is required"), false
	case spec.ExpiresOn != nil && !spec.ExpiresOn.After(c.now):
		return fail(http.StatusBadRequest, 1001, "Invalid token: expires_on is in the past"), false
	}
	for n := range spec.Policies {
		p := &spec.Policies[n]
		if p.Effect != "allow" && p.Effect != "deny" || len(p.Groups) == 0 || len(p.Resources) == 0 {
			return fail(http.StatusBadRequest, 1001, "Invalid policy: effect, permission_groups and resources are required"), false
		}
		for g := range p.Groups {
			name := groupNames[p.Groups[g].ID]
			if name == "" {
				return fail(http.StatusBadRequest, 1001, "Invalid policy: no permission group of this id"), false
			}
			p.Groups[g].Name = name
		}
		for resource := range p.Resources {
			if !ofAccount(resource, c.acct.ID) {
				return fail(http.StatusBadRequest, 1001, "Invalid policy: the resource isn't of this account"), false
			}
		}
		if p.ID = hexID(); len(p.Groups) > 1 {
			// Cloudflare gives sets back in an order of its own.
			slices.SortFunc(p.Groups, func(a, b groupRef) int { return strings.Compare(a.ID, b.ID) })
		}
	}
	slices.SortStableFunc(spec.Policies, func(a, b policy) int { return strings.Compare(a.Groups[0].ID, b.Groups[0].ID) })
	condition, valid := conditionOf(spec.Condition)
	if !valid {
		return fail(http.StatusBadRequest, 1001, "Invalid condition: request_ip takes lists of addresses and ranges"), false
	}
	t.Name, t.NotBefore, t.ExpiresOn, t.Policies, t.Condition = spec.Name, spec.NotBefore, spec.ExpiresOn, spec.Policies, condition
	if t.Status = "active"; spec.Status != "" {
		t.Status = spec.Status
	}
	return answer{}, true
}

func ofAccount(resource, account string) bool {
	return resource == "com.cloudflare.api.account."+account ||
		strings.HasPrefix(resource, "com.cloudflare.edge.r2.bucket."+account+"_") ||
		strings.HasPrefix(resource, "com.cloudflare.api.account.zone.")
}

// conditionOf keeps what Cloudflare understands and drops the rest without a word,
// which is why a client must look whether its restriction is there.
func conditionOf(spec map[string]any) (map[string]any, bool) {
	rules, there := spec["request_ip"].(map[string]any)
	if !there {
		return nil, true
	}
	for _, list := range rules {
		ranges, isList := list.([]any)
		if !isList {
			return nil, false
		}
		for _, r := range ranges {
			text, _ := r.(string)
			_, err1 := netip.ParsePrefix(text)
			_, err2 := netip.ParseAddr(text)
			if err1 != nil && err2 != nil {
				return nil, false
			}
		}
	}
	return map[string]any{"request_ip": rules}, true
}

func createToken(c *call) answer {
	if c.acct.Tokens.count() >= c.acct.quotas.Tokens {
		return fail(http.StatusBadRequest, 1004, "Account token limit of %d reached", c.acct.quotas.Tokens)
	}
	t := token{ID: hexID(), IssuedOn: c.now, Modified: c.now, Value: secret()}
	if a, good := tokenFrom(c, &t); !good {
		return a
	}
	if c.s.opts.Unsure.TokenNamesUnique && c.acct.Tokens.find(func(o *token) bool { return o.Name == t.Name }) != nil {
		return fail(http.StatusConflict, 1005, "A token of this name exists")
	}
	i := c.acct.Tokens.add(t.ID, t, c.now)
	c.s.values[t.Value] = credential{account: c.acct.ID, token: &i.Value}
	c.did("create", t.ID, t.Name)
	shown := t.shown(c.now)
	shown.Value = t.Value
	return ok(shown)
}

func updateToken(c *call) answer {
	i := c.acct.Tokens.get(c.param(1))
	if i == nil {
		return noToken()
	}
	t := i.Value
	if a, good := tokenFrom(c, &t); !good {
		return a
	}
	t.Modified = c.now
	i.Value = t
	c.did("update", t.ID, t.Name)
	return ok(t.shown(c.now))
}

func deleteToken(c *call) answer {
	i := c.acct.Tokens.get(c.param(1))
	if i == nil {
		return noToken()
	}
	for value, cred := range c.s.values {
		if cred.token == &i.Value {
			delete(c.s.values, value)
		}
	}
	c.acct.Tokens.remove(i.Key, c.now)
	c.did("delete", i.Key, i.Value.Name)
	return ok(map[string]any{"id": i.Key})
}

func rollToken(c *call) answer {
	i := c.acct.Tokens.get(c.param(1))
	if i == nil {
		return noToken()
	}
	old := c.s.values[i.Value.Value]
	delete(c.s.values, i.Value.Value)
	if overlap := c.s.opts.Unsure.RollOverlap; overlap > 0 {
		ends := c.now.Add(overlap)
		old.ends = &ends
		c.s.values[i.Value.Value] = old
	}
	i.Value.Value, i.Value.Modified = secret(), c.now
	c.s.values[i.Value.Value] = credential{account: c.acct.ID, token: &i.Value}
	c.did("update", i.Key, i.Value.Name)
	return ok(i.Value.Value)
}
