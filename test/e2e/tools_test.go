//go:build e2e

package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/crispy-enigma/crispy-enigma/test/e2e/stage"
)

// serve runs what tenants with tools and documents call: models at port 8000, a shop at
// 8001.
func (p play) serve(t *testing.T) {
	t.Helper()
	tag, err := p.Image(t.Context(), "./test/e2e/services", "localhost/enigma-services")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Apply(t.Context(), "models", fmt.Sprintf(services, tag)); err != nil {
		t.Fatal(err)
	}
	p.kubectl(t, "rollout", "status", "deployment/services", "-n", "models", "--timeout=90s")
}

// services takes an image's tag. 3,000 passages take 47 calls for embeddings.
const services = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: services}
spec:
  selector: {matchLabels: {app: services}}
  template:
    metadata: {labels: {app: services}}
    spec:
      containers:
      - name: services
        image: localhost/enigma-services:%s
        args: ["-model", ":8000", "-shop", ":8001", "-pace", "100ms"]
---
apiVersion: v1
kind: Service
metadata: {name: services}
spec:
  selector: {app: services}
  ports: [{name: model, port: 8000}, {name: shop, port: 8001}]
---
apiVersion: ai.crispy-enigma.dev/v1alpha1
kind: TenantClass
metadata: {name: private-tools}
spec:
  allowPrivateTools: true
`

const toolSpec = ephemeral + `  classRef: {name: private-tools}
  playground: true
  upstream:
    type: openai
    baseURL: http://services.models:8000/v1
  models:
    chat: obedient
  documents:
    store: state
  limits:
    requests:
      perMinute: 100000
  tools:
    enabled: true
    http:
    - name: get_order
      description: Looks up an order.
      method: GET
      url: http://services.models:8001/v1/orders/{number}
      private: true
      effect: read
      parameters:
        type: object
        required: [number]
        additionalProperties: false
        properties:
          number: {type: string, pattern: "^[A-Z]-[0-9]+$"}
      secretHeaders:
      - name: Authorization
        prefix: "Bearer "
        secretRef: {name: shop}
    - name: open_ticket
      description: Opens a ticket.
      method: POST
      url: http://services.models:8001/v1/tickets
      private: true
      effect: write
      parameters:
        type: object
        required: [subject]
        properties:
          subject: {type: string}
