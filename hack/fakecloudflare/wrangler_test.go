package fakecloudflare_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crispy-enigma/crispy-enigma/hack/fakecloudflare"
)

// Wrangler is a client that Cloudflare wrote: what satisfies it is like the real thing.
// It is half a gigabyte and wants Node 22, so the test runs only where WRANGLER says
// how to start it, as "/path/to/node /path/to/wrangler.js".
func TestWranglerIsSatisfied(t *testing.T) {
	command := strings.Fields(os.Getenv("WRANGLER"))
	if len(command) == 0 {
		t.Skip("WRANGLER isn't set")
	}
	f := start(t, fakecloudflare.Options{})
	dir := t.TempDir()
	vectors, pairs := filepath.Join(dir, "v.ndjson"), filepath.Join(dir, "pairs.json")
	for file, text := range map[string]string{
		vectors: ndjson(map[string]any{"id": "a", "values": []int{1, 0, 0}, "namespace": "t1", "metadata": map[string]any{"lang": "de"}},
			map[string]any{"id": "b", "values": []int{0, 1, 0}, "namespace": "t2", "metadata": map[string]any{"lang": "en"}}),
		pairs: `[{"key":"bulk","value":"many"}]`,
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(want string, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), command[0], append(command[1:], args...)...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "CI=1", "NO_COLOR=1", "WRANGLER_SEND_METRICS=false",
			"CLOUDFLARE_API_BASE_URL="+f.url+"/client/v4", "CLOUDFLARE_API_TOKEN="+f.token, "CLOUDFLARE_ACCOUNT_ID="+account)
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("wrangler %s: %v, and %q isn't in\n%s", strings.Join(args, " "), err, want, out)
		}
	}
	run("Success", "kv", "namespace", "create", "cfg")
	ns := f.s.State(account).Objects["kv"][0].ID
	run(ns, "kv", "namespace", "list")
	run("", "kv", "key", "put", "k", "value", "--namespace-id="+ns, "--remote")
	run("value", "kv", "key", "get", "k", "--namespace-id="+ns, "--remote", "--text")
	run("", "kv", "bulk", "put", pairs, "--namespace-id="+ns, "--remote")
	run(`"bulk"`, "kv", "key", "list", "--namespace-id="+ns, "--remote")
	run("created a new Vectorize index", "vectorize", "create", "docs", "--dimensions=3", "--metric=cosine")
	run("docs", "vectorize", "list")
	run("enqueued", "vectorize", "create-metadata-index", "docs", "--property-name=lang", "--type=string")
	run("lang", "vectorize", "list-metadata-index", "docs")
	run("enqueued 2 vectors", "vectorize", "upsert", "docs", "--file="+vectors)
	run(`"count": 1`, "vectorize", "query", "docs", "--vector", "1", "0", "0", "--namespace=t1", "--return-metadata=all")
	run(`"t2"`, "vectorize", "get-vectors", "docs", "--ids", "a", "b")
	run("a", "vectorize", "list-vectors", "docs")
	run("", "vectorize", "delete-vectors", "docs", "--ids", "a")
	run("1", "vectorize", "info", "docs")
	run("ledger", "d1", "create", "ledger")
	run("ledger", "d1", "list")
	run(`"n": 42`, "d1", "execute", "ledger", "--remote", "--json", "--yes", "--command", "SELECT 42 AS n")
	run("docs", "r2", "bucket", "create", "docs")
	run("docs", "r2", "bucket", "list")
	run("docs", "r2", "bucket", "info", "docs")
	run("Deleted", "r2", "bucket", "delete", "docs")
	run("bge-m3", "ai", "models")
	run("", "vectorize", "delete", "docs", "--force")
	run("", "kv", "namespace", "delete", "--namespace-id="+ns, "--skip-confirmation")
	if n := f.clientViolations(); n > 0 {
		t.Errorf("wrangler broke the document: %v", f.s.Violations())
	}
	if s := f.s.State(account); s.Count("kv")+s.Count("vectorize")+s.Count("r2") != 0 || s.Count("d1") != 1 {
		t.Errorf("left over: %v", s.Objects)
	}
}
