//go:build e2e

package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/hack/fakecloudflare"
	"github.com/crispy-enigma/crispy-enigma/test/e2e/stage"
)

// Two accounts of the stand-in: one that Tenants share, one of a Tenant's own.
const (
	sharedAccount = "00000000000000000000000000000aaa"
	ownAccount    = "00000000000000000000000000000bbb"
)

// vectorizeLag is how late the stand-in shows what was written to an index.
const vectorizeLag = 3 * time.Second

// cloud is the part of the play that has to do with Cloudflare.
type cloud struct {
	play
	stand  *stage.Cloudflare
	admin  string
	struck struct {
		at    time.Time
		d1    string // the id that was deleted
		index string // the name
	}
}

func (c *cloud) begin(t *testing.T) {
	var err error
	if c.stand, err = c.Cloudflare(t.Context(), []string{sharedAccount, ownAccount}, "-list-lag=2s", "-vectorize-lag="+vectorizeLag.String()); err != nil {
		t.Fatal(err)
	}
	if c.admin, err = c.stand.Admin(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.stand.Account(t.Context(), c.ns, "cloudflare", sharedAccount); err != nil {
		t.Fatal(err)
	}
}

const cloudSpec = `  deletionProtection: false
  deletionPolicy: %s
  state:
    embedded:
      ephemeral: {}
  upstream:
    type: workersai
    accountRef: {name: cloudflare}
  models:
    chat: "@cf/meta/llama-3.1-8b-instruct-fast"
  cloudflare:
    usageLedger: {}
`

const cloudAll = cloudSpec + `    configExport: {}
    originals: {}
  documents:
    store: vectorize
    vectorize:
      index:
        dimensions: 768
        metadataIndexes: [{property: lang}]
`

// made: each thing once, its id in the binding's status and in the Tenant's, and the
// chat goes with the token that was made for the tenant.
func (c *cloud) made(t *testing.T) {
	c.begin(t)
	begin := time.Now()
	d := c.tenant(t, "clouded", fmt.Sprintf(cloudAll, "Delete"))
	t.Logf("apply to Ready with six things in the account: %s", time.Since(begin))
	r := c.tenant(t, "retained", fmt.Sprintf(cloudSpec, "Retain"))

	have := c.state(t)[sharedAccount]
	if twice := have.Duplicates(); len(twice) > 0 {
		t.Errorf("made twice: %v", twice)
	}
	for kind, want := range map[string]int{"kv": 1, "d1": 2, "r2": 1, "vectorize": 1, "gateways": 1, "tokens": 2} {
		if have.Count(kind) != want {
			t.Errorf("%d of kind %s are in the account, want %d", have.Count(kind), kind, want)
		}
	}
	for binding, kind := range map[string]string{
		"tenant-clouded-token": "tokens", "tenant-clouded-vectors": "vectorize", "tenant-clouded-originals": "r2",
		"tenant-clouded-usage-ledger": "d1", "tenant-clouded-config-export": "kv", "cloudflare-gateway": "gateways",
	} {
		id := c.kubectl(t, "get", "cfb", binding, "-n", c.ns, "-o", "jsonpath={.status.id}")
		if !slices.ContainsFunc(have.Objects[kind], func(o fakecloudflare.Object) bool { return o.ID == id }) {
			t.Errorf("binding %s has the id %q, which nothing in the account has", binding, id)
		}
		told := c.kubectl(t, "get", "tenant", "clouded", "-n", c.ns, "-o", `jsonpath={.status.bindings[?(@.name=="`+binding+`")].id}`)
		if told != id {
			t.Errorf("the Tenant's status tells the id %q of %s, whose own is %q", told, binding, id)
		}
	}
	c.pays(t, "clouded", d)
	c.pays(t, "retained", r)
}

// pays chats, and looks at whose token the gateway was called with.
func (c *cloud) pays(t *testing.T, tenant string, d door) {
	t.Helper()
	said := c.ask(t, d, "", "Hello from "+tenant+"!")
	if said.Text != "You said: Hello from "+tenant+"!" {
		t.Errorf("the model answered %q", said.Text)
	}
	want := c.secret(t, "tenant-"+tenant+"-token", "id")
	if want == "" || c.secret(t, "tenant-"+tenant+"-token", "token") == "" {
		t.Fatalf("Secret tenant-%s-token holds no token with its id", tenant)
	}
	calls := slices.DeleteFunc(c.log(t), func(e fakecloudflare.Entry) bool { return !strings.HasSuffix(e.Path, "/chat/completions") })
	if len(calls) == 0 {
		t.Fatal("the gateway was not called")
	}
	last := calls[len(calls)-1]
	if last.Token != want || last.Status != http.StatusOK || !strings.Contains(last.TokenName, "-"+tenant+"-") {
		t.Errorf("the gateway was called with token %s (%s) and answered %d; the tenant's is %s", last.Token, last.TokenName, last.Status, want)
	}
}

// strike deletes two things behind the operator's back; mended looks for them later.
func (c *cloud) strike(t *testing.T) {
	c.struck.at = time.Now()
	c.struck.d1 = c.kubectl(t, "get", "cfb", "tenant-clouded-usage-ledger", "-n", c.ns, "-o", "jsonpath={.status.id}")
	c.struck.index = c.kubectl(t, "get", "cfb", "tenant-clouded-vectors", "-n", c.ns, "-o", "jsonpath={.status.id}")
	for _, path := range []string{"/d1/database/" + c.struck.d1, "/vectorize/v2/indexes/" + c.struck.index} {
		if status, text := c.api(t, http.MethodDelete, sharedAccount, path, c.stand.Token(sharedAccount)); status != http.StatusOK {
			t.Fatalf("deleting by hand: %d %s", status, text)
		}
	}
}

func (c *cloud) mended(t *testing.T) {
	for _, binding := range []string{"tenant-clouded-usage-ledger", "tenant-clouded-vectors"} {
		c.eventually(t, 3*time.Minute, func() string {
			events := c.kubectl(t, "get", "events", "-n", c.ns, "--field-selector", "involvedObject.name="+binding+",reason=Lost", "-o", "jsonpath={.items[*].type} {.items[*].message}")
			if strings.HasPrefix(events, "Warning ") && strings.Contains(events, "what it held is gone") {
				return ""
			}
			return fmt.Sprintf("no event tells that %s was lost: %q", binding, events)
		})
		c.kubectl(t, "wait", "cfb/"+binding, "-n", c.ns, "--for=condition=Ready", "--timeout=60s")
	}
	t.Logf("what was deleted by hand was back after at most %s; accounts are listed each minute here", time.Since(c.struck.at))
	have := c.state(t)[sharedAccount]
	if have.Count("d1") != 2 || have.Count("vectorize") != 1 || len(have.Duplicates()) > 0 {
		t.Errorf("the account has %d databases and %d indexes, twice %v", have.Count("d1"), have.Count("vectorize"), have.Duplicates())
	}
	if id := c.kubectl(t, "get", "cfb", "tenant-clouded-usage-ledger", "-n", c.ns, "-o", "jsonpath={.status.id}"); id == c.struck.d1 || id == "" {
		t.Errorf("the new database has the id %q, the deleted one had %q", id, c.struck.d1)
	}
	status, text := c.api(t, http.MethodGet, sharedAccount, "/vectorize/v2/indexes/"+c.struck.index+"/metadata_index/list", c.stand.Token(sharedAccount))
	if status != http.StatusOK || !strings.Contains(text, `"lang"`) {
		t.Errorf("the new index's metadata indexes: %d %s", status, text)
	}
	c.ask(t, c.door(t, "clouded"), "", "Still there?")
}

// ownAccount is the sample with a Tenant's own account, as its reader would fill it in.
func (c *cloud) ownAccount(t *testing.T) {
	sample, err := os.ReadFile(filepath.Join(c.Root(), "config/samples/tenant-own-account.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	manifest := strings.NewReplacer(
		"REPLACE-ME-with-a-token-of-this-tenant's-account", c.stand.Token(ownAccount),
		`"11111111111111111111111111111111"`, fmt.Sprintf("%q\n  apiEndpoint: %s/client/v4\n  endpoint: %s\n  s3Endpoint: %s/_r2/%s", ownAccount, c.stand.URL, c.stand.URL, c.stand.URL, ownAccount),
	).Replace(string(sample))
	// The sample names its namespace itself.
	if err := c.Apply(t.Context(), "tenant-globex", manifest); err != nil {
		t.Fatal(err)
	}
	own := *c
	own.ns = "tenant-globex"
	own.pays(t, "globex", own.door(t, "globex"))

	for _, e := range c.log(t) {
		if e.Account == ownAccount && strings.Contains(e.TokenName, "clouded") || e.Account == sharedAccount && strings.Contains(e.TokenName, "globex") {
			t.Errorf("%s %s was called with token %s", e.Method, e.Path, e.TokenName)
		}
	}
	for account, token := range map[string]string{sharedAccount: own.secret(t, "tenant-globex-token", "token"), ownAccount: c.secret(t, "tenant-clouded-token", "token")} {
		if status, text := c.api(t, http.MethodGet, account, "/vectorize/v2/indexes", token); status != http.StatusForbidden && status != http.StatusUnauthorized {
			t.Errorf("another account's tenant lists the indexes of %s: %d %s", account, status, text)
		}
	}
	if err := c.Apply(t.Context(), c.ns, "apiVersion: ai.crispy-enigma.dev/v1alpha1\nkind: Tenant\nmetadata: {name: intruder}\nspec:\n"+
		strings.Replace(fmt.Sprintf(cloudSpec, "Delete"), "{name: cloudflare}", "{name: own, namespace: tenant-globex}", 1)); err != nil {
		t.Fatal(err)
	}
	c.until(t, "intruder", "AccountNotAllowed")
}

// bereaved: the token goes first, then what may go.
func (c *cloud) bereaved(t *testing.T) {
	tokens := map[string]string{"clouded": c.secret(t, "tenant-clouded-token", "token"), "retained": c.secret(t, "tenant-retained-token", "token")}
	before := len(c.log(t))
	c.kubectl(t, "delete", "tenant", "clouded", "retained", "intruder", "-n", c.ns, "--timeout=90s")
	for tenant, token := range tokens {
		if status, _ := c.api(t, http.MethodGet, sharedAccount, "/vectorize/v2/indexes", token); status != http.StatusUnauthorized && status != http.StatusForbidden {
			t.Errorf("the token of the deleted tenant %s still works: %d", tenant, status)
		}
	}
	have := c.state(t)[sharedAccount]
	for kind, want := range map[string]int{"kv": 0, "d1": 1, "r2": 0, "vectorize": 0, "tokens": 0} {
		if have.Count(kind) != want {
			t.Errorf("%d of kind %s are left, want %d: %v", have.Count(kind), kind, want, have.Objects[kind])
		}
	}
	var gone []string
	for _, e := range c.log(t)[before:] {
		if e.Effect == "delete" && strings.Contains(e.Name, "-clouded-") {
			gone = append(gone, e.Kind)
		}
	}
	if len(gone) != 5 || gone[0] != "tokens" {
		t.Errorf("deleted in the order %v; the token must be the first of five", gone)
	}
	if kept := c.kubectl(t, "get", "cfb", "tenant-retained-usage-ledger", "-n", c.ns, "-o", "jsonpath={.status.id}"); len(have.Objects["d1"]) != 1 || kept != have.Objects["d1"][0].ID {
		t.Errorf("the retained binding has the id %q, the account %v", kept, have.Objects["d1"])
	}
	if events := c.kubectl(t, "get", "events", "-n", c.ns, "--field-selector", "involvedObject.name=retained", "-o", "jsonpath={.items[*].message}"); !strings.Contains(events, "tenant-retained-usage-ledger") {
		t.Errorf("no event says where the retained data is: %q", events)
	}
	if broken := c.violations(t); len(broken) > 0 {
		t.Errorf("%d calls broke Cloudflare's document, such as %v", len(broken), broken[0])
	}
}

func (c *cloud) eventually(t *testing.T, patience time.Duration, lacks func() string) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(500 * time.Millisecond) {
		lack := lacks()
		if lack == "" {
			return
		}
		if time.Now().After(end) {
			t.Fatal(lack)
		}
	}
}

func (c *cloud) secret(t *testing.T, name, key string) string {
	t.Helper()
	value, err := base64.StdEncoding.DecodeString(c.kubectl(t, "get", "secret", name, "-n", c.ns, "-o", "jsonpath={.data."+key+"}"))
	if err != nil {
		t.Fatal(err)
	}
	return string(value)
}

// api calls Cloudflare's API, as somebody outside the cluster would.
func (c *cloud) api(t *testing.T, method, account, path, token string) (status int, text string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, c.admin+"/client/v4/accounts/"+account+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

func (c *cloud) state(t *testing.T) (state map[string]fakecloudflare.Snapshot) {
	t.Helper()
	c.told(t, "state", &state)
	return state
}

func (c *cloud) log(t *testing.T) (log []fakecloudflare.Entry) {
	t.Helper()
	c.told(t, "log", &log)
	return log
}

func (c *cloud) violations(t *testing.T) (broken []fakecloudflare.Violation) {
	t.Helper()
	c.told(t, "violations", &broken)
	return broken
}

func (c *cloud) told(t *testing.T, what string, into any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.admin+"/_fake/"+what, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if err := json.NewDecoder(res.Body).Decode(into); err != nil {
		t.Fatalf("what the stand-in says of its %s: %v", what, err)
	}
}
