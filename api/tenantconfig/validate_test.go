package tenantconfig_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
)

// Each case breaks a good document in one way and names the paths that must be told.
func TestEveryRuleNamesItsField(t *testing.T) {
	type config = tenantconfig.Config
	emptyKey := "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	minus := -1
	shared := *parse(t, read(t, "shared.json"))
	for name, tc := range map[string]struct {
		spoil func(*config)
		paths string
	}{
		"version":               {func(c *config) { c.Version = 2 }, "version"},
		"tenant id":             {func(c *config) { c.Tenant.ID = "Acme" }, "tenant.id tenant.identity"},
		"long tenant id":        {func(c *config) { c.Tenant.ID = strings.Repeat("a", 41) }, "tenant.id tenant.identity"},
		"identity":              {func(c *config) { c.Tenant.Identity = "a//production/acme" }, "tenant.identity"},
		"identity of another":   {func(c *config) { c.Tenant.Identity = "a/b/production/other" }, "tenant.identity"},
		"identity with a space": {func(c *config) { c.Tenant.Identity = "a b/c/production/acme" }, "tenant.identity"},
		"environment":           {func(c *config) { c.Tenant.Environment = "prod" }, "tenant.identity tenant.environment"},
		"ports":                 {func(c *config) { c.Server.APIPort = 0; c.Server.MetricsPort = 70000 }, "server.apiPort server.metricsPort"},
		"one port twice":        {func(c *config) { c.Server.MetricsPort = c.Server.APIPort }, "server.metricsPort"},
		"drain":                 {func(c *config) { c.Server.DrainSeconds = -1 }, "server.drainSeconds"},
		"driver":                {func(c *config) { c.State.Driver = "etcd" }, "state.driver"},
		"relative path":         {func(c *config) { c.State.Path = "data" }, "state.path"},
		"path with dots":        {func(c *config) { c.State.Path = "/var/../etc" }, "state.path"},
		"path of memory":        {func(c *config) { c.State.Driver = "memory" }, "state.path"},
		"path of a driver to move from": {func(c *config) {
			c.State = tenantconfig.State{Driver: "valkey", Path: "data", Server: tenantconfig.StateServer{URLFile: "state-url"}}
		}, "state.path"},
		"shared without a server": {func(c *config) { c.State = tenantconfig.State{Driver: "valkey"} }, "state.server.urlFile"},
		"file with a server":      {func(c *config) { c.State.Server.URLFile = "state-url" }, "state.server"},
		"server's certificates": {func(c *config) {
			c.State = tenantconfig.State{Driver: "postgres", Server: tenantconfig.StateServer{URLFile: "a", CAFile: "../b"}}
		}, "state.server.caFile"},
		"limits on another driver": {func(c *config) {
			c.State.LimitsOn, c.State.LimitsServer.URLFile = "postgres", "limits-url"
		}, "state.limitsOn"},
		"limits beside one file": {func(c *config) { c.State.LimitsOn, c.State.LimitsServer.URLFile = "valkey", "limits-url" }, "state.limitsOn"},
		"limits without address": {func(c *config) {
			c.State = tenantconfig.State{Driver: "postgres", Server: tenantconfig.StateServer{URLFile: "a"}, LimitsOn: "valkey"}
		}, "state.limitsServer.urlFile"},
		"store failure": {func(c *config) { c.Limits.Requests.OnStoreFailure = "open" }, "limits.requests.onStoreFailure"},
		"replicas":      {func(c *config) { c.Limits.Requests.Replicas = -1 }, "limits.requests.replicas"},
		"embedding model": {func(c *config) {
			c.Documents, c.Cloudflare = shared.Documents, shared.Cloudflare
			c.Documents.Embedding.Model = "builtin/lsa"
		}, "documents.embedding.model"},
		"overlap": {func(c *config) {
			overlap := 600
			c.Documents = tenantconfig.Documents{Store: "state", Chunking: tenantconfig.Chunking{Overlap: &overlap}}
		}, "documents.chunking.overlap"},
		"fetch hosts": {func(c *config) {
			c.Documents = tenantconfig.Documents{Store: "state", FetchHosts: []string{"*.docs.example", "https://x"}}
		}, "documents.fetchHosts[1]"},
		"tools that are off": {func(c *config) { c.Tools.MaxSteps = 3 }, "tools"},
		"a tool's name": {func(c *config) {
			c.Tools = tenantconfig.Tools{Enabled: true, HTTP: []tenantconfig.HTTPTool{{Name: "summarize", Description: "d", Method: "GET", URL: "https://x/{id}", Effect: "read"}}}
		}, "tools.http[0].name"},
		"a tool's host": {func(c *config) {
			c.Tools = tenantconfig.Tools{Enabled: true, HTTP: []tenantconfig.HTTPTool{{Name: "a", Description: "d", Method: "GET", URL: "https://{host}/", Effect: "read"}}}
		}, "tools.http[0].url"},
		"a tool that is done twice": {func(c *config) {
			c.Tools = tenantconfig.Tools{Enabled: true, HTTP: []tenantconfig.HTTPTool{{Name: "a", Description: "d", Method: "POST", URL: "https://x/", Effect: "write", Retries: 1}}}
		}, "tools.http[0].retries"},
		"a tool's schema": {func(c *config) {
			c.Tools = tenantconfig.Tools{Enabled: true, HTTP: []tenantconfig.HTTPTool{{Name: "a", Description: "d", Method: "POST", URL: "https://x/", Effect: "read", Parameters: []byte(`{"type":"string"}`)}}}
		}, "tools.http[0].parameters"},
		"a tool server": {func(c *config) {
			c.Tools = tenantconfig.Tools{Enabled: true, MCP: []tenantconfig.MCPServer{{Name: "a b", URL: "ftp://x", TokenFile: "../x"}}}
		}, "tools.mcp[0].name tools.mcp[0].url tools.mcp[0].tokenFile"},
		"speech without model":    {func(c *config) { c.Speech.Provider = "upstream" }, "speech.model"},
		"speech without provider": {func(c *config) { c.Speech.Voice = "amy" }, "speech"},
		"index without store":     {func(c *config) { c.Documents.Vectorize.Index = "x" }, "documents"},
		"document store": {func(c *config) {
			c.Documents, c.Cloudflare = shared.Documents, shared.Cloudflare
			c.Documents.Embedding.Model = "nomic-embed-text"
			c.Documents.Store = "pinecone"
		}, "documents.store"},
		"documents nowhere": {func(c *config) { c.Documents = shared.Documents }, "cloudflare.accountID"},
		"index name": {func(c *config) {
			c.Documents, c.Cloudflare = shared.Documents, shared.Cloudflare
			c.Documents.Embedding.Model = "nomic-embed-text"
			c.Documents.Vectorize.Index = "A"
		}, "documents.vectorize.index"},
		"dimensions": {func(c *config) {
			c.Documents, c.Cloudflare = shared.Documents, shared.Cloudflare
			c.Documents.Embedding.Model = "nomic-embed-text"
			c.Documents.Vectorize.Dimensions = 4096
		}, "documents.vectorize.dimensions"},
		"metric": {func(c *config) {
			c.Documents, c.Cloudflare = shared.Documents, shared.Cloudflare
			c.Documents.Embedding.Model = "nomic-embed-text"
			c.Documents.Vectorize.Metric = "dot"
		}, "documents.vectorize.metric"},
		"next is the same": {func(c *config) {
			c.Documents, c.Cloudflare = shared.Documents, shared.Cloudflare
			c.Documents.Embedding.Model = "nomic-embed-text"
			c.Documents.Vectorize.Next = "acme"
		}, "documents.vectorize.next"},
		"filterable twice": {func(c *config) {
			c.Documents, c.Cloudflare = shared.Documents, shared.Cloudflare
			c.Documents.Embedding.Model = "nomic-embed-text"
			c.Documents.Vectorize.Filterable = []string{"a", "a"}
		}, "documents.vectorize.filterable[1]"},
		"cloudflare's account":    {func(c *config) { c.Cloudflare = shared.Cloudflare; c.Cloudflare.AccountID = "x" }, "cloudflare.accountID"},
		"no account":              {func(c *config) { c.Cloudflare = shared.Cloudflare; c.Cloudflare.AccountID = "" }, "cloudflare.accountID"},
		"cloudflare's address":    {func(c *config) { c.Cloudflare = shared.Cloudflare; c.Cloudflare.API = "ftp://x" }, "cloudflare.api"},
		"cloudflare's token":      {func(c *config) { c.Cloudflare = shared.Cloudflare; c.Cloudflare.CredentialsFile = "tenant.json" }, "cloudflare.credentialsFile"},
		"ledger":                  {func(c *config) { c.Cloudflare = shared.Cloudflare; c.Cloudflare.UsageLedger = "../x" }, "cloudflare.usageLedger"},
		"originals' jurisdiction": {func(c *config) { c.Cloudflare = shared.Cloudflare; c.Cloudflare.OriginalsJurisdiction = "us" }, "cloudflare.originalsJurisdiction"},
		"host with a port":        {func(c *config) { c.Hosts = []string{"acme.example:80"} }, "hosts[0]"},
		"host in capitals":        {func(c *config) { c.Hosts = []string{"a.example", "Acme.example"} }, "hosts[1]"},
		"host with a dot":         {func(c *config) { c.Hosts = []string{"acme.example."} }, "hosts[0]"},
		"host not in punycode":    {func(c *config) { c.Hosts = []string{"müller.example"} }, "hosts[0]"},
		"host twice":              {func(c *config) { c.Hosts = []string{"a.example", "a.example"} }, "hosts[1]"},
		"mode":                    {func(c *config) { c.Auth.Mode = "" }, "auth.mode"},
		"no keys":                 {func(c *config) { c.Auth.Keys = nil }, "auth.keys"},
		"key name":                {func(c *config) { c.Auth.Keys[1].Name = "a/b" }, "auth.keys[1].name"},
		"key name twice":          {func(c *config) { c.Auth.Keys[1].Name = "default" }, "auth.keys[1].name"},
		"no digests":              {func(c *config) { c.Auth.Keys[1].Digests = nil }, "auth.keys[1].digests"},
		"digest":                  {func(c *config) { c.Auth.Keys[0].Digests[1].SHA256 = "XYZ" }, "auth.keys[0].digests[1].sha256"},
		"digest of nothing":       {func(c *config) { c.Auth.Keys[1].Digests[0].SHA256 = emptyKey }, "auth.keys[1].digests[0].sha256"},
		"digest twice": {func(c *config) { c.Auth.Keys[1].Digests[0].SHA256 = c.Auth.Keys[0].Digests[0].SHA256 },
			"auth.keys[1].digests[0].sha256"},
		"year":           {func(c *config) { c.Auth.Keys[0].Digests[0].NotAfter = time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC) }, "auth.keys[0].digests[0].notAfter"},
		"scope":          {func(c *config) { c.Auth.Keys[0].Scopes = []string{"metrics:read", "a b"} }, "auth.keys[0].scopes[1]"},
		"scope twice":    {func(c *config) { c.Auth.Keys[0].Scopes = []string{"a", "a"} }, "auth.keys[0].scopes[1]"},
		"origin *":       {func(c *config) { c.CORS.Origins = []string{"*"} }, "cors.origins[0]"},
		"origin path":    {func(c *config) { c.CORS.Origins = []string{"https://a.example/"} }, "cors.origins[0]"},
		"origin null":    {func(c *config) { c.CORS.Origins = []string{"null"} }, "cors.origins[0]"},
		"origin inside":  {func(c *config) { c.CORS.Origins = []string{"https://a.*.example"} }, "cors.origins[0]"},
		"origin user":    {func(c *config) { c.CORS.Origins = []string{"https://u@a.example"} }, "cors.origins[0]"},
		"two wildcards":  {func(c *config) { c.CORS.Origins = []string{"https://*.*.example"} }, "cors.origins[0]"},
		"proxy":          {func(c *config) { c.TrustedProxies = []string{"10.0.0.1"} }, "trustedProxies[0]"},
		"proxy bits":     {func(c *config) { c.TrustedProxies = []string{"10.0.0.1/8"} }, "trustedProxies[0]"},
		"everybody":      {func(c *config) { c.TrustedProxies = []string{"10.0.0.0/8", "0.0.0.0/0"} }, "trustedProxies[1]"},
		"upstream type":  {func(c *config) { c.Upstream.Type = "gpt" }, "upstream.type"},
		"no base URL":    {func(c *config) { c.Upstream.BaseURL = "" }, "upstream.baseURL"},
		"base URL":       {func(c *config) { c.Upstream.BaseURL = "ftp://x" }, "upstream.baseURL"},
		"password":       {func(c *config) { c.Upstream.BaseURL = "https://u:p@x/v1" }, "upstream.baseURL"},
		"endpoint":       {func(c *config) { c.Upstream.BaseURL = "https://x/v1/chat/completions/" }, "upstream.baseURL"},
		"escape":         {func(c *config) { c.Upstream.CredentialsFile = "../token" }, "upstream.credentialsFile"},
		"status token":   {func(c *config) { c.Upstream.CredentialsFile = "status-token" }, "upstream.credentialsFile"},
		"gateway type":   {func(c *config) { c.Upstream.Gateway.ID = "g" }, "upstream.gateway"},
		"workersai":      {func(c *config) { c.Upstream = tenantconfig.Upstream{Type: "workersai"} }, "upstream.accountID upstream.credentialsFile"},
		"no model":       {func(c *config) { c.Models.Chat = "" }, "models.chat"},
		"not allowed":    {func(c *config) { c.Models.Chat = "other" }, "models.chat"},
		"fallback":       {func(c *config) { c.Models.Fallbacks = []string{"large", "a b"} }, "models.fallbacks[0] models.fallbacks[1]"},
		"fallback twice": {func(c *config) { c.Models.Fallbacks = []string{"small", "small"} }, "models.fallbacks[1]"},
		"allowed":        {func(c *config) { c.Models.Allowed = []string{"large", ""} }, "models.allowed[1]"},
		"prices": {func(c *config) {
			c.Models.Prices = []tenantconfig.Price{{Model: "m", InputPerMillion: -1, OutputPerMillion: -1}, {Model: "m"}}
		}, "models.prices[0].inputPerMillion models.prices[0].outputPerMillion models.prices[1]"},
		"variables":    {func(c *config) { c.Prompt.Variables = map[string]string{"b c": "", "a-b": "", "ok": ""} }, "prompt.variables.a-b prompt.variables.b c"},
		"temperature":  {func(c *config) { c.Prompt.TemperatureMilli = &minus }, "prompt.temperatureMilli"},
		"max tokens":   {func(c *config) { c.Prompt.MaxTokens = -1 }, "prompt.maxTokens"},
		"limits":       {func(c *config) { c.Limits.Requests.PerMinute, c.Limits.Requests.Burst = -1, -1 }, "limits.requests.perMinute limits.requests.burst"},
		"no window":    {func(c *config) { c.Limits.Requests.WindowSec = 0 }, "limits.requests.windowSec limits.requests.burstWindowSec"},
		"burst longer": {func(c *config) { c.Limits.Requests.BurstWindowSec = 61 }, "limits.requests.burstWindowSec"},
		"tokens":       {func(c *config) { c.Limits.Tokens.Daily, c.Limits.Tokens.Monthly = -1, -1 }, "limits.tokens.daily limits.tokens.monthly"},
		"body":         {func(c *config) { c.Limits.BodyBytes = 0 }, "limits.bodyBytes"},
		"chars":        {func(c *config) { c.Limits.MessageChars = 0 }, "limits.messageChars"},
		"budget":       {func(c *config) { c.Budget.MonthlyMicroUSD = -1 }, "budget.monthlyMicroUSD"},
		"no action":    {func(c *config) { c.Budget.OnExceeded = "" }, "budget.onExceeded"},
		"sessions":     {func(c *config) { c.Sessions = tenantconfig.Sessions{} }, "sessions.retentionDays sessions.maxMessages"},
	} {
		t.Run(name, func(t *testing.T) {
			c := parse(t, read(t, "full.json"))
			tc.spoil(c)
			got := []string{}
			for _, v := range tenantconfig.Validate(c) {
				got = append(got, v.Path)
				if v.Message == "" {
					t.Errorf("%s has no sentence", v.Path)
				}
			}
			if diff := cmp.Diff(tc.paths, strings.Join(got, " ")); diff != "" {
				t.Errorf("paths (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAllViolationsAreToldAtOnce(t *testing.T) {
	v := tenantconfig.Validate(&tenantconfig.Config{})
	if len(v) < 12 {
		t.Errorf("an empty document breaks only %d rules: %v", len(v), v)
	}
	for _, path := range []string{"version", "tenant.id", "state.driver", "upstream.type", "limits.bodyBytes"} {
		if !strings.Contains(v.Error(), path+": ") {
			t.Errorf("%q is missing in %v", path, v)
		}
	}
}
