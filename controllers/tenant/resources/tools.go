package resources

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
)

// ToolSecret is a secret that a tool sends.
type ToolSecret struct {
	// File is its name beside the document.
	File string
	// Ref is where its value is, Field where the reference stands.
	Ref   v1alpha1.SecretKeyReference
	Field string
}

// ToolSecrets are those that the Tenant's tools need, in the order of the spec.
func ToolSecrets(t *v1alpha1.Tenant) []ToolSecret {
	if t.Spec.Tools == nil || !t.Spec.Tools.Enabled {
		return nil
	}
	var out []ToolSecret
	for _, tool := range t.Spec.Tools.HTTP {
		for _, h := range tool.SecretHeaders {
			out = append(out, ToolSecret{headerFile(tool.Name, h.Name), h.SecretRef, fmt.Sprintf("spec.tools.http[%s].secretHeaders[%s].secretRef", tool.Name, h.Name)})
		}
	}
	for _, s := range t.Spec.Tools.MCP {
		if s.TokenSecretRef != nil {
			out = append(out, ToolSecret{serverFile(s.Name), *s.TokenSecretRef, fmt.Sprintf("spec.tools.mcp[%s].tokenSecretRef", s.Name)})
		}
	}
	return out
}

func headerFile(tool, header string) string { return toolFile("http", tool, header) }
func serverFile(server string) string       { return toolFile("mcp", server, "") }

// toolFile hashes: names may differ by case alone, which a reader of the directory could
// take for one.
func toolFile(kind, name, header string) string {
	sum := sha256.Sum256([]byte(kind + "\x00" + name + "\x00" + header))
	return tenantconfig.ToolSecretPrefix + hex.EncodeToString(sum[:8])
}

func tools(in Inputs) tenantconfig.Tools {
	spec := in.Tenant.Spec.Tools
	if spec == nil || !spec.Enabled {
		return tenantconfig.Tools{}
	}
	out := tenantconfig.Tools{
		Enabled: true, MaxSteps: int(spec.MaxSteps),
		Allow: patterns(spec.Allow), Deny: patterns(spec.Deny), AfterUntrusted: patterns(spec.AfterUntrusted),
	}
	for _, t := range spec.HTTP {
		out.HTTP = append(out.HTTP, httpTool(in, t))
	}
	for _, s := range spec.MCP {
		server := tenantconfig.MCPServer{
			Name: s.Name, URL: s.URL, Private: s.Private, TimeoutSeconds: seconds(s.Timeout),
			Allow: slices.Sorted(slices.Values(s.Allow)), ReadOnly: slices.Sorted(slices.Values(s.ReadOnly)),
		}
		if s.TokenSecretRef != nil {
			server.TokenFile = serverFile(s.Name)
			server.Revision = credentialsRevision(in.StatusToken, in.ToolSecrets[server.TokenFile])
		}
		out.MCP = append(out.MCP, server)
	}
	return out
}

func httpTool(in Inputs, t v1alpha1.HTTPTool) tenantconfig.HTTPTool {
	out := tenantconfig.HTTPTool{
		Name: t.Name, Description: t.Description, Method: t.Method, URL: t.URL,
		Effect: string(t.Effect), Private: t.Private, RedirectHosts: slices.Sorted(slices.Values(t.RedirectHosts)),
		TimeoutSeconds: seconds(t.Timeout), Retries: int(t.Retries), Result: t.Result,
	}
	if t.Parameters != nil {
		out.Parameters = slices.Clone(t.Parameters.Raw)
	}
	if len(t.Headers) > 0 {
		out.Headers = make(map[string]string, len(t.Headers))
		for name, value := range t.Headers {
			out.Headers[name] = string(value)
		}
	}
	for _, h := range t.SecretHeaders {
		file := headerFile(t.Name, h.Name)
		out.SecretHeaders = append(out.SecretHeaders, tenantconfig.SecretHeader{
			Name: h.Name, Prefix: h.Prefix, ValueFile: file, Revision: credentialsRevision(in.StatusToken, in.ToolSecrets[file]),
		})
	}
	return out
}

// patterns are sorted: the order of a set doesn't make another document.
func patterns(list []v1alpha1.ToolPattern) []string {
	var out []string
	for _, p := range list {
		out = append(out, string(p))
	}
	slices.Sort(out)
	return out
}

func seconds(d *metav1.Duration) int {
	if d == nil {
		return 0
	}
	return int(d.Seconds())
}
