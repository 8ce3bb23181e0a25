package chatwire

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
)

type said struct {
	Text, Finish   string
	Usage          ai.Usage
	HasUsage       bool
	Final, Refused bool
}

func readFrame(data string) (said, bool) {
	var f frame
	ok := f.read([]byte(data))
	return said{string(f.text), f.finish, f.usage, f.hasUsage, f.final(), f.refused}, ok
}

func TestFrameReadsWhatServersSend(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		in   string
		want said
	}{
		"delta":                 {`{"id":"x","choices":[{"index":0,"delta":{"role":"assistant","content":"Hi"},"finish_reason":null}],"usage":null}`, said{Text: "Hi"}},
		"escapes":               {`{"choices":[{"delta":{"content":"a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00"}}]}`, said{Text: "a\"\\/\b\f\n\r\té\xed\xa0\xbd\xed\xb8\x80"}},
		"null content":          {`{"choices":[{"delta":{"content":null}}]}`, said{}},
		"bare number":           {`{"choices":[{"delta":{"content":42}}]}`, said{Text: "42"}},
		"bare boolean":          {`{"choices":[{"delta":{"content":true}}]}`, said{Text: "true"}},
		"text parts":            {`{"choices":[{"message":{"content":[{"type":"text","text":"a"},{"type":"image"},{"text":"b"}]}}]}`, said{Text: "ab"}},
		"reasoning is no text":  {`{"choices":[{"delta":{"reasoning_content":"hm","reasoning":"hm","content":"x"}}]}`, said{Text: "x"}},
		"another choice":        {`{"choices":[{"index":1,"delta":{"content":"no"},"finish_reason":"stop"},{"index":0,"delta":{"content":"yes"}}]}`, said{Text: "yes"}},
		"finish":                {`{"choices":[{"delta":{},"finish_reason":"length"}]}`, said{Finish: "length"}},
		"unknown finish":        {`{"choices":[{"delta":{},"finish_reason":"key sk-1"}]}`, said{Finish: "other"}},
		"usage alone is final":  {`{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}`, said{Usage: ai.Usage{In: 3, Out: 4}, HasUsage: true, Final: true}},
		"usage beside a delta":  {`{"choices":[{"delta":{"content":""}}],"usage":{"prompt_tokens":3,"completion_tokens":0}}`, said{Usage: ai.Usage{In: 3}, HasUsage: true}},
		"half a usage":          {`{"choices":[],"usage":{"prompt_tokens":3}}`, said{}},
		"absurd usage":          {`{"choices":[],"usage":{"prompt_tokens":-1,"completion_tokens":1e300}}`, said{}},
		"huge usage":            {`{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1e300}}`, said{Usage: ai.Usage{In: 1, Out: 1<<31 - 1}, HasUsage: true, Final: true}},
		"native":                {`{"response":"tok","p":"abcdefghij"}`, said{Text: "tok"}},
		"native number":         {`{"response":7}`, said{Text: "7"}},
		"native end":            {`{"response":"","usage":{"prompt_tokens":1,"completion_tokens":2}}`, said{Usage: ai.Usage{In: 1, Out: 2}, HasUsage: true, Final: true}},
		"native envelope":       {`{"result":{"response":"x","usage":{"prompt_tokens":1,"completion_tokens":2}},"success":true,"errors":[],"messages":[]}`, said{Text: "x", Usage: ai.Usage{In: 1, Out: 2}, HasUsage: true}},
		"OpenAI in an envelope": {`{"result":{"response":null,"choices":[{"message":{"content":"x"},"finish_reason":"stop"}]},"success":true}`, said{Text: "x", Finish: "stop"}},
		"error object":          {`{"error":{"message":"m"}}`, said{Refused: true}},
		"error null":            {`{"error":null,"errors":[],"choices":[{"delta":{"content":"x"}}]}`, said{Text: "x"}},
		"error text":            {`{"error":"m"}`, said{Refused: true}},
		"error list":            {`{"success":false,"error":[{"code":1}]}`, said{Refused: true}},
		"older vLLM":            {`{"object":"error","message":"m"}`, said{Refused: true}},
		"null choices":          {`{"choices":null}`, said{}},
		"choices of nonsense":   {`{"choices":[1,null,"x",[]]}`, said{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, ok := readFrame(c.in)
			if !ok {
				t.Fatal("the frame was refused")
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// FuzzFrame: what encoding/json takes for an object is one here, and nothing else.
func FuzzFrame(f *testing.F) {
	for _, seed := range []string{
		`{"choices":[{"delta":{"content":"a\u00e9"},"index":0}]}`, `{"a":[1,2.5e-3,-0,true,null,{}],"b":{}}`,
		`{"usage":{"prompt_tokens":1,"completion_tokens":"2"}}`, `{} `, `{"a":1}x`, `{"a" 1}`, `{"a":01}`, `{,}`, `{"a":[1,]}`,
		`{"error":[{"x":nul}]}`, `{"choices":[{"delta":{"content":"\ud800"}}]}`, `{"response":tru}`, "{\"a\":\"\x01\"}", `{"a":1}}`, `{"a":-}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		_, got := readFrame(in)
		trimmed := strings.TrimLeft(in, " \t\r\n")
		want := json.Valid([]byte(in)) && strings.HasPrefix(trimmed, "{")
		if got != want && (!want || depth(in) <= maxDepth) {
			t.Fatalf("read %q: %v, and encoding/json says %v", in, got, want)
		}
	})
}

// depth is at least the nesting.
func depth(in string) int { return strings.Count(in, "[") + strings.Count(in, "{") }

func TestFrameRefusesDeepNesting(t *testing.T) {
	t.Parallel()
	deep := `{"a":` + strings.Repeat("[", 1<<20) + strings.Repeat("]", 1<<20) + `}`
	if _, ok := readFrame(deep); ok {
		t.Error("a frame nested a million deep was read")
	}
}

// FuzzJoiner: however a text is cut into deltas, the same text comes out, and no
// delta splits a code point.
func FuzzJoiner(f *testing.F) {
	f.Add("Grüße, 世界 😀!", 1)
	f.Add("😀😀", 3)
	f.Add("\xff\xe4\xb8", 2)
	f.Fuzz(func(t *testing.T, in string, n int) {
		n = 1 + (n&0xFFFF)%7
		var j joiner
		var out strings.Builder
		for rest := []byte(in); len(rest) > 0; {
			cut := min(n, len(rest))
			part := j.add(rest[:cut])
			if !utf8.ValidString(part) {
				t.Fatalf("the delta %q isn't UTF-8", part)
			}
			out.WriteString(part)
			rest = rest[cut:]
		}
		out.WriteString(j.flush())
		if !utf8.ValidString(out.String()) {
			t.Fatalf("%q isn't UTF-8", out.String())
		}
		if utf8.ValidString(in) && out.String() != in {
			t.Fatalf("%q became %q", in, out.String())
		}
	})
}

func TestJoinerPairsSurrogatesOverDeltas(t *testing.T) {
	t.Parallel()
	for _, deltas := range [][]string{{`\ud83d`, `\ude00`}, {`x\ud83d`, `\ude00y`}, {`\ud83d\ude00`}, {`\ud83d`, ``, `\ude00`}, {`\ud83d`, `z`}, {`\ude00`}, {`\ud83d`}, {`\ud83d`, `\ud83d`, `\ude00`}} {
		var j joiner
		got := ""
		for _, d := range deltas {
			got += j.add(unescape(nil, []byte(d)))
		}
		got += j.flush()
		var want string
		if err := json.Unmarshal([]byte(`"`+strings.Join(deltas, "")+`"`), &want); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%q: %q, want %q", deltas, got, want)
		}
	}
}
