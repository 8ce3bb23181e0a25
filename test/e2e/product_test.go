//go:build e2e

// Package e2e asserts what make up shows: the product on a real node, used through
// kubectl, helm and HTTP only.
package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/crispy-enigma/crispy-enigma/test/e2e/stage"
)

// TestProduct plays one act after the other on one stage: each needs what the
// earlier ones left.
func TestProduct(t *testing.T) {
	ctx := t.Context()
	s, err := stage.Raise(ctx, stage.Options{Name: "e2e", Out: os.Stdout, Values: []string{"cloudflare.observeEvery=1m"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			lament(s)
		}
		if err := s.Strike(context.Background()); err != nil {
			t.Errorf("ending the cluster: %v", err)
		}
	})
	p, c, sh := play{s, "e2e"}, &cloud{play: play{s, "e2e-cloud"}}, shared{play{s, "e2e-shared"}}
	for _, act := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"Cloudflare's things are made, and used with the tenant's own token", c.made},
		{"a document is found once Cloudflare has indexed it", c.vectorize},
		{"things are deleted at Cloudflare by hand", c.strike},
		{"a sample answers in a stream", p.firstChat},
		{"a wrong manifest is refused with a sentence", p.refusal},
		{"a real upstream streams through its Service", p.upstream},
		{"a changed limit is in force without a restart", p.liveChange},
		{"what a tenant lacks is told, and heals", p.missingSecret},
		{"only the operator reaches the metrics port", p.walls},
		{"an ephemeral tenant rolls without a lost request", p.roll},
		{"a persistent tenant keeps its sessions over a roll", p.persistence},
		{"documents are found with their sources, replaced and removed", p.documents},
		{"a pod is killed in the middle of an ingest, which ends once", p.killed},
		{"a model calls tools, and nobody else does through it", p.tools},
		{"a tool's secret changes live, a broken tool is missing alone", p.rotated},
		{"OpenAI's SDK and an MCP client find what they know", p.clients},
		{"a browser gets a page, and whoever builds a client a description", p.page},
		{"what is deleted by hand comes back", p.drift},
		{"a killed operator changes nothing", p.operatorKilled},
		{"a login reaches its tenant's keys and no other's", sh.logins},
		{"a tenant that scales has an autoscaler and a disruption budget", sh.objects},
		{"two replicas roll under a thousand streams, and nothing is lost", sh.roll},
		{"a tenant with history moves from its volume to the server", sh.moved},
		{"a snapshot is taken in a pod, and restored in another", sh.snapshot},
		{"documents of one replica are found through the other", sh.documents},
		{"the state server is killed, and comes back", sh.away},
		{"a login goes with its tenant, the data as the policy says", sh.erased},
		{"what was deleted at Cloudflare by hand is made again", c.mended},
		{"a tenant has an account of its own, by the sample", c.ownAccount},
		{"a deleted tenant's token is revoked, its data goes or stays", c.bereaved},
		{"a protected tenant stays, an unprotected one goes with all it had", p.deletion},
	} {
		if !t.Run(act.name, act.run) {
			return
		}
	}
}

// play is one act's view of the stage: its Tenants are in one namespace.
type play struct {
	*stage.Stage
	ns string
}

// lament prints what a person would look at first.
func lament(s *stage.Stage) {
	for _, args := range [][]string{
		{"get", "tenants,cfa,cfb,pods,pvc", "-A", "-o", "wide"},
		{"get", "events", "-A", "--sort-by=.lastTimestamp"},
		{"logs", "-n", stage.RedisNamespace, "deployment/redis", "--tail=40"},
		{"logs", "-n", stage.SystemNamespace, "-l", "app.kubernetes.io/instance=" + stage.Release, "--tail=60"},
	} {
		out, err := s.Kubectl(context.Background(), args...)
		fmt.Printf("$ kubectl %s\n%s\n", strings.Join(args, " "), out)
		if err != nil {
			fmt.Println(err)
		}
	}
}

// door is how one tenant is asked.
type door struct{ url, key string }

func (p play) tenant(t *testing.T, name, spec string) door {
	t.Helper()
	manifest := fmt.Sprintf("apiVersion: ai.crispy-enigma.dev/v1alpha1\nkind: Tenant\nmetadata:\n  name: %s\nspec:\n%s", name, spec)
	if err := p.Apply(t.Context(), p.ns, manifest); err != nil {
		t.Fatal(err)
	}
	return p.door(t, name)
}

func (p play) door(t *testing.T, name string) door {
	t.Helper()
	ctx := t.Context()
	if err := p.Ready(ctx, p.ns, name, 2*time.Minute); err != nil {
		t.Fatal(err)
	}
	key, err := p.Key(ctx, p.ns, name, "default")
	if err != nil {
		t.Fatal(err)
	}
	url, err := p.URL(ctx, p.ns, name)
	if err != nil {
		t.Fatal(err)
	}
	return door{url, key}
}

