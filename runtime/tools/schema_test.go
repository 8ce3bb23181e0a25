package tools_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/runtime/tools"
)

// TestSchemaKeywords takes one case of each part of 2020-12, good and bad.
func TestSchemaKeywords(t *testing.T) {
	t.Parallel()
	object := func(inner string) string { return `{"type":"object",` + inner + `}` }
	for name, tc := range map[string]struct{ schema, good, bad, path string }{
		"$ref":                  {object(`"properties":{"a":{"$ref":"#/$defs/n"}},"$defs":{"n":{"type":"integer"}}`), `{"a":1}`, `{"a":"x"}`, "a"},
		"$ref with siblings":    {object(`"properties":{"a":{"$ref":"#/$defs/n","maximum":5}},"$defs":{"n":{"type":"integer"}}`), `{"a":5}`, `{"a":6}`, "a"},
		"$anchor":               {object(`"properties":{"a":{"$ref":"#n"}},"$defs":{"x":{"$anchor":"n","type":"null"}}`), `{"a":null}`, `{"a":1}`, "a"},
		"$dynamicRef":           {object(`"$dynamicAnchor":"node","properties":{"v":{"type":"integer"},"kids":{"type":"array","items":{"$dynamicRef":"#node"}}}`), `{"kids":[{"v":1}]}`, `{"kids":[{"v":"x"}]}`, "kids[0].v"},
		"unevaluatedProperties": {object(`"allOf":[{"properties":{"a":true}}],"unevaluatedProperties":false`), `{"a":1}`, `{"b":1}`, "b"},
		"unevaluatedItems":      {object(`"properties":{"a":{"prefixItems":[{"type":"string"}],"unevaluatedItems":false}}`), `{"a":["x"]}`, `{"a":["x",1]}`, "a[1]"},
		"prefixItems":           {object(`"properties":{"a":{"prefixItems":[{"const":1}]}}`), `{"a":[1,2]}`, `{"a":[2]}`, "a[0]"},
		"contains":              {object(`"properties":{"a":{"contains":{"const":1},"minContains":2}}`), `{"a":[1,1]}`, `{"a":[1]}`, "a"},
		"dependentRequired":     {object(`"dependentRequired":{"a":["b"]}`), `{"a":1,"b":1}`, `{"a":1}`, ""},
		"dependentSchemas":      {object(`"dependentSchemas":{"a":{"required":["b"]}}`), `{"a":1,"b":1}`, `{"a":1}`, "b"},
		"if then else":          {object(`"if":{"properties":{"k":{"const":1}},"required":["k"]},"then":{"required":["x"]},"else":{"required":["y"]}`), `{"k":1,"x":1}`, `{"k":1,"y":1}`, "x"},
		"not":                   {object(`"properties":{"a":{"not":{"type":"string"}}}`), `{"a":1}`, `{"a":"x"}`, "a"},
		"oneOf":                 {object(`"properties":{"a":{"oneOf":[{"multipleOf":2},{"multipleOf":3}]}}`), `{"a":2}`, `{"a":6}`, "a"},
		"propertyNames":         {object(`"propertyNames":{"maxLength":2}`), `{"ab":1}`, `{"abc":1}`, ""},
		"patternProperties":     {object(`"patternProperties":{"^n":{"type":"number"}}`), `{"n1":1}`, `{"n1":"x"}`, "n1"},
		"additionalProperties":  {object(`"properties":{"a":true},"additionalProperties":false`), `{"a":1}`, `{"a":1,"c":1}`, "c"},
		"uniqueItems":           {object(`"properties":{"a":{"uniqueItems":true}}`), `{"a":[1,2]}`, `{"a":[1,1.0]}`, "a"},
		"enum":                  {object(`"properties":{"a":{"enum":["x",null]}}`), `{"a":null}`, `{"a":"y"}`, "a"},
		"lengths in characters": {object(`"properties":{"a":{"maxLength":2}}`), `{"a":"日本"}`, `{"a":"日本語"}`, "a"},
		"large whole numbers":   {object(`"properties":{"a":{"type":"integer","maximum":9007199254740993}}`), `{"a":9007199254740993}`, `{"a":9007199254740994}`, "a"},
		"1.0 is whole":          {object(`"properties":{"a":{"type":"integer"}}`), `{"a":1.0}`, `{"a":1.5}`, "a"},
		"format date-time":      {object(`"properties":{"a":{"format":"date-time"}}`), `{"a":"2026-11-24T10:00:00Z"}`, `{"a":"yesterday"}`, "a"},
		"format e-mail":         {object(`"properties":{"a":{"format":"email"}}`), `{"a":"x@example.com"}`, `{"a":"x"}`, "a"},
		"format uuid":           {object(`"properties":{"a":{"format":"uuid"}}`), `{"a":"3f0e8a52-1c6b-4f7e-9d0a-5b1f2c3d4e5f"}`, `{"a":"3f0e"}`, "a"},
		"pattern":               {object(`"properties":{"a":{"pattern":"^[a-c]+$"}}`), `{"a":"abc"}`, `{"a":"abd"}`, "a"},
		"draft 7":               {`{"$schema":"http://json-schema.org/draft-07/schema#","type":"object","properties":{"a":{"$ref":"#/definitions/n"}},"definitions":{"n":{"type":"integer"}}}`, `{"a":1}`, `{"a":"x"}`, "a"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := tools.CompileSchema(tc.schema)
			if err != nil {
				t.Fatal(err)
			}
			if wrong := s.Check(tc.good); wrong != nil {
				t.Errorf("%s is refused: %+v", tc.good, wrong)
			}
			wrong := s.Check(tc.bad)
			if len(wrong) == 0 {
				t.Fatalf("%s is accepted", tc.bad)
			}
			if wrong[0].Path != tc.path || wrong[0].Message == "" {
				t.Errorf("%s: told %+v, want the path %q", tc.bad, wrong, tc.path)
			}
		})
	}
}

