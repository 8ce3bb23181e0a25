package fakecloudflare_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/hack/fakecloudflare"
)

func TestShapesOfStreams(t *testing.T) {
	t.Parallel()
	f := start(t, fakecloudflare.Options{})
	g := gateway(f, "g")
	events := func(path string, body map[string]any) (string, []string) {
		r := f.call("POST", path, body)
		if r.status != 200 {
			t.Fatalf("answered %d %s", r.status, r.raw)
		}
		return r.header.Get("Content-Type"), strings.Split(strings.TrimSpace(r.raw), "\n\n")
	}
	kind, got := events(g+viaChat, chat("a b", "stream", true, "stream_options", map[string]bool{"include_usage": true}))
	if kind != "text/event-stream" || len(got) != 4+1+1+1 || !strings.Contains(got[5], `"choices":[]`) || got[6] != "data: [DONE]" {
		t.Errorf("OpenAI's: %s %q", kind, got)
	}
	native := map[string]any{"messages": chat("a b")["messages"], "stream": true}
	if _, got = events("~/ai/run/"+llama, native); !strings.HasPrefix(got[0], `data: {"p":"a","response":"You "}`) || !strings.Contains(got[4], `"usage"`) || got[5] != "data: [DONE]" {
		t.Errorf("native: %q", got)
	}
	if _, got = events("~/ai/run/@cf/zai-org/glm-4.7-flash", native); !strings.Contains(got[0], "chat.completion.chunk") {
		t.Errorf("a newer model: %q", got)
	}
	if kind, got = events("~/ai/run/@cf/openai/gpt-oss-20b", native); kind != "application/json" || !strings.Contains(got[0], `"result":{"choices"`) {
		t.Errorf("a model that doesn't stream: %s %q", kind, got)
	}
	delete(native, "stream")
	if _, got = events("~/ai/run/"+llama, native); !strings.Contains(got[0], `"result":{"response":"You said: a b"`) {
		t.Errorf("native, whole: %q", got)
	}
	if _, got = events("~/ai/run", map[string]any{"model": llama, "input": native}); !strings.Contains(got[0], `"response":"You said: a b"`) {
		t.Errorf("the door without a model: %q", got)
	}
	f.s.AnswerChats(func(fakecloudflare.ChatCall) fakecloudflare.Reply {
		return fakecloudflare.Reply{Tokens: []string{"x"}, Reasoning: []string{"hm"}, ToolCalls: []json.RawMessage{json.RawMessage(`{"id":"c"}`)}, WithoutDone: true}
	})
	if _, got = events(g+viaChat, chat("a", "stream", true)); !strings.Contains(got[0], `"reasoning_content":"hm"`) || !strings.Contains(got[2], `"tool_calls":[{"id":"c"}]`) || strings.Contains(got[len(got)-1], "DONE") {
		t.Errorf("tools: %q", got)
	}
	f.s.AnswerChats(func(fakecloudflare.ChatCall) fakecloudflare.Reply {
		return fakecloudflare.Reply{Status: http.StatusTooManyRequests, Code: 3040}
	})
	f.want(429, 3040, "POST", "~/ai/run/"+llama, native)
}

func TestSlowAndCutStreams(t *testing.T) {
	t.Parallel()
	f := start(t, fakecloudflare.Options{})
	g := gateway(f, "g")
	gate := make(chan struct{})
	f.s.AnswerChats(func(fakecloudflare.ChatCall) fakecloudflare.Reply {
		return fakecloudflare.Reply{Tokens: []string{"a", "b", "c"}, Gate: gate, CutAfter: 2}
	})
	resp, err := f.send("POST", g+viaChat, chat("x", "stream", true))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	// The headers are there while the model hasn't said a word.
	gate <- struct{}{}
	gate <- struct{}{}
	text, err := io.ReadAll(resp.Body)
	if err == nil || strings.Count(string(text), "data:") != 2 {
		t.Errorf("the stream ended with %v after %q", err, text)
	}
}

