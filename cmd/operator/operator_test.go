package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
)

// call runs the program and gives what it said.
func call(t *testing.T, args ...string) (out, notes string, err error) {
	t.Helper()
	var o, n bytes.Buffer
	err = command(context.Background(), args, &o, &n)
	return o.String(), n.String(), err
}

func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "manifest.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const (
	minimal = "apiVersion: ai.crispy-enigma.dev/v1alpha1\nkind: Tenant\nmetadata: {name: acme}\n"
	openai  = minimal + "spec: {upstream: {type: openai, baseURL: 'http://x/v1', credentialsSecretRef: {name: s}}, models: {chat: m}}\n"
)

func TestRenderWritesWhatTheRuntimeReads(t *testing.T) {
	dir, keys := filepath.Join(t.TempDir(), "config"), filepath.Join(t.TempDir(), "keys.json")
	manifest := file(t, openai+"---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {token: upstr3am}\n")
	state := t.TempDir()
	render := func() (map[string]string, string) {
		if _, notes, err := call(t, "render", "-f", manifest, "-o", dir, "--keys-file", keys, "--state-dir", state); err != nil || strings.Contains(notes, "ce_") {
			t.Fatalf("%s %v", notes, err)
		}
		b, err := os.ReadFile(keys)
		if err != nil {
			t.Fatal(err)
		}
		var values map[string]string
		if err := json.Unmarshal(b, &values); err != nil {
			t.Fatal(err)
		}
		token, err := os.ReadFile(filepath.Join(dir, tenantconfig.StatusTokenFile))
		if err != nil {
			t.Fatal(err)
		}
		return values, string(token)
	}
	values, token := render()
	b, err := os.ReadFile(filepath.Join(dir, tenantconfig.DocumentFile))
	if err != nil {
		t.Fatal(err)
	}
	c, err := tenantconfig.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if broken := tenantconfig.Validate(c); len(broken) > 0 {
		t.Error(broken)
	}
	if c.State.Path != state || c.Tenant.Identity != "local/default/production/acme" || len(token) < 43 || !strings.HasPrefix(values["default"], "ce_") {
		t.Errorf("state %q, identity %q, token of %d, keys %d", c.State.Path, c.Tenant.Identity, len(token), len(values))
	}
	upstream, err := os.ReadFile(filepath.Join(dir, c.Upstream.CredentialsFile))
	if err != nil || string(upstream) != "upstr3am" {
		t.Errorf("the upstream's token is %d bytes, %v", len(upstream), err)
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if info, _ := d.Info(); err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is open to others: %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}

	again, sameToken := render()
	if again["default"] != values["default"] || sameToken != token {
		t.Error("a second rendering made the key or the token anew")
	}
}

// A tool that lacks its secret is rendered with the rest, and told of.
func TestRenderTellsOfAToolsMissingSecret(t *testing.T) {
	manifest := minimal + "spec: {tools: {enabled: true, mcp: [{name: crm, url: 'https://crm.example/mcp', tokenSecretRef: {name: s}}]}}\n"
	dir := t.TempDir()
	_, notes, err := call(t, "render", "-f", file(t, manifest), "-o", dir, "--keys-file", filepath.Join(dir, "keys.json"))
	if err != nil || !strings.Contains(notes, `a tool can't be used: spec.tools.mcp[crm].tokenSecretRef: Secret "s" doesn't exist`) {
		t.Errorf("%v; %s", err, notes)
	}
	secret := "---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {token: c4nary-of-the-crm}\n"
	_, notes, err = call(t, "render", "-f", file(t, manifest+secret), "-o", dir, "--keys-file", filepath.Join(dir, "keys.json"))
	if err != nil || strings.Contains(notes, "tool") || strings.Contains(notes, "c4nary") {
		t.Error("a tool that has its secret is complained of")
	}
	b, err := os.ReadFile(filepath.Join(dir, tenantconfig.DocumentFile))
	if err != nil {
		t.Fatal(err)
	}
	c, err := tenantconfig.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if token, err := os.ReadFile(filepath.Join(dir, c.Tools.MCP[0].TokenFile)); err != nil || string(token) != "c4nary-of-the-crm" {
		t.Errorf("the server's token is %d bytes, %v", len(token), err)
	}
}

func TestRenderSaysWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		manifest string
		args     []string
		want     string
	}{
		"rule":           {minimal + "spec: {upstream: {type: openai}}", nil, "spec.upstream.baseURL is required with type openai"},
		"secret missing": {openai, nil, `Secret "s" doesn't exist in namespace "default"; create it`},
		"class missing":  {minimal + "spec: {classRef: {name: gold}}", nil, `TenantClass "gold" doesn't exist`},
		"two tenants":    {minimal + "---\n" + strings.Replace(minimal, "acme", "shop", 1), nil, "name it with --tenant"},
		"wrong tenant":   {minimal, []string{"--tenant", "shop"}, `0 Tenants called "shop"`},
		"class bound": {minimal + "spec: {limits: {requests: {perMinute: 6}}}\n---\napiVersion: ai.crispy-enigma.dev/v1alpha1\nkind: TenantClass\nmetadata: {name: c}\nspec: {default: true, maxLimits: {perMinute: 5}}\n",
			nil, `class "c" allows at most 5`},
		"account missing": {minimal + "spec: {upstream: {type: workersai, accountRef: {name: a}}, models: {chat: m}}", nil, "CloudflareAccount default/a doesn't exist"},
		"made by nobody":  {minimal + cloudflare + "  cloudflare: {usageLedger: {}}\n" + onAccount, nil, "spec.cloudflare.usageLedger: it is the operator that makes it, in a cluster"},
		"binding missing": {minimal + cloudflare + "  cloudflare: {usageLedger: {bindingRef: {name: b}}}\n" + onAccount, nil,
			`CloudflareBinding "b" doesn't exist in namespace "default"`},
		"binding of another type": {minimal + cloudflare + "  cloudflare: {usageLedger: {bindingRef: {name: b}}}\n" + onAccount + ledger("KV, existingID: x"), nil, "is of type KV, and D1 is needed"},
		"binding of nothing":      {minimal + cloudflare + "  cloudflare: {usageLedger: {bindingRef: {name: b}}}\n" + onAccount + ledger("D1"), nil, "has no spec.existingID"},
		"state dir":               {minimal, []string{"--state-dir", "relative", "-o", t.TempDir()}, "state.path"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := call(t, append([]string{"render", "-f", file(t, c.manifest)}, c.args...)...)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	if _, _, err := call(t, "render"); err == nil || !strings.Contains(err.Error(), "usage") {
		t.Errorf("got %v", err)
	}
	if _, _, err := call(t, "render", "-f", "/does/not/exist"); err == nil {
		t.Error("a manifest that isn't there was read")
	}
}

const (
	cloudflare = "spec:\n  upstream: {type: workersai, accountRef: {name: a}}\n  models: {chat: m}\n"
	onAccount  = "---\napiVersion: ai.crispy-enigma.dev/v1alpha1\nkind: CloudflareAccount\nmetadata: {name: a}\n" +
		"spec: {accountID: 0123456789abcdef0123456789abcdef, credentials: {secretRef: {name: s}}}\n" +
		"---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {token: cf-t0ken}\n"
)

func ledger(kind string) string {
	return "---\napiVersion: ai.crispy-enigma.dev/v1alpha1\nkind: CloudflareBinding\nmetadata: {name: b}\nspec: {accountRef: {name: a}, type: " + kind + "}\n"
}

// Without a cluster no token is minted and nothing is made: a tenant runs with the
// account's token, on things that are there.
func TestRenderUsesWhatIsThereInTheAccount(t *testing.T) {
	dir := t.TempDir()
	manifest := minimal + cloudflare + "  cloudflare: {usageLedger: {bindingRef: {name: b}}}\n" + onAccount + ledger("D1, existingID: there")
	if _, _, err := call(t, "render", "-f", file(t, manifest), "-o", dir); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, tenantconfig.DocumentFile))
	if err != nil {
		t.Fatal(err)
	}
	c, err := tenantconfig.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if broken := tenantconfig.Validate(c); len(broken) > 0 {
		t.Error(broken)
	}
	if c.Upstream.Gateway.ID != "default" || c.Cloudflare.UsageLedger != "there" {
		t.Errorf("gateway %q, ledger %q", c.Upstream.Gateway.ID, c.Cloudflare.UsageLedger)
	}
	for _, name := range []string{c.Upstream.CredentialsFile, c.Cloudflare.CredentialsFile} {
		if token, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(token) != "cf-t0ken" {
			t.Errorf("%s: %d bytes, %v", name, len(token), err)
		}
	}
}

func TestRenderPrintsTheDocumentAlone(t *testing.T) {
	out, notes, err := call(t, "render", "-f", file(t, minimal))
	if err != nil || strings.Contains(out+notes, "ce_") {
		t.Errorf("%q %q %v", out, notes, err)
	}
	if _, err := tenantconfig.Parse([]byte(out)); err != nil {
		t.Error(err)
	}
}

func TestFlags(t *testing.T) {
	t.Setenv("RUNTIME_IMAGE", "")
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no image":       {nil, "--runtime-image is required"},
		"class alone":    {[]string{"--runtime-image=x", "--class-file=y"}, "--class-file goes with --namespaces"},
		"argument":       {[]string{"--runtime-image=x", "up"}, `unknown argument "up"`},
		"level":          {[]string{"--log-level=loud"}, "loud"},
		"labels":         {[]string{"--runtime-image=x", "--pod-labels=y"}, "isn't key=value"},
		"no class there": {[]string{"--runtime-image=x", "--namespaces=a", "--class-file=/does/not/exist"}, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := call(t, c.args...); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	if out, _, err := call(t, "--version"); err != nil || strings.TrimSpace(out) == "" {
		t.Errorf("version %q, %v", out, err)
	}
}

func TestMetricsArePlainOnLoopbackAlone(t *testing.T) {
	for address, want := range map[string]bool{"127.0.0.1:8443": true, "localhost:1": true, "[::1]:1": true, ":8443": false, "0.0.0.0:1": false, "10.0.0.1:1": false, "0": false} {
		if got := isLoopback(address); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
}
