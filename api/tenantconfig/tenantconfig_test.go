package tenantconfig_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
)

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "v1", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func parse(t testing.TB, b []byte) *tenantconfig.Config {
	t.Helper()
	c, err := tenantconfig.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Every document that some release wrote must be served by every later one.
func TestDocumentsOfVersion1ParseForEver(t *testing.T) {
	files, err := filepath.Glob("testdata/v1/*.json")
	if err != nil || len(files) < 5 {
		t.Fatalf("found %d documents (%v)", len(files), err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			c := parse(t, read(t, filepath.Base(f)))
			if v := tenantconfig.Validate(c); len(v) != 0 {
				t.Fatalf("violations: %v", v)
			}
			b, err := tenantconfig.Marshal(c)
			if err != nil {
				t.Fatal(err)
			}
			again := parse(t, b)
			if diff := cmp.Diff(c, again, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("a round trip changed the document (-have +got):\n%s", diff)
			}
			if got, want := tenantconfig.DigestOf(again), tenantconfig.DigestOf(c); got != want {
				t.Errorf("digest %s after a round trip, want %s", got, want)
			}
		})
	}
}

// The pods of a running tenant roll when this value changes, so it may not change by
// accident: a new field of the restart part must be omitted while it is unset.
func TestDigestsOfAReleasedDocumentStayTheSame(t *testing.T) {
	c := parse(t, read(t, "full.json"))
	const restart = "sha256:6f8d74ce00250245f2fa118cdcf96aa75d1eb37586328218caee59894b1666ad"
	if got := tenantconfig.RestartDigest(c); got != restart {
		t.Errorf("restart digest is %s, want %s", got, restart)
	}
}

func TestParseRefuses(t *testing.T) {
	good := string(read(t, "full.json"))
	for name, tc := range map[string]struct{ doc, want string }{
		"nothing":              {"", "unexpected end"},
		"null":                 {"null", "version"},
		"another type":         {"[]", "array"},
		"no version":           {`{}`, "version: must be 1 to 1"},
		"a newer version":      {strings.Replace(good, `"version": 1`, `"version": 2`, 1), "roll out a runtime image"},
		"trailing garbage":     {good + "{}", "after top-level value"},
		"a duplicate key":      {strings.Replace(good, `"mode": "apiKey"`, `"mode": "apiKey", "mode": "none"`, 1), "auth.mode: appears twice"},
		"a deep duplicate":     {strings.Replace(good, `"trustUserHeader": true`, `"trustUserHeader": true, "trustUserHeader": false`, 1), "auth.keys[0].trustUserHeader: appears twice"},
		"an escaped duplicate": {strings.Replace(good, `"mode": "apiKey"`, `"mode": "apiKey", "m\u006fde": "none"`, 1), "auth.mode: appears twice"},
		"an alias by case":     {strings.Replace(good, `"mode": "apiKey"`, `"Mode": "none"`, 1), `auth.Mode: is spelt "mode"`},
		"a wrong type":         {strings.Replace(good, `"apiPort": 8080`, `"apiPort": "8080"`, 1), "server.apiPort: can't be a JSON string"},
		"invalid UTF-8":        {strings.Replace(good, "Acme", "\xff", 1), "UTF-8"},
		"endless nesting":      {`{"version":1,"x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + "}", "nested deeper"},
		"too much":             {`{"version":1,"x":"` + strings.Repeat("x", tenantconfig.MaxBytes) + `"}`, "more than"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := tenantconfig.Parse([]byte(tc.doc))
			if err == nil {
				t.Fatalf("parsed to %+v", c)
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %q doesn't say %q", err, tc.want)
			}
		})
	}
}

func TestMarshalIsCanonical(t *testing.T) {
	a := parse(t, read(t, "full.json"))
	b := parse(t, read(t, "full.json"))
	when := a.Auth.Keys[0].Digests[1].NotAfter
	b.Auth.Keys[0].Digests[1].NotAfter = when.In(time.FixedZone("far", 5*3600)).Add(300 * time.Millisecond)
	b.Prompt.Variables = map[string]string{"Company": "ACME", "company": "Acme"}
	b.CORS.Origins = append([]string{}, b.CORS.Origins...)
	x, err := tenantconfig.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := tenantconfig.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(x, y) {
		t.Errorf("one document has two spellings:\n%s\n%s", x, y)
	}
	if b.Auth.Keys[0].Digests[1].NotAfter.Location() == time.UTC {
		t.Error("Marshal changed its argument")
	}
	b.Auth.Mode = tenantconfig.AuthNone
	if tenantconfig.DigestOf(a) == tenantconfig.DigestOf(b) {
		t.Error("two documents share a digest")
	}
}

func TestOnlyIdentityServerAndStateNeedARestart(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*tenantconfig.Config)
		want   bool
	}{
		"nothing":  {func(*tenantconfig.Config) {}, false},
		"limits":   {func(c *tenantconfig.Config) { c.Limits.Requests.PerMinute++ }, false},
		"models":   {func(c *tenantconfig.Config) { c.Models.Chat = "medium" }, false},
		"keys":     {func(c *tenantconfig.Config) { c.Auth.Keys = c.Auth.Keys[:1] }, false},
		"hosts":    {func(c *tenantconfig.Config) { c.Hosts = nil }, false},
		"prompt":   {func(c *tenantconfig.Config) { c.Prompt.System = "" }, false},
		"upstream": {func(c *tenantconfig.Config) { c.Upstream.BaseURL = "http://other/v1" }, false},
		"version":  {func(c *tenantconfig.Config) { c.Version = 9 }, false},
		"port":     {func(c *tenantconfig.Config) { c.Server.APIPort++ }, true},
		"drain":    {func(c *tenantconfig.Config) { c.Server.DrainSeconds++ }, true},
		"driver":   {func(c *tenantconfig.Config) { c.State = tenantconfig.State{Driver: tenantconfig.StateMemory} }, true},
		"identity": {func(c *tenantconfig.Config) { c.Tenant.Identity = "other/team-a/production/acme" }, true},
	} {
		have, want := parse(t, read(t, "full.json")), parse(t, read(t, "full.json"))
		tc.change(want)
		if got := tenantconfig.NeedsRestart(have, want); got != tc.want {
			t.Errorf("%s: needs a restart = %v, want %v", name, got, tc.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/v1/*.json")
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"version":1,"VERSION":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := tenantconfig.Parse(b)
		if err != nil {
			return
		}
		if !json.Valid(b) {
			t.Fatal("accepted what isn't JSON")
		}
		if len(tenantconfig.Validate(c)) > 0 {
			return
		}
		out, err := tenantconfig.Marshal(c)
		if err != nil {
			t.Fatalf("a valid document can't be written: %v", err)
		}
		again, err := tenantconfig.Parse(out)
		if err != nil {
			t.Fatalf("reading back: %v", err)
		}
		if tenantconfig.DigestOf(again) != tenantconfig.DigestOf(c) {
			t.Fatal("a round trip changed the digest")
		}
	})
}
