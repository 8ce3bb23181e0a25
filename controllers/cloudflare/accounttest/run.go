package accounttest

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
)

// Subject is an account in which nothing of ours exists, and what a test does behind its
// back.
type Subject struct {
	Account cloudflare.Account
	// OpenAs is the same account with another token.
	OpenAs func(cloudflare.Secret) cloudflare.Account
	// Fill puts an object into a bucket, or takes it out.
	Fill func(bucket string, full bool)
	// Pass moves the account's clock.
	Pass func(time.Duration)
}

// Setup says what account a test wants.
type Setup struct {
	ListLag time.Duration
	// Quota is how many of each kind may exist beside the caller's token; 0 is
	// Cloudflare's.
	Quota int
}

// Run tests what open gives. It is called once for each test.
func Run(t *testing.T, open func(*testing.T, Setup) Subject) {
	for _, kind := range cloudflare.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			t.Run("lives", func(t *testing.T) { t.Parallel(); lives(t, open(t, Setup{}), kind) })
			t.Run("isn't there", func(t *testing.T) { t.Parallel(); isNotThere(t, open(t, Setup{}), kind) })
			t.Run("names", func(t *testing.T) { t.Parallel(); names(t, open(t, Setup{}), kind) })
			t.Run("quota", func(t *testing.T) { t.Parallel(); quota(t, open(t, Setup{Quota: 2}), kind) })
			t.Run("late lists", func(t *testing.T) { t.Parallel(); lateLists(t, open(t, Setup{ListLag: time.Minute}), kind) })
			t.Run("permissions", func(t *testing.T) { t.Parallel(); permissions(t, open(t, Setup{}), kind) })
		})
	}
	for name, test := range map[string]func(*testing.T, Subject){
		"metadata indexes":    metadataIndexes,
		"gateways in place":   gatewaysInPlace,
		"replicas in place":   replicasInPlace,
		"classes in place":    classesInPlace,
		"buckets by place":    bucketsByPlace,
		"buckets with things": bucketsWithThings,
		"tokens in place":     tokensInPlace,
		"a token of a bucket": tokenOfABucket,
		"a token's end":       tokensEnd,
		"what is refused":     refusals,
	} {
		t.Run(name, func(t *testing.T) { t.Parallel(); test(t, open(t, Setup{})) })
	}
}

// settings that a thing of the kind may have.
func settings(kind cloudflare.Kind) cloudflare.Settings {
	switch kind {
	case cloudflare.Vectorize:
		return cloudflare.Settings{Dimensions: 3, Metric: "cosine"}
	case cloudflare.AIGateway:
		return cloudflare.Settings{Gateway: &cloudflare.Gateway{Authentication: true}}
	case cloudflare.APIToken:
		return cloudflare.Settings{Policies: []cloudflare.Policy{{Permissions: []string{"Workers AI Read", "AI Gateway Run"}}}}
	case cloudflare.D1:
		return cloudflare.Settings{ReadReplication: "disabled"}
	case cloudflare.R2:
		return cloudflare.Settings{StorageClass: "Standard", LocationHint: "weur"}
	}
	return cloudflare.Settings{}
}

// Name is a name that any kind takes.
const name = "ce-0123456789-ns-acme-docs-01234567"

func create(t *testing.T, a cloudflare.Account, kind cloudflare.Kind, name string, s cloudflare.Settings) cloudflare.Thing {
	t.Helper()
	made, err := a.Do(t.Context(), cloudflare.Step{Verb: cloudflare.Create, Kind: kind, Name: name, Settings: s})
	if err != nil {
		t.Fatalf("creating %s: %v", kind, err)
	}
	if made.Kind != kind || made.ID == "" || made.Name != name || kind.NameIsID() != (made.ID == name) {
		t.Fatalf("made %s %q called %q", made.Kind, made.ID, made.Name)
	}
	return made
}

func get(t *testing.T, a cloudflare.Account, kind cloudflare.Kind, id string) cloudflare.Thing {
	t.Helper()
	got, err := a.Get(t.Context(), kind, id)
	if err != nil {
		t.Fatalf("reading %s: %v", kind, err)
	}
	return got
}

// means fails unless the error is an *Error of this meaning, with a text that is fit.
func means(t *testing.T, err, meaning error) {
	t.Helper()
	var e *cloudflare.Error
	if !errors.As(err, &e) || !errors.Is(err, meaning) {
		t.Errorf("got %v, want %v", err, meaning)
	} else if e.Op == "" || strings.Contains(err.Error(), "c4nary") {
		t.Errorf("the text %q isn't fit for a condition", err)
	}
}