func TestEmbeddingsRerankAndSpeech(t *testing.T) {
	t.Parallel()
	f := start(t, fakecloudflare.Options{})
	g := gateway(f, "g")
	a, b, c := fakecloudflare.Embed("the red house", 1024), fakecloudflare.Embed("a red house here", 1024), fakecloudflare.Embed("quarterly tax report", 1024)
	dot := func(x, y []float32) (s float32) {
		for i := range x {
			s += x[i] * y[i]
		}
		return s
	}
	if dot(a, a) < 0.999 || dot(a, b) < 0.4 || dot(a, c) > 0.2 {
		t.Errorf("likenesses are %v, %v, %v", dot(a, a), dot(a, b), dot(a, c))
	}
	var open struct {
		Data []struct{ Embedding []float32 }
	}
	r := f.call("POST", g+"/workers-ai/v1/embeddings", map[string]any{"model": "@cf/baai/bge-m3", "input": []string{"the red house", "x"}})
	if err := json.Unmarshal([]byte(r.raw), &open); err != nil || len(open.Data) != 2 {
		t.Fatalf("answered %d %.200s", r.status, r.raw)
	}
	if diff := cmp.Diff(a, open.Data[0].Embedding); diff != "" {
		t.Error("the answer's vector is another than Embed's")
	}
	r = f.want(200, 0, "POST", "~/ai/run/@cf/baai/bge-base-en-v1.5", map[string]any{"text": []string{"x", "y"}})
	if !strings.Contains(r.raw, `"shape":[2,768]`) {
		t.Errorf("native: %.200s", r.raw)
	}
	f.want(400, 5004, "POST", "~/ai/run/@cf/baai/bge-m3", map[string]any{"text": slices.Repeat([]string{"x"}, 101)})
	if r = f.call("POST", g+"/workers-ai/v1/embeddings", map[string]any{"model": llama, "input": "x"}); r.status != 400 {
		t.Errorf("a chat model makes embeddings: %d", r.status)
	}
	r = f.call("POST", g+"/workers-ai/@cf/baai/bge-reranker-base", map[string]any{"query": "red house", "contexts": []any{map[string]string{"text": "tax"}, map[string]string{"text": "the red house"}}, "top_k": 1})
	if !strings.Contains(r.raw, `"response":[{"id":1,`) {
		t.Errorf("reranked: %d %s", r.status, r.raw)
	}
	r = f.call("POST", "~/ai/run/@cf/deepgram/aura-1", map[string]any{"text": "good morning"})
	if r.header.Get("Content-Type") != "audio/mpeg" || len(r.raw) < 2*417 {
		t.Errorf("spoke %d bytes of %s", len(r.raw), r.header.Get("Content-Type"))
	}
	heard := f.want(200, 0, "POST", "~/ai/run/@cf/openai/whisper-large-v3-turbo", map[string]any{"audio": base64.StdEncoding.EncodeToString([]byte(r.raw))})
	if got := heard.field(t, "text"); got != "good morning" {
		t.Errorf("heard %q", got)
	}
	if r = f.want(200, 0, "POST", "~/ai/run/@cf/myshell-ai/melotts", map[string]any{"prompt": "hello"}); r.field(t, "audio") == "" {
		t.Error("melotts was silent")
	}
	f.want(404, 3042, "POST", "~/ai/run/@cf/meta/llama-3.1-8b-instruct", map[string]any{"prompt": "x"})
	f.want(400, 5007, "POST", "~/ai/run/@cf/no/model", map[string]any{"prompt": "x"})
	if got := ids(t, f.want(200, 0, "GET", "~/ai/models/search?search=bge-m3", nil), "name"); !slices.Equal(got, []string{"@cf/baai/bge-m3"}) {
		t.Errorf("found %v", got)
	}
}
