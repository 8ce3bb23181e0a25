package tenantconfig

import (
	"encoding/json"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// DefaultMaxSteps is Tools.MaxSteps where it is 0.
const DefaultMaxSteps = 8

var (
	toolName   = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)
	serverName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,32}$`)
	// toolPattern is a tool, one of an MCP server, or all of it.
	toolPattern = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}(\.([a-zA-Z0-9_./-]{1,128}|\*))?$`)
	headerName  = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$")
	parameter   = regexp.MustCompile(`\{[a-zA-Z_][a-zA-Z0-9_]*\}`)
)

// BuiltInTools are the names that no tool of a tenant's own may have.
var BuiltInTools = []string{"summarize", "extract_entities", "classify_intent", "tag_chunk_docs", "ingest_docs", "search_docs"}

func validateTools(r *report, t Tools) {
	if !t.Enabled {
		r.require(reflect.ValueOf(t).IsZero(), "tools", "must be empty unless tools.enabled is true")
		return
	}
	for _, list := range []struct {
		names []string
		path  string
	}{{t.Allow, "tools.allow"}, {t.Deny, "tools.deny"}, {t.AfterUntrusted, "tools.afterUntrusted"}} {
		r.require(len(list.names) <= 256, list.path, "must have at most 256 tools")
		for i, name := range list.names {
			r.require(toolPattern.MatchString(name), at(list.path, i), "must be a tool's name, <server>.<tool> or <server>.*")
		}
		r.unique(list.names, list.path)
	}
	r.within(t.MaxSteps, 0, 32, "tools.maxSteps")
	names := slices.Clone(BuiltInTools)
	r.require(len(t.HTTP) <= 64, "tools.http", "must have at most 64 tools")
	for i, tool := range t.HTTP {
		validateHTTPTool(r, tool, at("tools.http", i))
		r.require(!slices.Contains(names, tool.Name), at("tools.http", i)+".name", "is the name of another tool")
		names = append(names, tool.Name)
	}
	r.require(len(t.MCP) <= 16, "tools.mcp", "must have at most 16 servers")
	var servers []string
	for i, s := range t.MCP {
		validateMCPServer(r, s, at("tools.mcp", i))
		servers = append(servers, s.Name)
	}
	r.unique(servers, "tools.mcp")
}

func validateHTTPTool(r *report, t HTTPTool, path string) {
	r.require(toolName.MatchString(t.Name), path+".name", "must be letters, digits, _ and -, at most 64")
	r.require(t.Description != "" && len(t.Description) <= 4096, path+".description", "must tell in at most 4096 bytes what the tool is for")
	r.oneOf(t.Method, path+".method", "GET", "POST", "PUT", "PATCH", "DELETE")
	r.require(isTemplate(t.URL), path+".url", "must be an http or https address without user name or fragment, with {parameters} in path and query alone")
	r.require(isObjectSchema(t.Parameters), path+".parameters", "must be a JSON Schema of type object, at most 64 KiB")
	for name, value := range t.Headers {
		r.require(headerName.MatchString(name) && !strings.ContainsAny(value, "\r\n\x00"), path+".headers", "must be headers on one line each")
	}
	r.require(len(t.Headers)+len(t.SecretHeaders) <= 32, path+".headers", "must be at most 32")
	for i, h := range t.SecretHeaders {
		r.require(headerName.MatchString(h.Name), at(path+".secretHeaders", i)+".name", "must be a header's name")
		r.require(isFileName(h.ValueFile), at(path+".secretHeaders", i)+".valueFile", "must be the plain name of a file beside this document")
	}
	r.oneOf(t.Effect, path+".effect", EffectRead, EffectWrite)
	validateOutboundHosts(r, t.RedirectHosts, path+".redirectHosts")
	r.within(t.TimeoutSeconds, 0, 120, path+".timeoutSeconds")
	r.within(t.Retries, 0, 3, path+".retries")
	r.require(t.Retries == 0 || t.Effect == EffectRead, path+".retries", "goes with effect %s: what changes something isn't done twice", EffectRead)
	r.require(t.Result == "" || strings.HasPrefix(t.Result, "/"), path+".result", "must be a JSON Pointer such as /data/items")
}

func validateMCPServer(r *report, s MCPServer, path string) {
	r.require(serverName.MatchString(s.Name), path+".name", "must be letters, digits, _ and -, at most 32")
	r.require(!slices.Contains(BuiltInTools, s.Name), path+".name", "is the name of a tool")
	r.require(isTemplate(s.URL) && !parameter.MatchString(s.URL), path+".url", "must be an http or https address without user name or fragment")
	r.require(s.TokenFile == "" || isFileName(s.TokenFile), path+".tokenFile", "must be the plain name of a file beside this document")
	r.require(len(s.Allow) <= 256 && len(s.ReadOnly) <= 256, path+".allow", "must have at most 256 tools")
	r.within(s.TimeoutSeconds, 0, 120, path+".timeoutSeconds")
}

// isTemplate tells whether an address has its parameters where they can't choose the host.
func isTemplate(address string) bool {
	u, err := url.Parse(parameter.ReplaceAllString(address, "x"))
	if err != nil || len(address) > 2048 {
		return false
	}
	base, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(address, "https://"), "http://"), "/")
	base, _, _ = strings.Cut(base, "?")
	return (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil && u.Fragment == "" && !strings.ContainsAny(base, "{}")
}

// isObjectSchema looks at the outside alone; the tool that has it says what else is wrong.
func isObjectSchema(schema json.RawMessage) bool {
	if len(schema) == 0 {
		return true
	}
	var head struct {
		Type string `json:"type"`
	}
	return len(schema) <= 64<<10 && json.Unmarshal(schema, &head) == nil && head.Type == "object"
}

func validateSpeech(r *report, s Speech, upstream string) {
	switch s.Provider {
	case "":
		r.require(reflect.ValueOf(s).IsZero(), "speech", "goes with a provider: %s or %s", SpeechUpstream, SpeechLocal)
	case SpeechUpstream:
		r.require(upstream != UpstreamEmbedded, "speech.provider", "needs an upstream: %s has no voice", UpstreamEmbedded)
		r.require(s.Model != "" && len(s.Model) <= 256, "speech.model", "must name a model of the upstream")
	case SpeechLocal:
		r.require(s.Model == "", "speech.model", "goes with provider %s", SpeechUpstream)
	default:
		r.oneOf(s.Provider, "speech.provider", SpeechUpstream, SpeechLocal)
	}
	r.require(len(s.Voices) <= 256, "speech.voices", "must have at most 256 voices")
	r.unique(s.Voices, "speech.voices")
}
