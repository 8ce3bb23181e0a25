package cloudflare_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
)

type settings = cloudflare.Settings

func TestPlanGivesTheStepsThatAreMissing(t *testing.T) {
	t.Parallel()
	index := settings{Dimensions: 1024, Metric: "cosine", MetadataIndexes: map[string]string{"lang": "string", "age": "number"}}
	gateway := func(change func(*cloudflare.Gateway)) settings {
		g := cloudflare.Gateway{Authentication: true, RateLimit: 10, RateInterval: 60, RateTechnique: "sliding"}
		change(&g)
		return settings{Gateway: &g}
	}
	same := func(*cloudflare.Gateway) {}
	may := func(policies ...cloudflare.Policy) settings { return settings{Policies: policies} }
	for name, c := range map[string]struct {
		kind       cloudflare.Kind
		want, have settings
		steps      []string
	}{
		"an index as wanted":            {cloudflare.Vectorize, index, index, nil},
		"metadata indexes unread":       {cloudflare.Vectorize, index, settings{Dimensions: 1024, Metric: "cosine"}, nil},
		"one metadata index missing":    {cloudflare.Vectorize, index, settings{Dimensions: 1024, Metric: "cosine", MetadataIndexes: map[string]string{"age": "number", "more": "string"}}, []string{"create-index lang"}},
		"types in another case":         {cloudflare.Vectorize, index, settings{MetadataIndexes: map[string]string{"age": "Number", "lang": "String"}}, nil},
		"a metadata index of its type":  {cloudflare.Vectorize, index, settings{MetadataIndexes: map[string]string{"age": "string", "lang": "string"}}, []string{"delete-index age", "create-index age"}},
		"a bucket somewhere else":       {cloudflare.R2, settings{LocationHint: "weur"}, settings{LocationHint: "enam"}, nil},
		"a bucket's class":              {cloudflare.R2, settings{StorageClass: "InfrequentAccess"}, settings{StorageClass: "Standard"}, []string{"update"}},
		"a class unread":                {cloudflare.R2, settings{StorageClass: "InfrequentAccess"}, settings{}, nil},
		"a class that nobody asked for": {cloudflare.R2, settings{}, settings{StorageClass: "InfrequentAccess"}, nil},
		"the default jurisdiction":      {cloudflare.R2, settings{Jurisdiction: "default"}, settings{}, nil},
		"replication":                   {cloudflare.D1, settings{ReadReplication: "auto"}, settings{ReadReplication: "disabled"}, []string{"update"}},
		"a namespace":                   {cloudflare.KV, settings{}, settings{}, nil},
		"a gateway as wanted":           {cloudflare.AIGateway, gateway(same), gateway(same), nil},
		"a gateway left alone":          {cloudflare.AIGateway, settings{}, gateway(same), nil},
		"a gateway that logs":           {cloudflare.AIGateway, gateway(same), gateway(func(g *cloudflare.Gateway) { g.CollectLogs = true }), []string{"update"}},
		"a gateway that caches":         {cloudflare.AIGateway, gateway(func(g *cloudflare.Gateway) { g.CacheTTLSeconds = 60 }), gateway(same), []string{"update"}},
		"a gateway that is open":        {cloudflare.AIGateway, gateway(same), gateway(func(g *cloudflare.Gateway) { g.Authentication = false }), []string{"update"}},
		"another limit":                 {cloudflare.AIGateway, gateway(same), gateway(func(g *cloudflare.Gateway) { g.RateLimit = 11 }), []string{"update"}},
		"another interval":              {cloudflare.AIGateway, gateway(same), gateway(func(g *cloudflare.Gateway) { g.RateInterval = 61 }), []string{"update"}},
		"another technique":             {cloudflare.AIGateway, gateway(same), gateway(func(g *cloudflare.Gateway) { g.RateTechnique = "fixed" }), []string{"update"}},
		"no limit, whatever interval":   {cloudflare.AIGateway, gateway(func(g *cloudflare.Gateway) { g.RateLimit, g.RateInterval = 0, 0 }), gateway(func(g *cloudflare.Gateway) { g.RateLimit = 0 }), nil},
		"policies in another order": {cloudflare.APIToken,
			may(cloudflare.Policy{Permissions: []string{"a", "b"}}, cloudflare.Policy{Permissions: []string{"c"}, Bucket: "x"}),
			may(cloudflare.Policy{Permissions: []string{"c"}, Bucket: "x", Jurisdiction: "default"}, cloudflare.Policy{Permissions: []string{"b"}}, cloudflare.Policy{Permissions: []string{"a", "a"}}), nil},
		"one permission too many": {cloudflare.APIToken, may(cloudflare.Policy{Permissions: []string{"a"}}), may(cloudflare.Policy{Permissions: []string{"a", "b"}}), []string{"update"}},
		"another bucket": {cloudflare.APIToken, may(cloudflare.Policy{Permissions: []string{"a"}, Bucket: "x"}),
			may(cloudflare.Policy{Permissions: []string{"a"}, Bucket: "y"}), []string{"update"}},
		"another jurisdiction": {cloudflare.APIToken, may(cloudflare.Policy{Permissions: []string{"a"}, Bucket: "x"}),
			may(cloudflare.Policy{Permissions: []string{"a"}, Bucket: "x", Jurisdiction: "eu"}), []string{"update"}},
		"another expiry": {cloudflare.APIToken, settings{ExpiresAt: time.Unix(2, 0)}, settings{ExpiresAt: time.Unix(1, 0)}, []string{"update"}},
		"expiry left":    {cloudflare.APIToken, settings{}, settings{ExpiresAt: time.Unix(1, 0)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			steps, err := cloudflare.Plan(cloudflare.Want{Kind: c.kind, Name: "n", Settings: c.want}, &cloudflare.Thing{Kind: c.kind, ID: "id", Name: "n", Settings: c.have})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range steps {
				what := string(s.Verb)
				if s.Property != "" {
					what += " " + s.Property
				}
				if got = append(got, what); s.ID != "id" || s.Kind != c.kind || s.Why == "" {
					t.Errorf("%+v isn't a whole step", s)
				}
			}
			if diff := cmp.Diff(c.steps, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPlanMakesWhatIsNotThere(t *testing.T) {
	t.Parallel()
	want := cloudflare.Want{Kind: cloudflare.Vectorize, Name: "docs", Settings: settings{Dimensions: 3, Metric: "cosine", MetadataIndexes: map[string]string{"b": "string", "a": "number"}}}
	got, err := cloudflare.Plan(want, nil)
	if err != nil {
		t.Fatal(err)
	}
	steps := []cloudflare.Step{
		{Verb: cloudflare.Create, Kind: cloudflare.Vectorize, Name: "docs", Settings: want.Settings, Why: "it doesn't exist"},
		{Verb: cloudflare.CreateIndex, Kind: cloudflare.Vectorize, ID: "docs", Property: "a", Type: "number", Why: "metadata index a is missing"},
		{Verb: cloudflare.CreateIndex, Kind: cloudflare.Vectorize, ID: "docs", Property: "b", Type: "string", Why: "metadata index b is missing"},
	}
	if diff := cmp.Diff(steps, got); diff != "" {
		t.Error(diff)
	}
}

func TestPlanRefusesWhatCantChange(t *testing.T) {
	t.Parallel()
	for field, c := range map[string]struct {
		kind       cloudflare.Kind
		want, have settings
		text       string
	}{
		"dimensions":   {cloudflare.Vectorize, settings{Dimensions: 768}, settings{Dimensions: 1024}, "dimensions of a Vectorize index is 1024 and can't become 768"},
		"metric":       {cloudflare.Vectorize, settings{Metric: "cosine"}, settings{Metric: "euclidean"}, "metric of a Vectorize index is euclidean and can't become cosine"},
		"jurisdiction": {cloudflare.R2, settings{Jurisdiction: "eu", StorageClass: "Standard"}, settings{StorageClass: "InfrequentAccess"}, "jurisdiction of an R2 bucket is default and can't become eu"},
	} {
		steps, err := cloudflare.Plan(cloudflare.Want{Kind: c.kind, Settings: c.want}, &cloudflare.Thing{Kind: c.kind, Settings: c.have})
		var immutable *cloudflare.ImmutableError
		if !errors.As(err, &immutable) || immutable.Field != field || len(steps) != 0 {
			t.Errorf("%s: got %v and %d steps", field, err, len(steps))
		} else if err.Error() != c.text {
			t.Errorf("got %q, want %q", err, c.text)
		}
	}
}

func TestAnUpdateKeepsWhatIsNotOurs(t *testing.T) {
	t.Parallel()
	rest := json.RawMessage(`{"spend_limits":{"enabled":true}}`)
	steps, err := cloudflare.Plan(
		cloudflare.Want{Kind: cloudflare.AIGateway, Settings: settings{Gateway: &cloudflare.Gateway{CollectLogs: true}}},
		&cloudflare.Thing{Kind: cloudflare.AIGateway, ID: "g", Settings: settings{Gateway: &cloudflare.Gateway{Rest: rest, RateTechnique: "fixed"}}})
	if err != nil || len(steps) != 1 {
		t.Fatal(steps, err)
	}
	want := &cloudflare.Gateway{CollectLogs: true, RateTechnique: "fixed", Rest: rest}
	if diff := cmp.Diff(want, steps[0].Settings.Gateway); diff != "" {
		t.Error(diff)
	}
	steps, err = cloudflare.Plan(
		cloudflare.Want{Kind: cloudflare.APIToken, Settings: settings{ExpiresAt: time.Unix(9, 0)}},
		&cloudflare.Thing{Kind: cloudflare.APIToken, ID: "t", Name: "n", Settings: settings{Policies: []cloudflare.Policy{{Permissions: []string{"a"}}}}})
	if err != nil || len(steps) != 1 || steps[0].Name != "n" || len(steps[0].Settings.Policies) != 1 {
		t.Errorf("the policies would be lost: %+v, %v", steps, err)
	}
}
