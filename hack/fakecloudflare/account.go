package fakecloudflare

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
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

func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

func hexID() string  { return random(16) }
func secret() string { return "cfat_" + random(24) }

// s3Secret is the S3 secret of a token.
func s3Secret(value string) string {
	sum := sha256.Sum256([]byte(value))
	return hex.EncodeToString(sum[:])
}
