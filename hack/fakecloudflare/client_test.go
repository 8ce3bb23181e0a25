package fakecloudflare_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/hack/fakecloudflare"
)

const account = fakecloudflare.DefaultAccount

// clock stands until it is moved.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// fake is a server and a caller with a token.
type fake struct {
	t     *testing.T
	s     *fakecloudflare.Server
	url   string
	token string
	clock *clock
	base  string
}

// start runs a fake whose own answers must all fit Cloudflare's document.
func start(t *testing.T, opts fakecloudflare.Options) fake {
	t.Helper()
	c := &clock{at: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
	if opts.Now == nil {
		opts.Now = c.now
	}
	s, err := fakecloudflare.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s)
	t.Cleanup(func() {
		h.Close()
		s.Close()
		for _, v := range s.Violations() {
			if !v.Client {
				t.Errorf("the fake itself broke the document: %s: %s", v.Operation, v.Problem)
			}
		}
	})
	id := s.Accounts()[0]
	return fake{t: t, s: s, url: h.URL, token: s.RootToken(id), clock: c, base: "/client/v4/accounts/" + id}
}

func (f fake) as(token string) fake { f.token = token; return f }

func (f fake) on(account string) fake { f.base = "/client/v4/accounts/" + account; return f }

type reply struct {
	status int
	header http.Header
	raw    string
	Result json.RawMessage `json:"result"`
	Info   map[string]any  `json:"result_info"`
	Errors []struct {
		Code int      `json:"code"`
		Path []string `json:"path"`
	} `json:"errors"`
}

// code is the first error's.
func (r reply) code() int {
	if len(r.Errors) == 0 {
		return 0
	}
	return r.Errors[0].Code
}

func (r reply) into(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal(r.Result, v); err != nil {
		t.Fatalf("reading %s: %v", r.raw, err)
	}
}

func (r reply) field(t *testing.T, name string) string {
	t.Helper()
	var m map[string]any
	r.into(t, &m)
	s, _ := m[name].(string)
	return s
}

// send sends a body: nil none, a string as it stands, all else as JSON.
func (f fake) send(method, path string, body any, header ...string) (*http.Response, error) {
	f.t.Helper()
	var b []byte
	switch x := body.(type) {
	case nil:
	case string:
		b = []byte(x)
	default:
		var err error
		if b, err = json.Marshal(x); err != nil {
			f.t.Fatal(err)
		}
	}
	if strings.HasPrefix(path, "~") {
		path = f.base + path[1:]
	}
	r, err := http.NewRequestWithContext(f.t.Context(), method, f.url+path, bytes.NewReader(b))
	if err != nil {
		f.t.Fatal(err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if f.token != "" {
		r.Header.Set("Authorization", "Bearer "+f.token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		if r.Header.Set(header[i], header[i+1]); header[i] == "Host" {
			r.Host = header[i+1]
		}
	}
	return http.DefaultClient.Do(r)
}

func (f fake) call(method, path string, body any, header ...string) reply {
	f.t.Helper()
	resp, err := f.send(method, path, body, header...)
	if err != nil {
		f.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatalf("%s %s: %v", method, path, err)
	}
	r := reply{status: resp.StatusCode, header: resp.Header, raw: string(b)}
	_ = json.Unmarshal(b, &r) // not all answers are envelopes
	return r
}

// want calls and insists on a status and a code.
func (f fake) want(status, code int, method, path string, body any, header ...string) reply {
	f.t.Helper()
	r := f.call(method, path, body, header...)
	if r.status != status || r.code() != code {
		f.t.Fatalf("%s %s answered %d with code %d, want %d with %d: %.300s", method, path, r.status, r.code(), status, code, r.raw)
	}
	return r
}

// ids reads a field of every object in a list.
func ids(t *testing.T, r reply, field string) []string {
	t.Helper()
	var list []map[string]any
	r.into(t, &list)
	found := []string{}
	for _, o := range list {
		found = append(found, o[field].(string))
	}
	return found
}

// mint makes a token with the named groups on the account.
func (f fake) mint(name string, more map[string]any, groups ...string) (id, value string) {
	f.t.Helper()
	var refs []any
	for _, g := range groups {
		refs = append(refs, map[string]string{"id": f.group(g)})
	}
	body := map[string]any{"name": name, "policies": []any{map[string]any{"effect": "allow", "permission_groups": refs,
		"resources": map[string]string{"com.cloudflare.api.account." + strings.TrimPrefix(f.base, "/client/v4/accounts/"): "*"}}}}
	for k, v := range more {
		body[k] = v
	}
	r := f.want(200, 0, "POST", "~/tokens", body)
	return r.field(f.t, "id"), r.field(f.t, "value")
}

// group resolves a permission group by its whole name.
func (f fake) group(name string) string {
	f.t.Helper()
	r := f.want(200, 0, "GET", "~/tokens/permission_groups?name="+strings.ReplaceAll(name, " ", "%20"), nil)
	var list []struct{ ID, Name string }
	r.into(f.t, &list)
	for _, g := range list {
		if g.Name == name {
			return g.ID
		}
	}
	f.t.Fatalf("there is no permission group %q", name)
	return ""
}

// clientViolations is how many requests broke the document.
func (f fake) clientViolations() int {
	n := 0
	for _, v := range f.s.Violations() {
		if v.Client {
			n++
		}
	}
	return n
}