func same(t *testing.T, got, want cloudflare.Thing) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(cloudflare.Thing{}, "Secret", "CreatedAt"), cmpopts.IgnoreFields(cloudflare.Gateway{}, "Rest")); diff != "" {
		t.Error(diff)
	}
}

func lives(t *testing.T, s Subject, kind cloudflare.Kind) {
	made := create(t, s.Account, kind, name, settings(kind))
	if (kind == cloudflare.APIToken) != (made.Secret != "") {
		t.Error("the value of a token is shown once, and nothing else has one")
	}
	if steps, err := cloudflare.Plan(cloudflare.Want{Kind: kind, Name: name, Settings: settings(kind)}, &made); err != nil || len(steps) > 0 {
		t.Errorf("it isn't what was asked for: %v, %v", steps, err)
	}
	got := get(t, s.Account, kind, made.ID)
	same(t, got, made)
	if kind != cloudflare.KV && got.CreatedAt.IsZero() {
		t.Error("nobody knows how old it is")
	}
	found, err := s.Account.Find(t.Context(), kind, name)
	if err != nil || len(found) != 1 || found[0].ID != made.ID {
		t.Fatalf("found %v, %v", found, err)
	}
	all, err := s.Account.List(t.Context(), kind)
	if err != nil {
		t.Fatal(err)
	}
	n := slices.IndexFunc(all, func(t cloudflare.Thing) bool { return t.ID == made.ID })
	if n < 0 {
		t.Fatalf("%s isn't among %d listed", made.ID, len(all))
	}
	if kind.Listed() {
		same(t, all[n], got)
	} else if steps, err := cloudflare.Plan(cloudflare.Want{Kind: kind, Name: name, Settings: settings(kind)}, &all[n]); err != nil || len(steps) > 0 {
		t.Errorf("what a list doesn't show is no difference: %v, %v", steps, err)
	}
	for _, t0 := range append(found, got, all[n]) {
		if t0.Secret != "" {
			t.Error("the value of a token is shown again")
		}
	}
	for range 2 { // one that isn't there is no error
		if _, err := s.Account.Do(t.Context(), cloudflare.Step{Verb: cloudflare.Delete, Kind: kind, ID: made.ID}); err != nil {
			t.Fatal(err)
		}
	}
	_, err = s.Account.Get(t.Context(), kind, made.ID)
	means(t, err, cloudflare.ErrNotFound)
	// What was deleted doesn't keep its name.
	if again := create(t, s.Account, kind, name, settings(kind)); !kind.NameIsID() && again.ID == made.ID {
		t.Error("an id came twice")
	}
}

func isNotThere(t *testing.T, s Subject, kind cloudflare.Kind) {
	id := map[cloudflare.Kind]string{cloudflare.D1: "3f1c9b1e-0000-4000-8000-000000000000", cloudflare.KV: strings.Repeat("ab", 16), cloudflare.APIToken: strings.Repeat("ab", 16)}[kind]
	if id == "" {
		id = "never-there"
	}
	_, err := s.Account.Get(t.Context(), kind, id)
	means(t, err, cloudflare.ErrNotFound)
	if found, err := s.Account.Find(t.Context(), kind, "never-there"); err != nil || len(found) != 0 {
		t.Errorf("found %v, %v", found, err)
	}
	if _, err := s.Account.Do(t.Context(), cloudflare.Step{Verb: cloudflare.Delete, Kind: kind, ID: id}); err != nil {
		t.Error(err)
	}
	if kind != cloudflare.KV && kind != cloudflare.Vectorize {
		_, err = s.Account.Do(t.Context(), cloudflare.Step{Verb: cloudflare.Update, Kind: kind, ID: id, Name: name, Settings: settings(kind)})
		means(t, err, cloudflare.ErrNotFound)
	}
}

func names(t *testing.T, s Subject, kind cloudflare.Kind) {
	first := create(t, s.Account, kind, name, settings(kind))
	second, err := s.Account.Do(t.Context(), cloudflare.Step{Verb: cloudflare.Create, Kind: kind, Name: name, Settings: settings(kind)})
	if kind == cloudflare.APIToken {
		if err != nil || second.ID == first.ID || second.Secret == first.Secret {
			t.Fatalf("names of tokens aren't unique: %v, %v", second.ID, err)
		}
		if found, err := s.Account.Find(t.Context(), kind, name); err != nil || len(found) != 2 {
			t.Errorf("found %d, %v", len(found), err)
		}
		return
	}
	means(t, err, cloudflare.ErrNameTaken)
	// A part of a name is another name.
	create(t, s.Account, kind, name+"0", settings(kind))
	if found, err := s.Account.Find(t.Context(), kind, name); err != nil || len(found) != 1 || found[0].ID != first.ID {
		t.Errorf("found %v, %v", found, err)
	}
	bad := "Not a name!"
	if kind == cloudflare.KV {
		bad = strings.Repeat("n", 513)
	}
	_, err = s.Account.Do(t.Context(), cloudflare.Step{Verb: cloudflare.Create, Kind: kind, Name: bad, Settings: settings(kind)})
	means(t, err, cloudflare.ErrInvalid)
	_, err = s.Account.Do(t.Context(), cloudflare.Step{Verb: cloudflare.Create, Kind: kind, Settings: settings(kind)})
	means(t, err, cloudflare.ErrInvalid)
}

