package fakecloudflare

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"
)

// permissionGroup is what a token may be allowed.
type permissionGroup struct {
	ID       string   `json:"id"`
	Name     string   `json:"name"`
	Scopes   []string `json:"scopes"`
	Category string   `json:"category"`
}

// permissionGroups are those that this fake's operations ask for, and some more. Their
// ids are not Cloudflare's: who hard-codes ids is to find out here.
var permissionGroups = func() []permissionGroup {
	const (
		onAccount = "com.cloudflare.api.account"
		onZone    = "com.cloudflare.api.account.zone"
		onBucket  = "com.cloudflare.edge.r2.bucket"
	)
	var all []permissionGroup
	add := func(scope, category string, names ...string) {
		for _, n := range names {
			sum := sha256.Sum256([]byte("permission group " + n))
			all = append(all, permissionGroup{ID: hex.EncodeToString(sum[:16]), Name: n, Scopes: []string{scope}, Category: category})
		}
	}
	for _, product := range []string{"Workers KV Storage", "D1", "Workers R2 Storage", "Workers Scripts"} {
		add(onAccount, "developer_platform", product+" Read", product+" Write")
	}
	for _, product := range []string{"Vectorize", "Workers AI", "AI Gateway"} {
		add(onAccount, "ai_and_machine_learning", product+" Read", product+" Write")
	}
	add(onAccount, "ai_and_machine_learning", "AI Gateway Run")
	add(onBucket, "developer_platform", "Workers R2 Storage Bucket Item Read", "Workers R2 Storage Bucket Item Write")
	add(onAccount, "account_and_billing", "Account API Tokens Read", "Account API Tokens Write", "Account Settings Read", "Account Settings Write")
	add(onZone, "dns_and_zones", "DNS Read", "DNS Write")
	return all
}()

var groupNames = func() map[string]string {
	names := map[string]string{}
	for _, g := range permissionGroups {
		names[g.ID] = g.Name
	}
	return names
}()

func listGroups(c *call) answer {
	q := c.r.URL.Query()
	found := []permissionGroup{}
	for _, g := range permissionGroups {
		// The filter is a part of the name, as it is for every list of Cloudflare's.
		if strings.Contains(strings.ToLower(g.Name), strings.ToLower(q.Get("name"))) && (q.Get("scope") == "" || slices.Contains(g.Scopes, q.Get("scope"))) {
			found = append(found, g)
		}
	}
	return ok(found)
}

// may tells whether the token has one of the groups on the whole account.
func (t *token) may(account string, groups []string, _ time.Time) bool {
	return t.allows("com.cloudflare.api.account."+account, groups)
}

func (t *token) allows(resource string, groups []string) bool {
	allowed := false
	for _, p := range t.Policies {
		if !covers(p.Resources, resource) {
			continue
		}
		if slices.ContainsFunc(p.Groups, func(g groupRef) bool { return slices.Contains(groups, groupNames[g.ID]) }) {
			if p.Effect == "deny" {
				return false
			}
			allowed = true
		}
	}
	return allowed
}

func covers(resources map[string]any, resource string) bool {
	_, exact := resources[resource]
	if kind := strings.TrimSuffix(resource, resource[strings.LastIndex(resource, ".")+1:]); !exact {
		_, exact = resources[kind+"*"]
	}
	return exact
}
