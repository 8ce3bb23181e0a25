package mcpapi_test

import (
	"encoding/json"
	"errors"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"testing"
)

// TestInspector drives the server with the command line of the protocol's own inspector
// (npm @modelcontextprotocol/inspector), where ENIGMA_MCP_INSPECTOR names it.
func TestInspector(t *testing.T) {
	t.Parallel()
	inspector := os.Getenv("ENIGMA_MCP_INSPECTOR")
	if inspector == "" {
		t.Skip("ENIGMA_MCP_INSPECTOR isn't set: npm install @modelcontextprotocol/inspector, and name its bin/mcp-inspector")
	}
	b := newBed(t, nil)
	b.publish("harbour", "Trieste ships coffee.")
	// Not every version of it can send a header.
	there, err := url.Parse(b.url)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: there.Scheme, Host: there.Host})
		r.Out.Header.Set("Authorization", "Bearer "+keyMain)
	}})
	defer proxy.Close()
	ask := func(args ...string) (out map[string]any) {
		t.Helper()
		args = append([]string{"--cli", proxy.URL + "/mcp", "--transport", "http", "--method"}, args...)
		raw, err := exec.CommandContext(t.Context(), inspector, args...).Output()
		if failed, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Fatalf("%v: %v: %s", args[5:], err, failed.Stderr)
		} else if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(raw, &out); err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		return out
	}
	if tools, _ := ask("tools/list")["tools"].([]any); len(tools) != 2 {
		t.Errorf("%d tools", len(tools))
	}
	if r := ask("tools/call", "--tool-name", "of_main", "--tool-arg", "a=1"); r["isError"] == true || r["structuredContent"] == nil {
		t.Errorf("called: %v", r)
	}
	if list, _ := ask("resources/list")["resources"].([]any); len(list) != 1 {
		t.Errorf("%d resources", len(list))
	}
	if r, _ := ask("resources/read", "--uri", "document:///harbour")["contents"].([]any); len(r) != 1 {
		t.Errorf("read %v", r)
	}
}
