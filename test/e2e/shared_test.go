//go:build e2e

package e2e

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/crispy-enigma/crispy-enigma/test/e2e/stage"
)

// shared is the part of the play that has to do with a server that tenants share.
type shared struct{ play }

const sharedSpec = `  classRef: {name: shared-state}
  deletionProtection: false
  deletionPolicy: Delete
  state:
    valkey: {}
  limits:
    requests:
      perMinute: 1000000
`

const slowModel = `  upstream:
    type: openai
    baseURL: http://slow.models:8000/v1
  models:
    chat: bench
`

// Streams of the rolling update, and how long each is: well within the grace period.
const (
	streams      = 1000
	streamTokens = 15
	streamPace   = time.Second
)

// login is what a tenant's pods log in with.
type login struct{ user, password string }

// logins: the sample's class, two tenants, and what each may do with its pods' own login.
func (s shared) logins(t *testing.T) {
	if err := s.Redis(t.Context()); err != nil {
		t.Fatal(err)
	}
	class, _, found := strings.Cut(s.sample(t), "\n---\n")
	if !found || !strings.Contains(class, "kind: TenantClass") {
		t.Fatal("the sample doesn't begin with a TenantClass")
	}
	if err := s.Apply(t.Context(), s.ns, class); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"one", "two"} {
		d := s.tenant(t, name, sharedSpec+"  runtime:\n    replicas: 2\n")
		s.ask(t, d, uuid.NewString(), "The safe of "+name+" opens at noon. When does the safe open?")
	}
	admin, one, two := s.admin(t), s.login(t, "one"), s.login(t, "two")
	if list := s.redis(t, admin, "ACL", "USERS"); !strings.Contains(list, one.user) || !strings.Contains(list, two.user) {
		t.Fatalf("the server has the logins %q, without %s or %s", list, one.user, two.user)
	}
	mine, others := s.keys(t, admin, one), s.keys(t, admin, two)
	if len(mine) == 0 || len(others) == 0 {
		t.Fatalf("one has %d keys, two has %d", len(mine), len(others))
	}
	if said := s.redis(t, one, "EXISTS", mine[0]); said != "1" {
		t.Errorf("the tenant's own key: %q", said)
	}
	for _, command := range [][]string{
		{"EXISTS", others[0]}, {"GET", others[0]}, {"HGETALL", others[0]}, {"UNLINK", others[0]}, {"RENAME", others[0], mine[0]},
		{"EVAL", "return redis.call('EXISTS', KEYS[1])", "1", others[0]}, {"EVAL", "return redis.call('EXISTS', '" + others[0] + "')", "0"},
		{"KEYS", "*"}, {"SCAN", "0"}, {"ACL", "LIST"}, {"CONFIG", "GET", "*"}, {"SUBSCRIBE", "x"}, {"MONITOR"}, {"FLUSHALL"}, {"CLIENT", "LIST"},
	} {
		if said := s.redis(t, one, command...); !strings.Contains(said, "NOPERM") && !strings.Contains(said, "No permissions") && !strings.Contains(said, "can't access") {
			t.Errorf("with the pod's own login %s answers %q", command[0], said)
		}
	}
}

// objects: the sample's Tenant that scales has what Kubernetes needs for that.
func (s shared) objects(t *testing.T) {
	documents := strings.Split(s.sample(t), "\n---\n")
	if err := s.Apply(t.Context(), s.ns, documents[1]); err != nil {
		t.Fatal(err)
	}
	d := s.door(t, "busy")
	s.ask(t, d, "", "Hello?")
	s.kubectl(t, "wait", "deployment/tenant-busy", "-n", s.ns, "--for=jsonpath={.status.readyReplicas}=2", "--timeout=60s")
	if bounds := s.kubectl(t, "get", "hpa", "tenant-busy", "-n", s.ns, "-o", "jsonpath={.spec.minReplicas} {.spec.maxReplicas} {.spec.scaleTargetRef.name}"); bounds != "2 6 tenant-busy" {
		t.Errorf("the HorizontalPodAutoscaler has %q", bounds)
	}
	s.kubectl(t, "wait", "pdb/tenant-busy", "-n", s.ns, "--for=jsonpath={.status.disruptionsAllowed}=1", "--timeout=60s")
	err := s.Apply(t.Context(), s.ns, "apiVersion: ai.crispy-enigma.dev/v1alpha1\nkind: Tenant\nmetadata: {name: alone}\nspec: {state: {embedded: {ephemeral: {}}}, runtime: {replicas: 2}}\n")
	if err == nil || !strings.Contains(err.Error(), "replicas") {
		t.Errorf("two replicas of a store that they don't share: %v", err)
	}
}