func TestSchemasThatAreRefused(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = w.Write([]byte(`{"type":"string"}`))
	}))
	defer srv.Close()
	for name, schema := range map[string]string{
		"a reference elsewhere":    `{"type":"object","properties":{"a":{"$ref":"` + srv.URL + `/x.json"}}}`,
		"a file":                   `{"type":"object","properties":{"a":{"$ref":"file:///etc/passwd"}}}`,
		"an unknown meta-schema":   `{"$schema":"` + srv.URL + `/meta","type":"object"}`,
		"a reference to nothing":   `{"type":"object","properties":{"a":{"$ref":"#/$defs/none"}}}`,
		"a keyword of wrong type":  `{"type":"object","required":"a"}`,
		"an expression that isn't": `{"type":"object","properties":{"a":{"pattern":"("}}}`,
		"not an object":            `{"type":"array"}`,
		"a number without end":     `{"type":"object","properties":{"a":{"minimum":1e999999999}}}`,
		"not JSON":                 `{"type":"object"`,
		"too long":                 `{"type":"object","description":"` + strings.Repeat("x", 70_000) + `"}`,
	} {
		if _, err := tools.CompileSchema(schema); err == nil {
			t.Errorf("%s: compiled", name)
		} else if strings.Contains(err.Error(), "\n") || len(err.Error()) > 300 {
			t.Errorf("%s: told at length: %v", name, err)
		}
	}
	if asked.Load() != 0 {
		t.Errorf("the schema made %d requests, want none", asked.Load())
	}
}

// TestCostlySchemas: what would take hours is given up in a moment, and the schema works
// for other parameters after.
func TestCostlySchemas(t *testing.T) {
	t.Parallel()
	chain := `{"type":"object","properties":{"a":{"$ref":"#/$defs/d0"}},"$defs":{`
	for i := range 40 {
		chain += fmt.Sprintf(`"d%d":{"anyOf":[{"$ref":"#/$defs/d%d"},{"$ref":"#/$defs/d%d"}]},`, i, i+1, i+1)
	}
	chain += `"d40":{"type":"null"}}}`
	tree := `{"type":"object","properties":{"a":{"allOf":[{"$ref":"#"},{"$ref":"#"}]}},"required":["z"]}`
	deep := strings.Repeat(`{"a":`, 60) + `1` + strings.Repeat(`}`, 60)
	for name, tc := range map[string]struct{ schema, costly, cheap string }{
		"branches at every step":  {chain, `{"a":1}`, `{}`},
		"branches at every level": {tree, deep, `{"z":1}`},
		"a loop in place":         {`{"type":"object","anyOf":[{"$ref":"#"}]}`, `{}`, ``},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := tools.CompileSchema(tc.schema)
			if err != nil {
				return // refused from the beginning is as good
			}
			began := time.Now()
			if wrong := s.Check(tc.costly); len(wrong) == 0 {
				t.Error("accepted")
			}
			if took := time.Since(began); took > 30*time.Second {
				t.Errorf("took %v", took)
			}
			if tc.cheap != "" {
				if wrong := s.Check(tc.cheap); wrong != nil {
					t.Errorf("after it, %s is refused: %+v", tc.cheap, wrong)
				}
			}
		})
	}
}

func TestParametersThatAreNoObject(t *testing.T) {
	t.Parallel()
	s, err := tools.CompileSchema(`{"type":"object"}`)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{`[]`, `"x"`, `1`, `{"a":1,"a":2}`, `{"a":"` + "\xff" + `"}`, `{`, `{} {}`, `{"a":[1e999999999]}`, `{"a":{"b":0.1e-1000000}}`, `{"a":` + strings.Repeat("9", 500) + `}`, strings.Repeat(`{"a":`, 100) + `1` + strings.Repeat(`}`, 100)} {
		if s.Check(bad) == nil {
			t.Errorf("%.40q is accepted", bad)
		}
	}
	for _, good := range []string{``, `null`, ` {} `} {
		if wrong := s.Check(good); wrong != nil {
			t.Errorf("%q: %+v", good, wrong)
		}
	}
}

func TestDetailsSayWhatToMend(t *testing.T) {
	t.Parallel()
	s, err := tools.CompileSchema(`{"type":"object","required":["a","b"],"additionalProperties":false,"properties":{"a":{"type":"string"},"b":{"type":"object","properties":{"list":{"items":{"minimum":3}}}}}}`)
	if err != nil {
		t.Fatal(err)
	}
	got := s.Check(`{"b":{"list":[5,1]},"c":2}`)
	want := map[string]string{"a": "is required", "c": "is not a parameter of this tool", "b.list[1]": "minimum: got 1, want 3"}
	have := map[string]string{}
	for _, d := range got {
		have[d.Path] = d.Message
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("details (-want +got):\n%s", diff)
	}
	many := `{"a":"x","b":{}`
	for i := range 100 {
		many += fmt.Sprintf(`,"x%d":1`, i)
	}
	if got := s.Check(many + "}"); len(got) != 20 {
		t.Errorf("%d details, want 20 of 100", len(got))
	}
}
