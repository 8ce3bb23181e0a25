package httpapi_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
)

type inner struct {
	Tags []struct {
		Name string `json:"name"`
	} `json:"tags"`
}

type embedded struct {
	TopK int `json:"topK"`
}

type body struct {
	SessionID string            `json:"sessionId"`
	Message   string            `json:"message"`
	Stream    *bool             `json:"stream"`
	Filter    *inner            `json:"filter"`
	Meta      map[string]string `json:"meta"`
	Any       any               `json:"any"`
	Plain     int
	Hidden    string `json:"-"`
	Next      *body  `json:"next"`
	embedded
}

var bodyType = reflect.TypeFor[body]()

func TestStrictJSON(t *testing.T) {
	nested := func(n int) string { return `{"any":` + strings.Repeat("[", n-1) + strings.Repeat("]", n-1) + `}` }
	many := func(last string) string {
		var b strings.Builder
		b.WriteString(`{"meta":{`)
		for i := range 500 {
			b.WriteString(`"k` + strings.Repeat("x", i) + `":"",`)
		}
		return b.String() + `"` + last + `":""}}`
	}
	const fine = ""
	for in, want := range map[string]string{
		`{}`: fine, ` { "message" : "hä" , "stream" : true } ` + "\r\n\t": fine,
		`{"meta":{"a":"","A":""}}`:                   fine,
		`{"unknown":1,"UNKNOWN":2}`:                  fine,
		`{"any":{"message":1,"Message":2}}`:          fine,
		`{"message":"\ud83d\ude00 \u00e4 \/"}`:       fine,
		`{"any":[-0,1.5e+9,0.1E-2,true,false,null]}`: fine,
		`{"hidden":"x","HIDDEN":""}`:                 fine,
		nested(64):                                   fine,
		many("other"):                                fine,

		nested(65):                           "deeper than 64",
		strings.Repeat(`{"next":`, 100_000):  "deeper than 64",
		strings.Repeat(`[`, 1_000_000):       "deeper than 64",
		many("kxx"):                          "twice",
		``:                                   "it is empty",
		` `:                                  "it is empty",
		`{`:                                  "key was expected",
		`{"message"`:                         "colon",
		`{"message":`:                        "ends too early",
		`{"message":"x"`:                     "comma",
		`{"message":"x",}`:                   "key was expected",
		`{"message":"x"}}`:                   "after the JSON value",
		`{"message":"x"} {"message":"y"}`:    "after the JSON value",
		`{"message":"x","message":"y"}`:      "twice",
		`{"message":"x","mess\u0061ge":"y"}`: "twice",
		`{"any":{"a":{"b":1,"b":2}}}`:        "twice",
		`{"any":[{"a":1,"a":1}]}`:            "twice",
		`{"Message":"x"}`:                    `write "message"`,
		`{"SESSIONID":"x"}`:                  `write "sessionId"`,
		`{"ſessionId":"x"}`:                  `write "sessionId"`,
		`{"sess\u0049onId":"x"}`:             `write "sessionId"`,
		`{"filter":{"Tags":[]}}`:             `write "tags"`,
		`{"filter":{"tags":[{"NAME":""}]}}`:  `write "name"`,
		`{"next":{"next":{"STREAM":true}}}`:  `write "stream"`,
		`{"topk":1}`:                         `write "topK"`,
		`{"plain":1}`:                        `write "Plain"`,
		"{\"message\":\"\xff\"}":             "UTF-8",
		"{\"\xc3\":1}":                       "UTF-8",
		"{\"message\":\"\xed\xa0\x80\"}":     "UTF-8",
		`{"message":"\ud83d"}`:               "surrogate",
		`{"message":"\ude00\ud83d"}`:         "surrogate",
		`{"message":"\ud83dx"}`:              "surrogate",
		"{\"message\":\"a\nb\"}":             "control character",
		`{"message":"\x"}`:                   "escape",
		`{"message":"\u12"}`:                 "hexadecimal",
		`{"message":"`:                       "doesn't end",
		`{"message":"\`:                      "doesn't end",
		`{"any":01}`:                         "comma",
		`{"any":-}`:                          "number",
		`{"any":1.}`:                         "number",
		`{"any":1e}`:                         "number",
		`{"any":+1}`:                         "value was expected",
		`{"any":NaN}`:                        "value was expected",
		`{"any":nul}`:                        "value was expected",
		`{any:1}`:                            "key was expected",
		`[1 2]`:                              "comma",
		"\ufeff{}":                           "value was expected",
		"{}\x00":                             "after the JSON value",
	} {
		err := httpapi.CheckShape([]byte(in), bodyType)
		short := in[:min(len(in), 60)]
		switch {
		case want == fine && err != nil:
			t.Errorf("%q is refused: %v", short, err)
		case want != fine && err == nil:
			t.Errorf("%q is accepted", short)
		case want != fine && !strings.Contains(whole(err), want):
			t.Errorf("%q: %q doesn't say %q", short, whole(err), want)
		}
	}
}

func whole(err error) string {
	var e *httpapi.Error
	if !errors.As(err, &e) {
		return err.Error()
	}
	text := e.Message
	for _, d := range e.Details {
		text += " " + d.Path + ": " + d.Message
	}
	return text
}

// reference judges a body slowly, with encoding/json's own tokens.
func reference(b []byte) error {
	if !json.Valid(b) {
		return errors.New("not JSON")
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	type object struct {
		keys  map[string]bool
		isKey bool
	}
	var open []*object
	for {
		tok, err := dec.Token()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		var top *object
		if len(open) > 0 {
			top = open[len(open)-1]
		}
		if top != nil && top.keys != nil && top.isKey {
			if key, ok := tok.(string); ok {
				if top.keys[key] {
					return errors.New("duplicate")
				}
				top.keys[key], top.isKey = true, false
				continue
			}
		}
		if top != nil {
			top.isKey = true
		}
		switch tok {
		case json.Delim('{'):
			open = append(open, &object{keys: map[string]bool{}, isKey: true})
		case json.Delim('['):
			open = append(open, &object{})
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
		}
		if len(open) > 64 {
			return errors.New("too deep")
		}
	}
}

// What the scanner accepts is what the reference accepts, but for text that
// encoding/json would silently replace.
func FuzzStrictJSON(f *testing.F) {
	for _, s := range []string{`{"a":[1,{"b":"\u00e4"}],"a":2}`, `{"message":"x"}`, `[[[]]]`, `"\ud83d\ude00"`, `"\ud83d"`, "\"\xff\"", `-0.1e+5`, `{"a":{},"\u0061":1}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, want := httpapi.CheckShape(b, reflect.TypeFor[any]()), reference(b)
		if got == nil && want != nil {
			t.Fatalf("%q is accepted, but %v", b, want)
		}
		replaced := !utf8.Valid(b) || bytes.Contains(bytes.ToLower(b), []byte(`\ud`))
		if got != nil && want == nil && !replaced {
			t.Fatalf("%q is refused: %v", b, whole(got))
		}
	})
}