// roll replaces both pods while a thousand answers are being streamed.
func (s shared) roll(t *testing.T) {
	s.serveModel(t, "slow", fmt.Sprint(streamTokens), streamPace.String())
	d := s.tenant(t, "streamed", sharedSpec+slowModel+"  runtime:\n    replicas: 2\n")
	s.kubectl(t, "rollout", "status", "deployment/tenant-streamed", "-n", s.ns, "--timeout=60s")
	old := s.pods(t, "streamed")
	if len(strings.Fields(old)) != 2 {
		t.Fatalf("the tenant has the pods %q, want two", old)
	}
	l := s.press(t, "streamed", d.key, streams)
	begin := time.Now()
	s.kubectl(t, "patch", "tenant", "streamed", "-n", s.ns, "--type=merge", "-p", `{"spec":{"runtime":{"resources":{"requests":{"cpu":"60m"}}}}}`)
	s.kubectl(t, "wait", "tenant/streamed", "-n", s.ns, "--for=jsonpath={.status.observedGeneration}=2", "--timeout=60s")
	s.kubectl(t, "rollout", "status", "deployment/tenant-streamed", "-n", s.ns, "--timeout=180s")
	s.gone(t, old)
	took := time.Since(begin)
	count := l.stop(t)
	t.Logf("rolling update of two replicas in %.1fs under %d streams at a time: %d streams, %d refused, %d without a final event, %d ended with an error; %d requests, %d failed; %d messages, %d lost; %v",
		took.Seconds(), streams, count.Streams, count.Refused, count.Cut, count.Broken, count.Sent, count.Failed, count.Messages, count.Lost, count.Why)
	if count.Refused+count.Cut+count.Broken+count.Failed+count.Lost > 0 {
		t.Error("something was lost")
	}
	if count.Streams < 2*streams || count.Sent < 50 || count.Messages < 2*streams {
		t.Error("too little was asked to show anything")
	}
	s.kubectl(t, "delete", "tenant", "streamed", "-n", s.ns, "--timeout=90s")
}

