package tools

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// scopePrefix begins the scopes that name tools: "tools:summarize", "tools:shop.*",
// "tools:*", "tools:none". A key without any may use all tools of the tenant.
const scopePrefix = "tools:"

// maxFunctionName is the longest name of a function that models take.
const maxFunctionName = 64

var (
	unfitForFunctions = regexp.MustCompile(`[^a-zA-Z0-9_-]`)
	// remoteName is what a tool of a server may be called: what the document's patterns
	// can name.
	remoteName = regexp.MustCompile(`^[a-zA-Z0-9_./-]{1,128}$`)
)

// functionName gives a tool of a server the name by which models know it; taken holds
// those that are used already. It never gives two tools one name: where the plain form
// doesn't tell the tool alone, a digest of the whole name is part of it.
func functionName(server, tool string, taken func(string) bool) string {
	plain := server + "__" + tool
	exact := len(plain) <= maxFunctionName && !unfitForFunctions.MatchString(plain)
	// The first __ is where the names meet then, so no other tool has this plain form.
	apart := !strings.Contains(server, "__") && !strings.HasSuffix(server, "_") && !strings.HasPrefix(tool, "_")
	if exact && apart && !taken(plain) {
		return plain
	}
	sum := sha256.Sum256([]byte(server + "." + tool))
	mark := hex.EncodeToString(sum[:])
	base := unfitForFunctions.ReplaceAllString(plain, "_")
	for n := 12; ; n += 12 {
		name := base[:min(len(base), maxFunctionName-n-1)] + "_" + mark[:n]
		if !taken(name) || n > 36 {
			return name
		}
	}
}

// matches tells whether a pattern of the document or of a scope names the tool: its
// name, <server>.<tool>, <server>.* or *.
func matches(pattern, name string) bool {
	if server, ok := strings.CutSuffix(pattern, ".*"); ok {
		return strings.HasPrefix(name, server+".")
	}
	return pattern == "*" || pattern == name
}

func anyMatches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, name) })
}

// has tells whether the tenant has the tool at all.
func has(cfg tenantconfig.Tools, name string) bool {
	return (len(cfg.Allow) == 0 || anyMatches(cfg.Allow, name)) && !anyMatches(cfg.Deny, name)
}

// may tells whether the caller's key may use a tool of the tenant.
func may(c tenancy.Caller, t *tool) bool {
	if t.changesDocuments && c.May(tenancy.ScopeDocumentsRead) {
		return false
	}
	restricted := false
	for _, scope := range c.Scopes {
		pattern, ok := strings.CutPrefix(scope, scopePrefix)
		if !ok {
			continue
		}
		restricted = true
		if matches(pattern, t.name) {
			return true
		}
	}
	return !restricted
}
