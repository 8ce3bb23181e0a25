package tools_test

import (
	"encoding/json"
	"net/url"
	"testing"
	"unicode/utf8"

	"github.com/crispy-enigma/crispy-enigma/runtime/tools"
)

// FuzzParameters: whatever is sent as parameters is refused or taken without a panic or a
// long while; what is taken means the same when it is written anew; no value changes
// which service an address leads to.
func FuzzParameters(f *testing.F) {
	const address = "https://api.example/x/{s}/y?n={n}"
	s, err := tools.CompileSchema(`{"type":"object","required":["s"],"unevaluatedProperties":false,"properties":{
		"s":{"type":"string","maxLength":50,"pattern":"^[^!]*$"},"n":{"anyOf":[{"type":"number","multipleOf":0.5},{"type":"null"}]},
		"when":{"format":"date-time"},"list":{"type":"array","uniqueItems":true,"items":{"$ref":"#/$defs/node"}}},
		"$defs":{"node":{"type":["object","integer"],"properties":{"kids":{"items":{"$ref":"#/$defs/node"}}}}}}`)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{`{}`, `{"s":"a/../b","n":1.5}`, `{"s":"x","list":[1,{"kids":[{"kids":[2]}]}]}`, `{"s":"\ud800"}`, `{"s":"x","n":1e400}`, `{"s":"x","s":"y"}`, `[`, `{"s":"x","when":"2026-11-24T10:00:00Z"}`, `{"s":"x","n":0.1e-1000000}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if wrong := s.Check(string(raw)); wrong != nil {
			for _, d := range wrong {
				if d.Message == "" || !utf8.ValidString(d.Message) || !utf8.ValidString(d.Path) {
					t.Fatalf("told %+v", d)
				}
			}
			return
		}
		var doc map[string]any
		if err := json.Unmarshal(raw, &doc); err != nil && doc == nil {
			t.Fatalf("taken, and not JSON: %v", err)
		}
		again := tools.Canonical(string(raw))
		if wrong := s.Check(again); wrong != nil {
			t.Fatalf("%q is taken, %q isn't: %+v", raw, again, wrong)
		}
		if third := tools.Canonical(again); third != again {
			t.Fatalf("%q has two canonical forms: %q and %q", raw, again, third)
		}
		filled, _, err := tools.Expand(address, string(raw))
		if err != nil {
			return
		}
		u, err := url.Parse(filled)
		if err != nil || u.Host != "api.example" || u.Scheme != "https" || u.User != nil || u.Fragment != "" {
			t.Fatalf("%q leads to %q: %v", raw, filled, err)
		}
	})
}