// away kills the server. The pods stay in their Service, say that it is away and when to
// come again, and go on once it is back.
func (s shared) away(t *testing.T) {
	d, session, admin, one := s.door(t, "one"), uuid.NewString(), s.admin(t), s.login(t, "one")
	// From here on the server answers a write once it is in its file, until it is killed.
	if said := s.redis(t, admin, "CONFIG", "SET", "appendfsync", "always"); said != "OK" {
		t.Fatalf("the server says %q", said)
	}
	s.ask(t, d, session, "The pool opens at ten. When does the pool open?")
	kept := s.keys(t, admin, one)
	ready := s.readiness(t, "one")
	s.kubectl(t, "scale", "deployment/redis", "-n", stage.RedisNamespace, "--replicas=0")
	s.kubectl(t, "delete", "pod", "-n", stage.RedisNamespace, "-l", "app=redis", "--grace-period=0", "--force", "--ignore-not-found")
	killed := time.Now()
	refused := 0
	for time.Since(killed) < 20*time.Second && refused < 20 {
		said, err := stage.Chat(t.Context(), d.url, d.key, "", "Is the pool open?", io.Discard)
		switch {
		case err != nil:
			t.Fatalf("while the server is away: %v", err)
		case said.Status == http.StatusServiceUnavailable && said.Header.Get("Retry-After") != "":
			refused++
		case said.Status != http.StatusOK && said.Status != http.StatusServiceUnavailable:
			t.Fatalf("while the server is away: %d %s", said.Status, said.Text)
		}
		time.Sleep(100 * time.Millisecond)
	}
	if refused < 20 {
		t.Errorf("only %d requests were refused with 503 and Retry-After", refused)
	}
	s.kubectl(t, "wait", "tenant/one", "-n", s.ns, "--for=condition=StateStoreReachable=False", "--timeout=100s")
	t.Logf("the condition told after %s", time.Since(killed))
	if now := s.readiness(t, "one"); now != ready {
		t.Errorf("readiness of the pods was %q, is %q", ready, now)
	}
	s.kubectl(t, "scale", "deployment/redis", "-n", stage.RedisNamespace, "--replicas=1")
	s.kubectl(t, "rollout", "status", "deployment/redis", "-n", stage.RedisNamespace, "--timeout=60s")
	back := time.Now()
	// kube-proxy routes to the new pod a little after it is ready.
	for s.redis(t, admin, "PING") != "PONG" {
		if time.Since(back) > time.Minute {
			t.Fatal("the server isn't reached a minute after its return")
		}
		time.Sleep(50 * time.Millisecond)
	}
	// Rate windows end by themselves.
	now := s.keys(t, admin, one)
	for _, key := range kept {
		if !slices.Contains(now, key) && !strings.Contains(key, "window") {
			t.Errorf("the server lost the key %s", key)
		}
	}
	for {
		said, err := stage.Chat(t.Context(), d.url, d.key, session, "When does the pool open?", io.Discard)
		if err == nil && said.Status == http.StatusOK && said.Code == "" {
			if !strings.Contains(said.Text, "The pool opens at ten.") {
				t.Errorf("the session lost its first message: %q; its history is %s", said.Text, s.history(t, d, session))
			}
			break
		}
		if time.Since(back) > 2*time.Minute {
			t.Fatalf("two minutes after its return the server isn't used: %d %v", said.Status, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	// The server came back without the logins, which the operator has to make again.
	t.Logf("served again %s after the server's return without any login", time.Since(back))
	s.kubectl(t, "wait", "tenant/one", "-n", s.ns, "--for=condition=Ready", "--timeout=100s")
}

// readiness tells since when each pod is ready: a blink would show.
func (s shared) readiness(t *testing.T, tenant string) string {
	t.Helper()
	return s.kubectl(t, "get", "pods", "-n", s.ns, "-l", "ai.crispy-enigma.dev/tenant="+tenant, "-o",
		`jsonpath={range .items[*]}{.metadata.name}={.status.conditions[?(@.type=="Ready")].status}@{.status.conditions[?(@.type=="Ready")].lastTransitionTime} {end}`)
}

// moved: a tenant with history on a volume goes over to the server.
func (s shared) moved(t *testing.T) {
	d := s.tenant(t, "mover", "  deletionProtection: false\n  deletionPolicy: Delete\n  state:\n    embedded:\n      persistence:\n        size: 64Mi\n")
	session := uuid.NewString()
	s.ask(t, d, session, "The museum opens at eleven. When does the museum open?")
	s.ask(t, d, session, "And when does the museum open?")
	before := s.history(t, d, session)
	begin := time.Now()
	s.kubectl(t, "patch", "tenant", "mover", "-n", s.ns, "--type=merge", "-p", `{"spec":{"classRef":{"name":"shared-state"},"state":{"embedded":null,"valkey":{}}}}`)
	s.kubectl(t, "wait", "tenant/mover", "-n", s.ns, "--for=jsonpath={.status.observedGeneration}=2", "--timeout=60s")
	s.kubectl(t, "wait", "tenant/mover", "-n", s.ns, "--for=condition=Ready", "--timeout=120s")
	d = s.door(t, "mover")
	t.Logf("moved from the volume to the server in %s", time.Since(begin))
	if after := s.history(t, d, session); after != before || len(before) < 100 {
		t.Errorf("the history was %d bytes and is %d", len(before), len(after))
	}
	if len(s.keys(t, s.admin(t), s.login(t, "mover"))) == 0 {
		t.Error("the tenant has no key on the server")
	}
	s.kubectl(t, "patch", "tenant", "mover", "-n", s.ns, "--type=merge", "-p", `{"spec":{"runtime":{"replicas":2}}}`)
	s.kubectl(t, "wait", "deployment/tenant-mover", "-n", s.ns, "--for=jsonpath={.status.readyReplicas}=2", "--timeout=60s")
	if said := s.ask(t, d, session, "When does the museum open?"); !strings.Contains(said.Text, "The museum opens at eleven.") {
		t.Errorf("after the move: %q", said.Text)
	}
}

// snapshot is taken in one tenant's pod and restored in another's.
func (s shared) snapshot(t *testing.T) {
	session := uuid.NewString()
	d := s.door(t, "two")
	s.ask(t, d, session, "The library opens at one. When does the library open?")
	file := filepath.Join(t.TempDir(), "snapshot")
	s.piped(t, nil, file, "exec", "deployment/tenant-two", "-n", s.ns, "--", "/runtime", "snapshot")
	if info, err := os.Stat(file); err != nil || info.Size() == 0 {
		t.Fatalf("the snapshot is empty: %v", err)
	}
	other := s.tenant(t, "other", sharedSpec)
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	s.piped(t, in, "", "exec", "-i", "deployment/tenant-other", "-n", s.ns, "--", "/runtime", "restore", "-as", "other")
	if want, got := s.history(t, d, session), s.history(t, other, session); got != want || len(want) < 100 {
		t.Errorf("the history was %d bytes in the one and is %d in the other", len(want), len(got))
	}
}

// erased: a login goes with its tenant, and what was kept as the policy says.
func (s shared) erased(t *testing.T) {
	admin, one, two := s.admin(t), s.login(t, "one"), s.login(t, "two")
	s.kubectl(t, "patch", "tenant", "two", "-n", s.ns, "--type=merge", "-p", `{"spec":{"deletionPolicy":"Retain"}}`)
	s.kubectl(t, "delete", "tenant", "one", "two", "-n", s.ns, "--timeout=90s")
	if list := s.redis(t, admin, "ACL", "USERS"); strings.Contains(list, one.user) || strings.Contains(list, two.user) {
		t.Errorf("the logins of deleted tenants are left: %q", list)
	}
	if left := s.keys(t, admin, one); len(left) > 0 {
		t.Errorf("%d keys are left of a tenant with deletionPolicy Delete", len(left))
	}
	if left := s.keys(t, admin, two); len(left) == 0 {
		t.Error("nothing is left of a tenant with deletionPolicy Retain")
	}
}

func (s shared) sample(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.Root(), "config/samples/tenant-shared-state.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// login reads what a tenant's pods have mounted.
func (s shared) login(t *testing.T, tenant string) login {
	t.Helper()
	return s.address(t, s.kubectl(t, "get", "secret", "tenant-"+tenant+"-config", "-n", s.ns, "-o", `jsonpath={.data.state-url}`))
}

func (s shared) admin(t *testing.T) login {
	t.Helper()
	return s.address(t, s.kubectl(t, "get", "secret", stage.RedisAdminSecret, "-n", stage.SystemNamespace, "-o", "jsonpath={.data.url}"))
}

func (s shared) address(t *testing.T, encoded string) login {
	t.Helper()
	text, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(string(text))
	if err != nil || u.User == nil {
		t.Fatal("the Secret holds no address with a login")
	}
	password, _ := u.User.Password()
	return login{u.User.Username(), password}
}

// redis runs one command on the server as somebody, and gives what it answers.
func (s shared) redis(t *testing.T, as login, command ...string) string {
	t.Helper()
	ip := s.kubectl(t, "get", "service/redis", "-n", stage.RedisNamespace, "-o", "jsonpath={.spec.clusterIP}")
	cmd := s.Inside(t.Context(), append([]string{"redis-cli", "-h", ip, "--user", as.user, "--no-auth-warning"}, command...)...)
	// The password comes by the environment, so that no process list shows it.
	cmd.Env = append(cmd.Env, "REDISCLI_AUTH="+as.password)
	out, err := cmd.CombinedOutput()
	if _, refused := errors.AsType[*exec.ExitError](err); err != nil && !refused {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// keys are all of a tenant's, by its login's name.
func (s shared) keys(t *testing.T, admin, of login) []string {
	t.Helper()
	return strings.Fields(s.redis(t, admin, "KEYS", "ce:{"+strings.TrimPrefix(of.user, "ce-")+"}:*"))
}

// piped runs kubectl with files for its input and output: what passes isn't for logs.
func (s shared) piped(t *testing.T, in io.Reader, out string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), s.KubectlPath(), append([]string{"--kubeconfig", s.Kubeconfig()}, args...)...)
	var complaint strings.Builder
	cmd.Stdin, cmd.Stderr = in, &complaint
	if out != "" {
		file, err := os.OpenFile(out, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = file.Close() }()
		cmd.Stdout = file
	}
	if err := cmd.Run(); err != nil {
		t.Fatalf("kubectl %s: %v: %s", strings.Join(args, " "), err, complaint.String())
	}
}

func (s shared) history(t *testing.T, d door, session string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.url+"/chat/"+session+"/history", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+d.key)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK || !json.Valid(body) {
		t.Fatalf("the history: %d %s", res.StatusCode, body)
	}
	return string(body)
}
