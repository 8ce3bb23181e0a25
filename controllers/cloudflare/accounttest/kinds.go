package accounttest

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
)

// converge does what Plan says until it says nothing.
func converge(t *testing.T, a cloudflare.Account, want cloudflare.Want, id string) []cloudflare.Verb {
	t.Helper()
	var done []cloudflare.Verb
	for range 10 {
		have := get(t, a, want.Kind, id)
		steps, err := cloudflare.Plan(want, &have)
		if err != nil {
			t.Fatal(err)
		}
		if len(steps) == 0 {
			return done
		}
		if _, err := a.Do(t.Context(), steps[0]); err != nil {
			t.Fatalf("%s: %v", steps[0].Why, err)
		}
		done = append(done, steps[0].Verb)
	}
	t.Fatalf("it never becomes what is wanted, after %v", done)
	return nil
}

func metadataIndexes(t *testing.T, s Subject) {
	want := cloudflare.Want{Kind: cloudflare.Vectorize, Name: name, Settings: settings(cloudflare.Vectorize)}
	want.Settings.MetadataIndexes = map[string]string{"lang": "string", "year": "number", "a.b": "boolean"}
	made := create(t, s.Account, want.Kind, name, want.Settings)
	if made.Settings.MetadataIndexes == nil || len(made.Settings.MetadataIndexes) != 0 {
		t.Errorf("a new index has none: %v", made.Settings.MetadataIndexes)
	}
	if done := converge(t, s.Account, want, name); len(done) != 3 {
		t.Errorf("it took %v", done)
	}
	if diff := cmp.Diff(want.Settings.MetadataIndexes, get(t, s.Account, want.Kind, name).Settings.MetadataIndexes); diff != "" {
		t.Error(diff)
	}
	again := cloudflare.Step{Verb: cloudflare.CreateIndex, Kind: want.Kind, ID: name, Property: "lang", Type: "string"}
	if _, err := s.Account.Do(t.Context(), again); err != nil {
		t.Errorf("one that is there is no error: %v", err)
	}
	want.Settings.MetadataIndexes["year"] = "string"
	if done := converge(t, s.Account, want, name); !slices.Equal(done, []cloudflare.Verb{cloudflare.DeleteIndex, cloudflare.CreateIndex}) {
		t.Errorf("another type took %v", done)
	}
	gone := cloudflare.Step{Verb: cloudflare.DeleteIndex, Kind: want.Kind, ID: name, Property: "never"}
	if _, err := s.Account.Do(t.Context(), gone); err != nil {
		t.Errorf("one that isn't there is no error: %v", err)
	}
	again.ID = "never-there"
	_, err := s.Account.Do(t.Context(), again)
	means(t, err, cloudflare.ErrNotFound)
	for n := range 8 {
		_, err = s.Account.Do(t.Context(), cloudflare.Step{Verb: cloudflare.CreateIndex, Kind: want.Kind, ID: name, Property: string(rune('c' + n)), Type: "string"})
	}
	means(t, err, cloudflare.ErrQuota)
}

func gatewaysInPlace(t *testing.T, s Subject) {
	create(t, s.Account, cloudflare.AIGateway, name, settings(cloudflare.AIGateway))
	want := cloudflare.Want{Kind: cloudflare.AIGateway, Name: name, Settings: cloudflare.Settings{Gateway: &cloudflare.Gateway{
		CacheTTLSeconds: 60, CollectLogs: true, RateLimit: 7, RateInterval: 60, RateTechnique: "sliding",
	}}}
	if done := converge(t, s.Account, want, name); !slices.Equal(done, []cloudflare.Verb{cloudflare.Update}) {
		t.Errorf("it took %v", done)
	}
	want.Settings.Gateway = &cloudflare.Gateway{Authentication: true}
	if done := converge(t, s.Account, want, name); !slices.Equal(done, []cloudflare.Verb{cloudflare.Update}) {
		t.Errorf("off again took %v", done)
	}
}

func replicasInPlace(t *testing.T, s Subject) {
	made := create(t, s.Account, cloudflare.D1, name, settings(cloudflare.D1))
	want := cloudflare.Want{Kind: cloudflare.D1, Name: name, Settings: cloudflare.Settings{ReadReplication: "auto"}}
	if done := converge(t, s.Account, want, made.ID); !slices.Equal(done, []cloudflare.Verb{cloudflare.Update}) {
		t.Errorf("it took %v", done)
	}
}

func classesInPlace(t *testing.T, s Subject) {
	for n, place := range []string{"", "eu"} {
		bucket := name + string(rune('a'+n))
		create(t, s.Account, cloudflare.R2, bucket, cloudflare.Settings{Jurisdiction: place})
		want := cloudflare.Want{Kind: cloudflare.R2, Name: bucket, Settings: cloudflare.Settings{StorageClass: "InfrequentAccess", Jurisdiction: place}}
		if done := converge(t, s.Account, want, bucket); !slices.Equal(done, []cloudflare.Verb{cloudflare.Update}) {
			t.Errorf("it took %v", done)
		}
	}
}

