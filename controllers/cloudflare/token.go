package cloudflare

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/cloudflareapi"
)

const (
	tokenPath = "tokens"
	onAccount = "com.cloudflare.api.account"
	onBucket  = "com.cloudflare.edge.r2.bucket"
	// groupsLife is how long permission groups are believed.
	groupsLife = time.Hour
)

// permissionGroup is what a token may be allowed, on accounts or on buckets.
type permissionGroup struct {
	ID     string   `json:"id"`
	Name   string   `json:"name"`
	Scopes []string `json:"scopes"`
}

func (c *Client) getToken(ctx context.Context, r request, id string) (Thing, error) {
	t, err := c.oneToken(ctx, r.to(c, http.MethodGet, tokenPath, escape(id)))
	t.Secret = ""
	return t, err
}

func (c *Client) oneToken(ctx context.Context, r request) (Thing, error) {
	var t cloudflareapi.Token
	if _, err := c.call(ctx, r, &t); err != nil {
		return Thing{}, err
	}
	if t.ID == "" {
		return Thing{}, r.empty()
	}
	return c.tokenThing(t), nil
}

func (c *Client) tokenThing(t cloudflareapi.Token) Thing {
	made := Thing{Kind: APIToken, ID: t.ID, Name: t.Name, CreatedAt: moment(t.IssuedOn), Secret: Secret(t.Value)}
	made.Settings.ExpiresAt = moment(t.ExpiresOn)
	for _, p := range t.Policies {
		made.Settings.Policies = append(made.Settings.Policies, c.policies(p)...)
	}
	return made
}

// policies reads one of Cloudflare's: one for each resource. What isn't ours to give (a
// zone, a refusal) stays visible as a difference.
func (c *Client) policies(p cloudflareapi.TokenPolicy) []Policy {
	var names []string
	for _, g := range p.PermissionGroups {
		name := g.Name
		if name == "" {
			name = c.groupName(g.ID)
		}
		if p.Effect != "allow" {
			name = p.Effect + " " + name
		}
		names = append(names, name)
	}
	var all []Policy
	for resource := range p.Resources {
		one := Policy{Permissions: names}
		place, bucket, found := strings.Cut(strings.TrimPrefix(resource, onBucket+"."+c.account+"_"), "_")
		switch {
		case resource == onAccount+"."+c.account:
		case found && strings.HasPrefix(resource, onBucket+"."+c.account+"_"):
			one.Jurisdiction, one.Bucket = place, bucket
		default:
			one.Bucket = resource
		}
		all = append(all, one)
	}
	return all
}

// groupName is the name of a group that was read before, or else its id.
func (c *Client) groupName(id string) string {
	c.facts.mu.Lock()
	defer c.facts.mu.Unlock()
	for _, g := range c.facts.groups {
		if g.ID == id {
			return g.Name
		}
	}
	return id
}

func (c *Client) listTokens(ctx context.Context, r request) ([]Thing, error) {
	r = r.to(c, http.MethodGet, tokenPath)
	r.query = url.Values{"include_expired": {"true"}} // they count too
	all, err := numbered(ctx, c, r, 50, func(t cloudflareapi.Token) string { return t.ID })
	made := things(all, c.tokenThing)
	for i := range made {
		made[i].Secret = ""
	}
	return made, err
}

func (c *Client) doToken(ctx context.Context, r request, s Step) (Thing, error) {
	switch s.Verb {
	case Create:
		body, err := c.tokenBody(ctx, r, s)
		if err != nil {
			return Thing{}, err
		}
		t, err := c.oneToken(ctx, r.to(c, http.MethodPost, tokenPath).with(body))
		if err == nil && t.Secret == "" {
			// It exists, and nobody can ever use it.
			return Thing{}, r.to(c, http.MethodPost).empty()
		}
		return t, err
	case Update:
		if s.Name == "" {
			t, err := c.getToken(ctx, r, s.ID)
			if err != nil {
				return Thing{}, err
			}
			s.Name = t.Name
		}
		body, err := c.tokenBody(ctx, r, s)
		if err != nil {
			return Thing{}, err
		}
		t, err := c.oneToken(ctx, r.to(c, http.MethodPut, tokenPath, escape(s.ID)).with(body))
		t.Secret = ""
		return t, err
	case Delete:
		_, err := c.call(ctx, r.to(c, http.MethodDelete, tokenPath, escape(s.ID)), nil)
		return Thing{}, err
	}
	return Thing{}, r.impossible()
}

func (c *Client) tokenBody(ctx context.Context, r request, s Step) (cloudflareapi.TokenRequest, error) {
	body := cloudflareapi.TokenRequest{Name: s.Name}
	if !s.Settings.ExpiresAt.IsZero() {
		body.ExpiresOn = s.Settings.ExpiresAt.UTC().Format(time.RFC3339)
	}
	for _, p := range s.Settings.Policies {
		scope, resource := onAccount, onAccount+"."+c.account
		if p.Bucket != "" {
			scope, resource = onBucket, onBucket+"."+c.account+"_"+jurisdiction(Settings{Jurisdiction: p.Jurisdiction})+"_"+p.Bucket
		}
		ids := []cloudflareapi.PermissionGroup{}
		for _, name := range p.Permissions {
			id, err := c.groupID(ctx, r, name, scope)
			if err != nil {
				return body, err
			}
			ids = append(ids, cloudflareapi.PermissionGroup{ID: id})
		}
		body.Policies = append(body.Policies, cloudflareapi.TokenPolicy{Effect: "allow", PermissionGroups: ids, Resources: map[string]any{resource: "*"}})
	}
	if len(body.Policies) == 0 {
		return body, &Error{Op: r.op + " without permissions", Meaning: ErrInvalid}
	}
	return body, nil
}

// groupID is the id of a permission. Ids aren't documented, so names are what holds.
func (c *Client) groupID(ctx context.Context, r request, name, scope string) (string, error) {
	find := func() string {
		for _, g := range c.facts.groups {
			if g.Name == name && slices.Contains(g.Scopes, scope) {
				return g.ID
			}
		}
		return ""
	}
	now := c.pool.opts.Clock.Now()
	c.facts.mu.Lock()
	id, age := find(), now.Sub(c.facts.groupsAt)
	c.facts.mu.Unlock()
	// A new permission is looked for now and then, a wrong name doesn't cost a call each time.
	if id != "" && age < groupsLife || id == "" && age < time.Minute {
		return id, r.nameless(id, name)
	}
	ask := r.to(c, http.MethodGet, tokenPath, "permission_groups")
	ask.op, ask.permissions, ask.creates = "list permission groups", PermissionsTo(APIToken, false), false
	var groups []permissionGroup
	if _, err := c.call(ctx, ask, &groups); err != nil {
		return "", err
	}
	c.facts.mu.Lock()
	c.facts.groups, c.facts.groupsAt = groups, now
	id = find()
	c.facts.mu.Unlock()
	return id, r.nameless(id, name)
}

func (r request) nameless(id, name string) error {
	if id != "" {
		return nil
	}
	return &Error{Op: fmt.Sprintf("%s: no permission is called %q", r.op, name), Meaning: ErrInvalid}
}
