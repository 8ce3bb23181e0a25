package cloudflare_test

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
)

var acme = cloudflare.Identity{
	OwnerID: "0b5c7d0e-prod", Environment: "prod", Namespace: "team-a", Tenant: "acme", Role: "docs",
	UID: "5f0c7f2e-6d7a-4a27-9a53-0f6a53a7f0a1",
}

func TestANameIsReadable(t *testing.T) {
	t.Parallel()
	if got, want := cloudflare.Name(acme, cloudflare.Vectorize), "ce-1f4d4f3c4e-prod-team-a-acme-docs-"; !sameShape(got, want) {
		t.Errorf("got %s, want the shape of %s", got, want)
	}
	id := acme
	id.Environment, id.Generation, id.Nonce = "", 3, "a1b2c3"
	got := cloudflare.Name(id, cloudflare.APIToken)
	if !regexp.MustCompile(`^ce-[0-9a-f]{10}-team-a-acme-docs-[0-9a-f]{8}-g3-na1b2c3$`).MatchString(got) {
		t.Errorf("got %s", got)
	}
}

func sameShape(got, want string) bool {
	return len(got) == len(want)+8 && got[:3] == want[:3] && got[13:len(want)] == want[13:]
}

// shapes are what Cloudflare's documents allow.
var shapes = map[cloudflare.Kind]*regexp.Regexp{
	cloudflare.KV:        regexp.MustCompile(`^.{1,512}$`),
	cloudflare.D1:        regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`),
	cloudflare.R2:        regexp.MustCompile(`^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$`),
	cloudflare.Vectorize: regexp.MustCompile(`^([a-z]+[a-z0-9_-]*[a-z0-9]+)$`),
	cloudflare.AIGateway: regexp.MustCompile(`^[a-z0-9_]+(?:-[a-z0-9_]+)*$`),
	cloudflare.APIToken:  regexp.MustCompile(`^.{1,120}$`),
}

var identities = rapid.Custom(func(t *rapid.T) cloudflare.Identity {
	part := rapid.OneOf(rapid.StringMatching(`[a-z0-9-]{0,63}`), rapid.SampledFrom([]string{"a", "b", "a-b", "b-a", "", "-", "A", "é"}))
	return cloudflare.Identity{
		OwnerID:     rapid.OneOf(rapid.SampledFrom([]string{"a", "b", "a-b"}), rapid.StringMatching(`[a-z0-9]{1,36}`)).Draw(t, "owner"),
		Environment: part.Draw(t, "environment"), Namespace: part.Draw(t, "namespace"), Tenant: part.Draw(t, "tenant"), Role: part.Draw(t, "role"),
		UID:        rapid.SampledFrom([]string{"1", "2", "5f0c7f2e-6d7a-4a27-9a53-0f6a53a7f0a1"}).Draw(t, "uid"),
		Generation: rapid.Int64Range(0, 3).Draw(t, "generation"),
		Nonce:      rapid.SampledFrom([]string{"", "n1", "g1", "N1", strings.Repeat("n", 40)}).Draw(t, "nonce"),
	}
})

func TestNamesFitTheirKind(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		id := identities.Draw(t, "id")
		for _, kind := range cloudflare.Kinds {
			name := cloudflare.Name(id, kind)
			if !shapes[kind].MatchString(name) || kind == cloudflare.Vectorize && len(name) > 64 || kind == cloudflare.AIGateway && len(name) > 64 {
				t.Fatalf("%s can't be called %q (%d bytes)", kind, name, len(name))
			}
			if !cloudflare.OwnedBy(name, id.OwnerID) || cloudflare.OwnedBy(name, id.OwnerID+"x") || cloudflare.OwnedBy(name, "") {
				t.Fatalf("%q is owned by the wrong one", name)
			}
		}
	})
}

func TestNamesOfDifferentThingsDiffer(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := identities.Draw(t, "a"), identities.Draw(t, "b")
		if rapid.Bool().Draw(t, "near") {
			// Neighbours in all but one part are the likeliest to meet.
			b = a
			switch rapid.IntRange(0, 6).Draw(t, "part") {
			case 0:
				b.OwnerID += "x"
			case 1:
				b.Environment, b.Namespace = b.Namespace, b.Environment
			case 2:
				b.Namespace, b.Tenant = b.Namespace+"-"+b.Tenant, ""
			case 3:
				b.Role += "x"
			case 4:
				b.UID += "0"
			case 5:
				b.Generation++
			case 6:
				b.Nonce += "0"
			}
		}
		if a == b {
			return
		}
		for _, kind := range cloudflare.Kinds {
			if n := cloudflare.Name(a, kind); n == cloudflare.Name(b, kind) {
				t.Fatalf("%+v and %+v are both %s", a, b, n)
			}
		}
	})
}
