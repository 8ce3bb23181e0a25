//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/hack/servers"
	"github.com/crispy-enigma/crispy-enigma/test/e2e/stage"
)

// hostAlias is how pods call the host's loopback.
const hostAlias = "host.enigma.internal"

// documents: two replicas on one PostgreSQL server answer from what either took in.
func (s shared) documents(t *testing.T) {
	server := servers.OwnPostgres(t)
	if err := s.Open(t.Context(), fmt.Sprintf("127.0.0.1:%d", server.Port)); err != nil {
		if strings.Contains(err.Error(), "pods in kind") {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	_, own := server.Database(t)
	address, err := url.Parse(own)
	if err != nil {
		t.Fatal(err)
	}
	address.Host = fmt.Sprintf("%s:%d", hostAlias, server.Port)
	if err := s.Apply(t.Context(), s.ns, "apiVersion: v1\nkind: Secret\nmetadata: {name: own-postgres}\nstringData: {url: '"+address.String()+"'}\n"); err != nil {
		t.Fatal(err)
	}
	d := s.tenant(t, "paired", "  deletionProtection: false\n  deletionPolicy: Delete\n  state:\n    postgres:\n      secretRef: {name: own-postgres}\n"+
		"  documents: {store: state}\n  limits: {requests: {perMinute: 1000000}}\n  runtime: {replicas: 2}\n")
	s.kubectl(t, "rollout", "status", "deployment/tenant-paired", "-n", s.ns, "--timeout=90s")
	one, two := s.pair(t, "paired", d.key)

	one.ingest(t, map[string]any{"docId": "harbour", "text": "Mooring costs twelve euros a night."})
	t.Logf("what one replica took in was found through the other after %s", s.soon(t, two, "Mooring costs twelve euros a night."))
	two.ingest(t, map[string]any{"docId": "harbour", "text": "Mooring costs fifteen euros a night."})
	t.Logf("what the other replaced was found through the first after %s", s.soon(t, one, "Mooring costs fifteen euros a night."))
	two.call(t, http.StatusOK, http.MethodDelete, "/documents/harbour", "", nil)
	t.Logf("what the other removed was gone from the first after %s", s.soon(t, one, ""))
	// It must be gone before the server is.
	s.kubectl(t, "delete", "tenant", "paired", "-n", s.ns, "--timeout=90s")
}

// soon waits at most three seconds until mooring costs that alone, or is told of nowhere.
func (s shared) soon(t *testing.T, d door, text string) time.Duration {
	t.Helper()
	begin := time.Now()
	for {
		var texts []string
		for _, source := range d.passages(t, "What does mooring cost?").Sources {
			texts = append(texts, source.Text)
		}
		if strings.Join(texts, "|") == text {
			return time.Since(begin)
		}
		if time.Since(begin) > 3*time.Second {
			t.Fatalf("after three seconds %q is found instead of %q", texts, text)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// pair gives a door to each of a tenant's two pods, by a Service of its own.
func (s shared) pair(t *testing.T, tenant, key string) (one, two door) {
	t.Helper()
	pods := strings.Fields(s.pods(t, tenant))
	if len(pods) != 2 {
		t.Fatalf("the tenant has the pods %q, want two", pods)
	}
	var doors []door
	for _, entry := range pods {
		pod, _, _ := strings.Cut(entry, "=")
		s.kubectl(t, "label", "pod", pod, "-n", s.ns, "e2e="+pod)
		if err := s.Apply(t.Context(), s.ns, fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata: {name: %[1]s}\nspec: {selector: {e2e: %[1]s}, ports: [{port: 80, targetPort: 8080}]}\n", pod)); err != nil {
			t.Fatal(err)
		}
		address, err := s.Forward(t.Context(), s.ns+"/"+pod+":80")
		if err != nil {
			t.Fatal(err)
		}
		d := door{address, key}
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
			if a, err := stage.Ask(t.Context(), http.MethodGet, address+"/health", key, "", nil); err == nil && a.Status == http.StatusOK {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("pod %s isn't reached by its own Service", pod)
			}
		}
		doors = append(doors, d)
	}
	return doors[0], doors[1]
}