`

// Keys of the shop, one after the other.
const (
	shopKey    = "c4nary-key-of-the-shop"
	newShopKey = "c4nary-other-key-of-the-shop"
)

func digest(key string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte("Bearer "+key))) }

// tools: a model calls what the Tenant declares, with its Secret, and not what somebody
// else tells it to.
func (p play) tools(t *testing.T) {
	p.serve(t)
	p.secretIs(t, shopKey)
	manifest := "apiVersion: ai.crispy-enigma.dev/v1alpha1\nkind: Tenant\nmetadata: {name: assistant}\nspec:\n" + toolSpec
	refused := strings.Replace(manifest, "  classRef: {name: private-tools}\n", "", 1)
	if err := p.Apply(t.Context(), p.ns, strings.Replace(refused, "assistant", "outsider", 1)); err != nil {
		t.Fatal(err)
	}
	p.until(t, "outsider", "ToolNotAllowed")

	d := p.tenant(t, "assistant", toolSpec)
	p.kubectl(t, "wait", "tenant/assistant", "-n", p.ns, "--for=condition=ToolsReady", "--timeout=60s")
	if said := p.execute(t, d, http.StatusOK, "A-1017"); !strings.Contains(said, "Order A-1017 ships on Friday.") || !strings.Contains(said, digest(shopKey)) {
		t.Errorf("the tool says %q", said)
	}
	p.execute(t, d, http.StatusBadRequest, "nonsense")

	// What the order says is the tenant's own data, and somebody else's words.
	answer := p.ask(t, d, "", `CALL_TOOL get_order {"number":"A-7"}`)
	if !strings.Contains(answer.Text, "Order A-7 ships on Friday.") {
		t.Errorf("the model says %q", answer.Text)
	}
	if n := p.tickets(t, d); n != 0 {
		t.Errorf("%d tickets were opened because an order said so", n)
	}
	p.ask(t, d, "", `CALL_TOOL open_ticket {"subject":"mine"}`)
	if n := p.tickets(t, d); n != 1 {
		t.Errorf("%d tickets are open after a caller asked for one", n)
	}
	p.audited(t, d)

	// It is the policy that stood in the way: with the Tenant's leave the order has its will.
	p.kubectl(t, "patch", "tenant", "assistant", "-n", p.ns, "--type=merge", "-p", `{"spec":{"tools":{"afterUntrusted":["open_ticket"]}}}`)
	for begin := time.Now(); p.tickets(t, d) == 1; time.Sleep(200 * time.Millisecond) {
		if time.Since(begin) > time.Minute {
			t.Fatal("what the Tenant allows after untrusted text isn't done after a minute")
		}
		// A failed answer is told and asked for again: what is awaited here is the ticket.
		said, err := stage.Chat(t.Context(), d.url, d.key, "", `CALL_TOOL get_order {"number":"A-7"}`, io.Discard)
		if err != nil || said.Status != http.StatusOK || said.Code != "" {
			t.Logf("asking while the document changes: status %d, code %q, error %v: %q", said.Status, said.Code, err, said.Text)
		}
	}
	p.kubectl(t, "patch", "tenant", "assistant", "-n", p.ns, "--type=merge", "-p", `{"spec":{"tools":{"afterUntrusted":null}}}`)
}

func (p play) execute(t *testing.T, d door, status int, number string) string {
	t.Helper()
	a := d.call(t, status, http.MethodPost, "/tools/execute", "application/json",
		map[string]any{"tool_name": "get_order", "params": map[string]string{"number": number}})
	return string(a.Body)
}

func (p play) secretIs(t *testing.T, key string) {
	t.Helper()
	if err := p.Apply(t.Context(), p.ns, "apiVersion: v1\nkind: Secret\nmetadata: {name: shop, labels: {ai.crispy-enigma.dev/watch: \"true\"}}\nstringData: {token: "+key+"}\n"); err != nil {
		t.Fatal(err)
	}
}

// tickets are how many the shop was sent.
func (p play) tickets(t *testing.T, d door) (n int) {
	t.Helper()
	address, err := p.Forward(t.Context(), "models/services:8001")
	if err != nil {
		t.Fatal(err)
	}
	var told struct{ Tickets int }
	if err := (door{address, ""}).call(t, http.StatusOK, http.MethodGet, "/v1/tickets", "", nil).Into(&told); err != nil {
		t.Fatal(err)
	}
	return told.Tickets
}

// audited: what was refused to the model, and what was run, is on record, without a word
// of it.
func (p play) audited(t *testing.T, d door) {
	t.Helper()
	a := d.call(t, http.StatusForbidden, http.MethodGet, "/tools/audit", "", nil)
	if strings.Contains(string(a.Body), "A-1017") {
		t.Errorf("the refusal says %s", a.Body)
	}
	p.kubectl(t, "patch", "tenant", "assistant", "-n", p.ns, "--type=merge", "-p", `{"spec":{"auth":{"keys":[{"name":"default","scopes":["metrics:read"]}]}}}`)
	var told struct {
		Records []struct{ Tool, Outcome string }
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		a, err := stage.Ask(t.Context(), http.MethodGet, d.url+"/tools/audit", d.key, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		if a.Status == http.StatusOK {
			if err := a.Into(&told); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(a.Body), "A-1017") || strings.Contains(string(a.Body), "mine") {
				t.Errorf("the audit holds parameters: %s", a.Body)
			}
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the scope isn't in force after a minute: %d", a.Status)
		}
	}
	count := map[string]int{}
	for _, r := range told.Records {
		count[r.Tool+" "+r.Outcome]++
	}
	if count["get_order ok"] != 2 || count["get_order VALIDATION_FAILED"] != 1 || count["open_ticket ok"] != 1 {
		t.Errorf("the audit has %v", count)
	}
}

// rotated: a tool's Secret is taken up by the pod that runs, and one that breaks takes
// only its tool away.
func (p play) rotated(t *testing.T) {
	d := p.door(t, "assistant")
	before := p.pods(t, "assistant")
	begin := time.Now()
	p.secretIs(t, newShopKey)
	for !strings.Contains(p.execute(t, d, http.StatusOK, "A-1"), digest(newShopKey)) {
		if time.Since(begin) > 90*time.Second {
			t.Fatal("the new key isn't sent after 90 seconds")
		}
		time.Sleep(200 * time.Millisecond)
	}
	t.Logf("a tool's new secret was sent after %s", time.Since(begin))
	if after := p.pods(t, "assistant"); after != before {
		t.Errorf("pods were %q, are %q", before, after)
	}

	p.kubectl(t, "patch", "tenant", "assistant", "-n", p.ns, "--type=merge", "-p", `{"spec":{"tools":{"mcp":[{"name":"wiki","url":"http://services.models:8001/mcp","private":true}]}}}`)
	p.kubectl(t, "wait", "tenant/assistant", "-n", p.ns, "--for=condition=ToolsReady=False", "--timeout=60s")
	told := p.kubectl(t, "get", "tenant", "assistant", "-n", p.ns, "-o", `jsonpath={.status.conditions[?(@.type=="ToolsReady")].reason}: {.status.conditions[?(@.type=="ToolsReady")].message}`)
	if !strings.HasPrefix(told, "ToolsFailing: ") || !strings.Contains(told, `"wiki"`) || !strings.Contains(told, "url") {
		t.Errorf("a server that is none: %s", told)
	}
	p.kubectl(t, "delete", "secret", "shop", "-n", p.ns)
	p.kubectl(t, "wait", "tenant/assistant", "-n", p.ns, `--for=jsonpath={.status.conditions[?(@.type=="ToolsReady")].reason}=SecretNotFound`, "--timeout=90s")
	if said := p.ask(t, d, "", "SAY I am well."); !strings.Contains(said.Text, "I am well.") {
		t.Errorf("beside broken tools: %q", said.Text)
	}
	p.kubectl(t, "wait", "tenant/assistant", "-n", p.ns, "--for=condition=Ready", "--timeout=60s")
	p.secretIs(t, shopKey)
	p.kubectl(t, "patch", "tenant", "assistant", "-n", p.ns, "--type=merge", "-p", `{"spec":{"tools":{"mcp":null}}}`)
	p.kubectl(t, "wait", "tenant/assistant", "-n", p.ns, "--for=condition=ToolsReady", "--timeout=90s")
}

// clients: OpenAI's SDK and the one of the Model Context Protocol, as users have them.
func (p play) clients(t *testing.T) {
	d := p.door(t, "assistant")
	d.ingest(t, map[string]any{"docId": "harbour", "title": "Harbour", "text": "SAY Mooring costs twelve euros a night.\n\nCITE 1\n"})
	p.openAI(t, d)
	p.mcp(t, d)
	// The operator looks about once a minute.
	p.kubectl(t, "wait", "tenant/library", "-n", p.ns, "--for=jsonpath={.status.documents.documents}=2", "--timeout=90s")
}

// page: a browser gets the playground and may load nothing else; a tenant without it has
// none. Whoever builds a client gets the API's description.
func (p play) page(t *testing.T) {
	d, without := p.door(t, "assistant"), p.door(t, "marina")
	d.key, without.key = "", ""
	page := d.call(t, http.StatusOK, http.MethodGet, "/", "", nil)
	if policy := page.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "script-src 'self'") || strings.Contains(policy, "unsafe") {
		t.Errorf("the page's policy is %q", policy)
	}
	loaded := regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(string(page.Body), -1)
	if len(loaded) == 0 || !strings.HasPrefix(page.Header.Get("Content-Type"), "text/html") {
		t.Errorf("the page is of type %q and loads nothing: %s", page.Header.Get("Content-Type"), page.Body)
	}
	for _, link := range loaded {
		address, err := url.Parse(link[1])
		if err != nil || address.IsAbs() || address.Host != "" {
			t.Errorf("the page refers to %q", link[1])
			continue
		}
		d.call(t, http.StatusOK, http.MethodGet, "/"+strings.TrimPrefix(address.Path, "/"), "", nil)
	}
	without.call(t, http.StatusNotFound, http.MethodGet, "/", "", nil)

	var described struct {
		OpenAPI string
		Paths   map[string]map[string]any
	}
	if err := d.call(t, http.StatusOK, http.MethodGet, "/openapi.json", "", nil).Into(&described); err != nil {
		t.Fatal(err)
	}
	for path, method := range map[string]string{"/chat": "post", "/search": "post", "/ingest": "post", "/tools/execute": "post", "/v1/chat/completions": "post", "/documents": "get"} {
		if described.Paths[path][method] == nil {
			t.Errorf("OpenAPI %s doesn't describe %s %s", described.OpenAPI, method, path)
		}
	}
}

func (p play) openAI(t *testing.T, d door) {
	t.Helper()
	client := openai.NewClient(option.WithBaseURL(d.url+"/v1"), option.WithAPIKey(d.key))
	params := openai.ChatCompletionNewParams{
		Model:         "obedient",
		Messages:      []openai.ChatCompletionMessageParamUnion{openai.UserMessage("What does mooring cost?")},
		StreamOptions: openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(true)},
	}
	params.SetExtraFields(map[string]any{"enigma": map[string]any{"useRag": true}})
	stream := client.Chat.Completions.NewStreaming(t.Context(), params)
	defer func() { _ = stream.Close() }()
	var whole openai.ChatCompletionAccumulator
	sources := ""
	for stream.Next() {
		chunk := stream.Current()
		if !whole.AddChunk(chunk) {
			t.Errorf("the SDK can't add %s", chunk.RawJSON())
		}
		if extra, there := chunk.JSON.ExtraFields["enigma"]; there {
			sources += extra.Raw()
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	if len(whole.Choices) != 1 || whole.Choices[0].FinishReason != "stop" || whole.Usage.TotalTokens == 0 {
		t.Fatalf("streamed to OpenAI's SDK: %+v", whole.ChatCompletion)
	}
	if text := whole.Choices[0].Message.Content; !strings.Contains(text, "Mooring costs twelve euros a night.") || !strings.Contains(text, "[1]") || !strings.Contains(sources, `"docId":"harbour"`) {
		t.Errorf("the answer is %q, its sources %s", text, sources)
	}
	models, err := client.Models.List(t.Context())
	if err != nil || len(models.Data) != 1 || models.Data[0].ID != "obedient" {
		t.Errorf("models: %+v, %v", models, err)
	}
	stranger := openai.NewClient(option.WithBaseURL(d.url+"/v1"), option.WithAPIKey(d.key+"x"))
	if _, err := stranger.Models.List(t.Context()); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("with a wrong key: %v", err)
	}
}

// bearer sends a key with each request.
type bearer string

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(b))
	return http.DefaultTransport.RoundTrip(r)
}

func (p play) mcp(t *testing.T, d door) {
	t.Helper()
	client := mcp.NewClient(&mcp.Implementation{Name: "e2e", Version: "1"}, nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	session, err := client.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: d.url + "/mcp", HTTPClient: &http.Client{Transport: bearer(d.key)}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = session.Close() }()
	list, err := session.ListTools(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, tool := range list.Tools {
		names = append(names, tool.Name)
	}
	for _, want := range []string{"get_order", "open_ticket", "search_docs", "ingest_docs", "summarize"} {
		if !slices.Contains(names, want) {
			t.Errorf("the server offers %v, without %s", names, want)
		}
	}
	found, err := session.CallTool(ctx, &mcp.CallToolParams{Name: "search_docs", Arguments: map[string]any{"query": "mooring"}})
	if err != nil {
		t.Fatal(err)
	}
	if text, err := json.Marshal(found); err != nil || found.IsError || !strings.Contains(string(text), "twelve euros") {
		t.Errorf("search_docs: %s, %v", text, err)
	}
	read, err := session.ReadResource(ctx, &mcp.ReadResourceParams{URI: "document:///harbour"})
	if err != nil || len(read.Contents) != 1 || !strings.Contains(read.Contents[0].Text, "twelve euros") {
		t.Errorf("the document as a resource: %+v, %v", read, err)
	}
}