func quota(t *testing.T, s Subject, kind cloudflare.Kind) {
	create(t, s.Account, kind, name+"1", settings(kind))
	last := create(t, s.Account, kind, name+"2", settings(kind))
	third := cloudflare.Step{Verb: cloudflare.Create, Kind: kind, Name: name + "3", Settings: settings(kind)}
	_, err := s.Account.Do(t.Context(), third)
	means(t, err, cloudflare.ErrQuota)
	if found, err := s.Account.Find(t.Context(), kind, third.Name); err != nil || len(found) != 0 {
		t.Errorf("it was made all the same: %v, %v", found, err)
	}
	if _, err := s.Account.Do(t.Context(), cloudflare.Step{Verb: cloudflare.Delete, Kind: kind, ID: last.ID}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Account.Do(t.Context(), third); err != nil {
		t.Errorf("there is room again: %v", err)
	}
}

func lateLists(t *testing.T, s Subject, kind cloudflare.Kind) {
	listed := func() int {
		t.Helper()
		all, err := s.Account.List(t.Context(), kind)
		if err != nil {
			t.Fatal(err)
		}
		return len(slices.DeleteFunc(all, func(t cloudflare.Thing) bool { return t.Name != name }))
	}
	made := create(t, s.Account, kind, name, settings(kind))
	if n := listed(); n != 0 {
		t.Errorf("%d are listed at once", n)
	}
	found, err := s.Account.Find(t.Context(), kind, name)
	if err != nil || (len(found) == 1) != kind.NameIsID() {
		t.Errorf("by its name %d are found, %v", len(found), err)
	}
	get(t, s.Account, kind, made.ID)
	s.Pass(2 * time.Minute)
	if n := listed(); n != 1 {
		t.Errorf("%d are listed after a while", n)
	}
	if _, err := s.Account.Do(t.Context(), cloudflare.Step{Verb: cloudflare.Delete, Kind: kind, ID: made.ID}); err != nil {
		t.Fatal(err)
	}
	if n := listed(); n != 1 {
		t.Errorf("%d are listed right after it is gone", n)
	}
	_, err = s.Account.Get(t.Context(), kind, made.ID)
	means(t, err, cloudflare.ErrNotFound)
	s.Pass(2 * time.Minute)
	if n := listed(); n != 0 {
		t.Errorf("%d are listed a while after it is gone", n)
	}
}

// mint makes a token that has only these permissions, and opens the account with it.
func mint(t *testing.T, s Subject, permissions ...string) (cloudflare.Thing, cloudflare.Account) {
	t.Helper()
	made := create(t, s.Account, cloudflare.APIToken, "minted", cloudflare.Settings{Policies: []cloudflare.Policy{{Permissions: permissions}}})
	return made, s.OpenAs(made.Secret)
}

func permissions(t *testing.T, s Subject, kind cloudflare.Kind) {
	made := create(t, s.Account, kind, name, settings(kind))
	_, reader := mint(t, s, cloudflare.PermissionsTo(kind, false)[0])
	if _, err := reader.Get(t.Context(), kind, made.ID); err != nil {
		t.Errorf("it may read: %v", err)
	}
	_, err := reader.Do(t.Context(), cloudflare.Step{Verb: cloudflare.Delete, Kind: kind, ID: made.ID})
	means(t, err, cloudflare.ErrForbidden)
	var e *cloudflare.Error
	if errors.As(err, &e) && !slices.Equal(e.Missing, cloudflare.PermissionsTo(kind, true)) {
		t.Errorf("missing are %q", e.Missing)
	}
	_, stranger := mint(t, s, "Workers AI Read")
	_, err = stranger.List(t.Context(), kind)
	means(t, err, cloudflare.ErrForbidden)
	if token, err := stranger.Token(t.Context()); err != nil || !token.Active || token.ID == "" {
		t.Errorf("it may ask who it is: %+v, %v", token, err)
	}
}