func (p play) ask(t *testing.T, d door, session, message string) stage.Said {
	t.Helper()
	said, err := stage.Chat(t.Context(), d.url, d.key, session, message, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if said.Status != http.StatusOK || said.Code != "" {
		t.Fatalf("status %d, error %q: %s", said.Status, said.Code, said.Text)
	}
	return said
}

func (p play) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := p.Kubectl(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

const ephemeral = `  deletionProtection: false
  deletionPolicy: Delete
  state:
    embedded:
      ephemeral: {}
`

func (p play) firstChat(t *testing.T) {
	sample, err := os.ReadFile(filepath.Join(p.Root(), "config/samples/tenant-minimal.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if err := p.Apply(t.Context(), p.ns, string(sample)); err != nil {
		t.Fatal(err)
	}
	d := p.door(t, "minimal")
	t.Logf("apply to Ready: %s", time.Since(begin))
	said := p.ask(t, d, "", "The office in Lisbon opens at nine. The office in Oslo opens at eight. When does the office in Oslo open?")
	if !strings.Contains(said.Text, "“The office in Oslo opens at eight.”") || said.Tokens < 2 || said.Done["done"] != true {
		t.Errorf("answer in %d events: %q, final event %v", said.Tokens, said.Text, said.Done)
	}
	if out := p.kubectl(t, "wait", "--for=condition=Ready", "tenant/minimal", "-n", p.ns, "--timeout=5s"); !strings.Contains(out, "condition met") {
		t.Errorf("kubectl wait: %s", out)
	}
	if said, err := stage.Chat(t.Context(), d.url, d.key+"x", "", "Hello?", io.Discard); err != nil || said.Status != http.StatusUnauthorized {
		t.Errorf("a wrong key: status %d, %v", said.Status, err)
	}
}

func (p play) refusal(t *testing.T) {
	err := p.Apply(t.Context(), p.ns, "apiVersion: ai.crispy-enigma.dev/v1alpha1\nkind: Tenant\nmetadata: {name: wrong}\nspec: {upstream: {type: openai}}\n")
	if err == nil || !strings.Contains(err.Error(), "spec.upstream.baseURL is required") {
		t.Errorf("got %v", err)
	}
}

// upstream runs a model server as a pod, which the tenant reaches by its Service's
// name through the default-deny network policy.
func (p play) upstream(t *testing.T) {
	p.serveModel(t, "model", "10", "5ms")
	d := p.tenant(t, "served", ephemeral+"  upstream:\n    type: openai\n    baseURL: http://model.models:8000/v1\n  models:\n    chat: bench\n")
	said := p.ask(t, d, "", "Count.")
	if said.Text != strings.Repeat(" token", 10) || said.Tokens != 10 {
		t.Errorf("%d events: %q", said.Tokens, said.Text)
	}
	usage, _ := said.Done["usage"].(map[string]any)
	if usage["tokensOut"] != 10.0 || usage["modelId"] != "bench" {
		t.Errorf("usage %v", usage)
	}
}

// serveModel runs a model server whose answers have so many tokens, at a pace.
func (p play) serveModel(t *testing.T, name, tokens, pace string) {
	t.Helper()
	tag, err := p.Image(t.Context(), "./test/bench/upstream", "localhost/enigma-upstream")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Apply(t.Context(), "models", fmt.Sprintf(modelServer, name, tag, tokens, pace)); err != nil {
		t.Fatal(err)
	}
	p.kubectl(t, "rollout", "status", "deployment/"+name, "-n", "models", "--timeout=90s")
}

// modelServer takes a name, an image's tag, tokens and a pace.
const modelServer = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s}
spec:
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec:
      containers:
      - name: model
        image: localhost/enigma-upstream:%[2]s
        args: ["-listen", ":8000", "-tokens", "%[3]s", "-pace", "%[4]s"]
---
apiVersion: v1
kind: Service
metadata: {name: %[1]s}
spec:
  selector: {app: %[1]s}
  ports: [{port: 8000}]
`

func (p play) liveChange(t *testing.T) {
	d := p.door(t, "served")
	before := p.pods(t, "served")
	const limit = 4321
	begin := time.Now()
	p.kubectl(t, "patch", "tenant", "served", "-n", p.ns, "--type=merge", "-p", fmt.Sprintf(`{"spec":{"limits":{"requests":{"perMinute":%d}}}}`, limit))
	for {
		if said := p.ask(t, d, "", "Count."); said.Header.Get("x-ratelimit-limit") == strconv.Itoa(limit) {
			break
		}
		if time.Since(begin) > time.Minute {
			t.Fatal("the limit was not in force after a minute")
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Logf("a changed limit was in force after %s", time.Since(begin))
	if after := p.pods(t, "served"); after != before {
		t.Errorf("pods were %q, are %q", before, after)
	}
}

// pods are the names and restarts of a tenant's pods.
func (p play) pods(t *testing.T, tenant string) string {
	t.Helper()
	return p.kubectl(t, "get", "pods", "-n", p.ns, "-l", "ai.crispy-enigma.dev/tenant="+tenant,
		"-o", "jsonpath={range .items[*]}{.metadata.name}={.status.containerStatuses[0].restartCount} {end}")
}

// settled waits until a tenant has one pod, and returns it as pods does.
func (p play) settled(t *testing.T, tenant string) string {
	t.Helper()
	for end := time.Now().Add(150 * time.Second); ; time.Sleep(500 * time.Millisecond) {
		pods := p.pods(t, tenant)
		if len(strings.Fields(pods)) == 1 {
			return pods
		}
		if time.Now().After(end) {
			t.Fatalf("tenant %s still has the pods %q", tenant, pods)
		}
	}
}

func (p play) missingSecret(t *testing.T) {
	manifest := "apiVersion: ai.crispy-enigma.dev/v1alpha1\nkind: Tenant\nmetadata: {name: keyed}\nspec:\n" + ephemeral +
		"  auth:\n    keys:\n    - name: default\n      secretRef: {name: brought, key: token}\n"
	if err := p.Apply(t.Context(), p.ns, manifest); err != nil {
		t.Fatal(err)
	}
	p.until(t, "keyed", "SecretNotFound")
	const value = "ce_c4nary_brought_by_its_owner_0123456789"
	p.kubectl(t, "create", "secret", "generic", "brought", "-n", p.ns, "--from-literal=token="+value)
	if err := p.Ready(t.Context(), p.ns, "keyed", time.Minute); err != nil {
		t.Fatal(err)
	}
	url, err := p.URL(t.Context(), p.ns, "keyed")
	if err != nil {
		t.Fatal(err)
	}
	p.ask(t, door{url, value}, "", "Hello?")
}

// until waits for a reason of Ready.
func (p play) until(t *testing.T, tenant, reason string) {
	t.Helper()
	p.kubectl(t, "wait", "tenant/"+tenant, "-n", p.ns, "--timeout=60s",
		`--for=jsonpath={.status.conditions[?(@.type=="Ready")].reason}=`+reason)
}

// walls asks a tenant's ports from a pod of another p.ns, by its address.
func (p play) walls(t *testing.T) {
	ip := p.kubectl(t, "get", "pods", "-n", p.ns, "-l", "ai.crispy-enigma.dev/tenant=minimal", "-o", "jsonpath={.items[0].status.podIP}")
	tag, err := p.Image(t.Context(), "./test/e2e/probe", "localhost/enigma-probe")
	if err != nil {
		t.Fatal(err)
	}
	p.kubectl(t, "run", "probe", "-n", "models", "--image=localhost/enigma-probe:"+tag, "--restart=Never", "--", ip+":8080", ip+":9090")
	p.kubectl(t, "wait", "pod/probe", "-n", "models", "--timeout=60s", "--for=jsonpath={.status.phase}=Succeeded")
	out := p.kubectl(t, "logs", "probe", "-n", "models")
	if !strings.Contains(out, ip+":8080 open") || !strings.Contains(out, ip+":9090 shut") {
		t.Errorf("from another p.ns: %s", out)
	}
	if env := p.kubectl(t, "get", "pods", "-n", p.ns, "-l", "ai.crispy-enigma.dev/tenant=minimal", "-o", "jsonpath={.items[0].spec.automountServiceAccountToken}"); env != "false" {
		t.Errorf("automountServiceAccountToken is %q", env)
	}
}

func (p play) roll(t *testing.T) {
	d := p.tenant(t, "rolled", ephemeral+"  limits:\n    requests:\n      perMinute: 1000000\n  upstream:\n    type: openai\n    baseURL: http://model.models:8000/v1\n  models:\n    chat: bench\n")
	old := p.pods(t, "rolled")
	l := p.press(t, "rolled", d.key, 0)
	p.kubectl(t, "patch", "tenant", "rolled", "-n", p.ns, "--type=merge", "-p", `{"spec":{"runtime":{"resources":{"requests":{"cpu":"60m"}}}}}`)
	p.kubectl(t, "rollout", "status", "deployment/tenant-rolled", "-n", p.ns, "--timeout=120s")
	if err := p.Ready(t.Context(), p.ns, "rolled", time.Minute); err != nil {
		t.Error(err)
	}
	p.gone(t, old)
	count := l.stop(t)
	if p.pods(t, "rolled") == old {
		t.Error("nothing was rolled")
	}
	t.Logf("rolling update under load: %d requests, %d failed %v", count.Sent, count.Failed, count.Why)
	if count.Failed > 0 || count.Sent < 50 {
		t.Errorf("%d of %d requests failed: %v", count.Failed, count.Sent, count.Why)
	}
}

// gone waits until the pods of an earlier listing have ended.
func (p play) gone(t *testing.T, pods string) {
	t.Helper()
	for _, pod := range strings.Fields(pods) {
		name, _, _ := strings.Cut(pod, "=")
		p.kubectl(t, "wait", "pod/"+name, "-n", p.ns, "--for=delete", "--timeout=150s")
	}
}

func (p play) persistence(t *testing.T) {
	d := p.tenant(t, "kept", "  deletionProtection: false\n  deletionPolicy: Delete\n  limits:\n    requests:\n      perMinute: 1000000\n  state:\n    embedded:\n      persistence:\n        size: 64Mi\n")
	session := uuid.NewString()
	p.ask(t, d, session, "The safe opens at noon. When does the safe open?")
	old := p.pods(t, "kept")
	l := p.press(t, "kept", d.key, 0)
	p.kubectl(t, "patch", "tenant", "kept", "-n", p.ns, "--type=merge", "-p", `{"spec":{"runtime":{"resources":{"requests":{"cpu":"60m"}}}}}`)
	p.gone(t, old)
	p.kubectl(t, "rollout", "status", "deployment/tenant-kept", "-n", p.ns, "--timeout=120s")
	if err := p.Ready(t.Context(), p.ns, "kept", time.Minute); err != nil {
		t.Fatal(err)
	}
	// Ready comes a little before kube-proxy routes to the new pod; the answer shows that
	// it does.
	said := p.ask(t, d, session, "When does the safe open?")
	count := l.stop(t)
	t.Logf("a persistent tenant was away for %s in its roll (%d of %d requests failed)", count.Gap, count.Failed, count.Sent)
	if !strings.Contains(said.Text, "The safe opens at noon.") {
		t.Errorf("the session was lost: %q", said.Text)
	}
}

func (p play) drift(t *testing.T) {
	p.kubectl(t, "delete", "service/tenant-minimal", "networkpolicy/tenant-minimal", "-n", p.ns)
	p.kubectl(t, "patch", "deployment/tenant-minimal", "-n", p.ns, "--type=json", "-p", `[{"op":"replace","path":"/spec/template/spec/containers/0/securityContext/readOnlyRootFilesystem","value":false}]`)
	p.kubectl(t, "wait", "service/tenant-minimal", "networkpolicy/tenant-minimal", "-n", p.ns, "--for=create", "--timeout=60s")
	p.kubectl(t, "wait", "deployment/tenant-minimal", "-n", p.ns, "--timeout=60s", "--for=jsonpath={.spec.template.spec.containers[0].securityContext.readOnlyRootFilesystem}=true")
	p.door(t, "minimal")
}

func (p play) operatorKilled(t *testing.T) {
	before := p.settled(t, "minimal")
	p.kubectl(t, "delete", "pod", "-n", stage.SystemNamespace, "-l", "app.kubernetes.io/instance="+stage.Release, "--grace-period=0", "--force")
	p.kubectl(t, "rollout", "status", "deployment", "-n", stage.SystemNamespace, "-l", "app.kubernetes.io/instance="+stage.Release, "--timeout=120s")
	d := p.tenant(t, "after", ephemeral)
	p.ask(t, d, "", "Hello?")
	if after := p.settled(t, "minimal"); after != before {
		t.Errorf("pods were %q, are %q", before, after)
	}
}

func (p play) deletion(t *testing.T) {
	p.kubectl(t, "patch", "tenant", "kept", "-n", p.ns, "--type=merge", "-p", `{"spec":{"deletionProtection":true}}`)
	if _, err := p.Kubectl(t.Context(), "delete", "tenant", "kept", "-n", p.ns); err == nil || !strings.Contains(err.Error(), "deletionProtection") {
		t.Errorf("deleting a protected tenant: %v", err)
	}
	p.kubectl(t, "patch", "tenant", "kept", "-n", p.ns, "--type=merge", "-p", `{"spec":{"deletionProtection":false}}`)
	p.kubectl(t, "delete", "tenant", "--all", "-n", p.ns, "--timeout=90s")
	p.kubectl(t, "wait", "deployment,service,secret,pvc,networkpolicy,serviceaccount", "-n", p.ns,
		"-l", "app.kubernetes.io/managed-by=crispy-enigma", "--for=delete", "--timeout=120s")
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(time.Second) {
		left := p.kubectl(t, "get", "deployment,service,secret,pvc,networkpolicy,serviceaccount,pods", "-n", p.ns,
			"-l", "app.kubernetes.io/managed-by=crispy-enigma", "-o", "name")
		if left == "" {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("left behind: %s", left)
		}
	}
}
