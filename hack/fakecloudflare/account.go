package fakecloudflare

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
)

// account is what one customer has.
type account struct {
	ID        string
	Tokens    shelf[token]
	KV        shelf[kvNamespace]
	D1        shelf[d1Database]
	R2        shelf[r2Bucket]
	Vectorize shelf[vectorIndex]
	Gateways  shelf[gateway]
	// Bygone are the names of deleted Vectorize indexes, which Cloudflare remembers.
	Bygone map[string]bool
	Root   string // the id of the root token

	quotas Quotas
}

// open makes the account ready, and its root token.
func (s *Server) open(a Account) {
	acct := s.accounts[a.ID]
	if acct == nil {
		acct = &account{ID: a.ID, Bygone: map[string]bool{}}
		s.accounts[a.ID] = acct
		s.order = append(s.order, a.ID)
	}
	acct.quotas = a.quotas()
	for _, i := range acct.Tokens.all() {
		s.values[i.Value.Value] = credential{account: a.ID, token: &i.Value}
	}
	if acct.Tokens.get(acct.Root) != nil {
		return
	}
	root := token{ID: hexID(), Name: "root", Status: "active", IssuedOn: s.now(), Modified: s.now(), Value: a.RootToken}
	if root.Value == "" {
		root.Value = secret()
	}
	p := policy{ID: hexID(), Effect: "allow", Resources: map[string]any{"com.cloudflare.api.account." + a.ID: "*"}}
	for _, g := range permissionGroups {
		p.Groups = append(p.Groups, groupRef{ID: g.ID, Name: g.Name})
	}
	root.Policies = []policy{p}
	i := acct.Tokens.add(root.ID, root, s.now())
	acct.Root = root.ID
	s.values[root.Value] = credential{account: a.ID, token: &i.Value}
}

// RootToken is the value of the token that may do everything in the account; empty if
// there is no such account, or it was deleted.
func (s *Server) RootToken(account string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.accounts[account]; a != nil {
		if i := a.Tokens.get(a.Root); i != nil {
			return i.Value.Value
		}
	}
	return ""
}

// Accounts are the ids of all accounts.
func (s *Server) Accounts() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.order)
}

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

// decode reads one JSON value into v.
func decode(body []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the value")
	}
	return nil
}

// refuses makes the refusal of a product for calls that break the document.
func refuses(code int) func(*call, []string, string) answer {
	return func(_ *call, _ []string, problem string) answer {
		return fail(http.StatusBadRequest, code, "%s", problem)
	}
}