func bucketsByPlace(t *testing.T, s Subject) {
	create(t, s.Account, cloudflare.R2, name, cloudflare.Settings{Jurisdiction: "eu"})
	if got := get(t, s.Account, cloudflare.R2, name).Settings.Jurisdiction; got != "eu" {
		t.Errorf("it lies in %q", got)
	}
	all, err := s.Account.List(t.Context(), cloudflare.R2)
	if err != nil || len(all) != 1 || all[0].Settings.Jurisdiction != "eu" {
		t.Errorf("listed %v, %v", all, err)
	}
	// The same name elsewhere is another bucket.
	create(t, s.Account, cloudflare.R2, name, cloudflare.Settings{})
	if _, err := s.Account.Do(t.Context(), cloudflare.Step{Verb: cloudflare.Delete, Kind: cloudflare.R2, ID: name, Settings: cloudflare.Settings{Jurisdiction: "default"}}); err != nil {
		t.Fatal(err)
	}
	if got := get(t, s.Account, cloudflare.R2, name).Settings.Jurisdiction; got != "eu" {
		t.Errorf("the one in %q is left", got)
	}
	if _, err := s.Account.Do(t.Context(), cloudflare.Step{Verb: cloudflare.Delete, Kind: cloudflare.R2, ID: name}); err != nil {
		t.Fatal(err)
	}
	_, err = s.Account.Get(t.Context(), cloudflare.R2, name)
	means(t, err, cloudflare.ErrNotFound)
}

func bucketsWithThings(t *testing.T, s Subject) {
	create(t, s.Account, cloudflare.R2, name, cloudflare.Settings{})
	drop := cloudflare.Step{Verb: cloudflare.Delete, Kind: cloudflare.R2, ID: name}
	s.Fill(name, true)
	_, err := s.Account.Do(t.Context(), drop)
	means(t, err, cloudflare.ErrNotEmpty)
	get(t, s.Account, cloudflare.R2, name)
	s.Fill(name, false)
	if _, err := s.Account.Do(t.Context(), drop); err != nil {
		t.Error(err)
	}
}

func tokensInPlace(t *testing.T, s Subject) {
	made := create(t, s.Account, cloudflare.APIToken, name, settings(cloudflare.APIToken))
	want := cloudflare.Want{Kind: cloudflare.APIToken, Name: name, Settings: cloudflare.Settings{
		Policies:  []cloudflare.Policy{{Permissions: []string{"Vectorize Write", "Workers AI Read", "Vectorize Read"}}},
		ExpiresAt: made.CreatedAt.Add(100*time.Hour + 500*time.Millisecond),
	}}
	if done := converge(t, s.Account, want, made.ID); !slices.Equal(done, []cloudflare.Verb{cloudflare.Update}) {
		t.Errorf("it took %v", done)
	}
	if got := get(t, s.Account, cloudflare.APIToken, made.ID); got.Name != name {
		t.Errorf("it is called %q now", got.Name)
	}
	if token, err := s.OpenAs(made.Secret).Token(t.Context()); err != nil || token.ExpiresAt.IsZero() || token.ID != made.ID {
		t.Errorf("the value is another's now: %+v, %v", token, err)
	}
}

func tokenOfABucket(t *testing.T, s Subject) {
	create(t, s.Account, cloudflare.R2, "b-one", cloudflare.Settings{})
	want := cloudflare.Want{Kind: cloudflare.APIToken, Name: name, Settings: cloudflare.Settings{Policies: []cloudflare.Policy{
		{Permissions: []string{"Workers AI Read"}},
		{Permissions: []string{"Workers R2 Storage Bucket Item Write"}, Bucket: "b-one"},
		{Permissions: []string{"Workers R2 Storage Bucket Item Read"}, Bucket: "b-two", Jurisdiction: "eu"},
	}}}
	made := create(t, s.Account, cloudflare.APIToken, name, want.Settings)
	if done := converge(t, s.Account, want, made.ID); len(done) != 0 {
		t.Errorf("it took %v", done)
	}
	_, err := s.OpenAs(made.Secret).List(t.Context(), cloudflare.R2)
	means(t, err, cloudflare.ErrForbidden)
}

func tokensEnd(t *testing.T, s Subject) {
	made, account := mint(t, s, "D1 Read")
	if _, err := account.List(t.Context(), cloudflare.D1); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Account.Do(t.Context(), cloudflare.Step{Verb: cloudflare.Delete, Kind: cloudflare.APIToken, ID: made.ID}); err != nil {
		t.Fatal(err)
	}
	_, err := account.List(t.Context(), cloudflare.D1)
	means(t, err, cloudflare.ErrUnauthorized)
	_, err = account.Token(t.Context())
	means(t, err, cloudflare.ErrUnauthorized)
	_, err = s.OpenAs("ce_c4nary-nobody-knows-this-one-0123456789").Token(t.Context())
	means(t, err, cloudflare.ErrUnauthorized)
}

func refusals(t *testing.T, s Subject) {
	for what, step := range map[string]cloudflare.Step{
		"too many dimensions":  {Kind: cloudflare.Vectorize, Settings: cloudflare.Settings{Dimensions: 1537, Metric: "cosine"}},
		"no metric":            {Kind: cloudflare.Vectorize, Settings: cloudflare.Settings{Dimensions: 3}},
		"no permission":        {Kind: cloudflare.APIToken},
		"an unknown one":       {Kind: cloudflare.APIToken, Settings: cloudflare.Settings{Policies: []cloudflare.Policy{{Permissions: []string{"Workers AI Sing"}}}}},
		"a namespace's update": {Verb: cloudflare.Update, Kind: cloudflare.KV, ID: "x"},
		"an unknown kind":      {Kind: "Queue"},
	} {
		if step.Verb == "" {
			step.Verb, step.Name = cloudflare.Create, name
		}
		if step.Verb == cloudflare.Update {
			step.ID = create(t, s.Account, step.Kind, name, settings(step.Kind)).ID
		}
		if _, err := s.Account.Do(t.Context(), step); err == nil {
			t.Errorf("%s is done", what)
		} else {
			means(t, err, cloudflare.ErrInvalid)
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(map[cloudflare.Kind]bool{cloudflare.Vectorize: true, cloudflare.APIToken: true})) {
		if found, err := s.Account.Find(t.Context(), kind, name); err != nil || len(found) != 0 {
			t.Errorf("%s: %v, %v", kind, found, err)
		}
	}
}