// A decoded request never holds what a strictly read body doesn't say: decoding the
// parsed value again by exact names gives the same.
func FuzzNoAliases(f *testing.F) {
	f.Add([]byte(`{"message":"x","Message":"y"}`))
	f.Add([]byte(`{"me\u0053sage":"x","sessionId":"1","meta":{"A":"a","a":"b"}}`))
	decode := httpapi.BodyDecoder(bodyType)
	f.Fuzz(func(t *testing.T, b []byte) {
		var got body
		if err := decode(b, &got); err != nil {
			return
		}
		var exact map[string]any
		if err := json.Unmarshal(b, &exact); err != nil {
			t.Fatal(err)
		}
		message, _ := exact["message"].(string)
		session, _ := exact["sessionId"].(string)
		if got.Message != message || got.SessionID != session || got.Hidden != "" {
			t.Fatalf("%q decodes to %+v", b, got)
		}
	})
}

func TestDecodeNamesTheField(t *testing.T) {
	decode := httpapi.BodyDecoder(bodyType)
	for in, want := range map[string]string{
		`{"message":5}`:                     "message: must be a string",
		`{"stream":"yes"}`:                  "stream: must be true or false",
		`{"filter":{"tags":[{"name":[]}]}}`: "filter.tags.name: must be a string",
		`{"topK":1.5}`:                      "topK: must be a whole number in range",
		`{"topK":99999999999999999999}`:     "topK: must be a whole number in range",
		`{"any":1e999}`:                     "any: must be a number in range",
		`{"meta":[]}`:                       "meta: must be an object",
		`null`:                              "must be a JSON object",
		`[]`:                                "must be a JSON object",
		`"x"`:                               "must be a JSON object",
	} {
		var req body
		if err := decode([]byte(in), &req); err == nil || !strings.Contains(whole(err), want) {
			t.Errorf("%s: %v doesn't say %q", in, err, want)
		}
	}
}

func chatBody() []byte {
	return []byte(`{"sessionId":"0b0f3c5e-9f5a-4d2e-8b53-6b1f0a3c9d11","message":"` + strings.Repeat("How do I get a refund? ", 9) + `","stream":true}`)
}

func BenchmarkDecodeChat(b *testing.B) {
	in := chatBody()
	decode := httpapi.BodyDecoder(bodyType)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		var req body
		if err := decode(in, &req); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCheckJSON(b *testing.B) {
	in := chatBody()
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		if err := httpapi.CheckShape(in, reflect.TypeFor[any]()); err != nil {
			b.Fatal(err)
		}
	}
}
