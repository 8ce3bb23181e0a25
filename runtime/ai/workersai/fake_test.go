package workersai_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/crispy-enigma/crispy-enigma/hack/fakecloudflare"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aitest"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/workersai"
)

// cloudflare is the strict double. What breaks Cloudflare's document fails the test.
type cloudflare struct {
	*fakecloudflare.Server
	headers []http.Header
}

// onCloudflare gives a driver over the double, through a gateway or not.
func onCloudflare(t *testing.T, gateway string) (workersai.Driver, *cloudflare) {
	t.Helper()
	s, err := fakecloudflare.New(fakecloudflare.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := &cloudflare{Server: s}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.headers = append(c.headers, r.Header.Clone())
		s.ServeHTTP(w, r)
	}))
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		srv.Close()
		s.Close()
		for _, v := range s.Violations() {
			t.Errorf("%s broke Cloudflare's document: %s", v.Operation, v.Problem)
		}
	})
	d, err := workersai.New(workersai.Options{
		AccountID: fakecloudflare.DefaultAccount, GatewayID: gateway, BaseURL: srv.URL, Environment: "production", Transport: transport,
		Credential: func() string { return s.RootToken(fakecloudflare.DefaultAccount) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return d, c
}

// both runs a test directly and through the gateway that makes itself.
func both(t *testing.T, test func(t *testing.T, d workersai.Driver, c *cloudflare)) {
	t.Helper()
	for name, gateway := range map[string]string{"direct": "", "gateway": "default"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, c := onCloudflare(t, gateway)
			test(t, d, c)
			for _, h := range c.headers {
				if gateway != "" && (h.Get("Cf-Aig-Cache-Key") == "" || !strings.Contains(h.Get("Cf-Aig-Metadata"), `"tenant":"acme"`)) {
					t.Error("a call through the gateway has no tenant, or no cache key of its own")
				}
			}
		})
	}
}

func TestCloudflareChats(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, d workersai.Driver, _ *cloudflare) {
		// One that answers in Workers AI's way and one that has OpenAI's.
		for _, model := range []string{"@cf/meta/llama-3.1-8b-instruct-fast", "@cf/zai-org/glm-4.7-flash", "@cf/openai/gpt-oss-20b"} {
			req := ask("hello there")
			req.Model, req.MaxTokens = model, 100
			whole, err := d.Complete(t.Context(), aitest.Tenant(t), req)
			if err != nil || whole.Text == "" {
				t.Fatalf("%s: %+v, %v", model, whole, err)
			}
			s, err := d.Stream(t.Context(), aitest.Tenant(t), req)
			if err != nil {
				t.Fatal(err)
			}
			text, _, err := aitest.Collect(s)
			if text != whole.Text || err != nil {
				t.Errorf("%s: %q is streamed, %q was whole, %v", model, text, whole.Text, err)
			}
			_ = s.Close()
		}
	})
}

func TestCloudflareEmbeds(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, d workersai.Driver, c *cloudflare) {
		for model, dimensions := range map[string]int{"@cf/baai/bge-m3": 1024, "@cf/qwen/qwen3-embedding-0.6b": 1024, "@cf/baai/bge-small-en-v1.5": 384} {
			var texts []string
			for i := range 101 {
				texts = append(texts, strings.Repeat("word ", i+1))
			}
			got, err := d.Embed(t.Context(), aitest.Tenant(t), ai.EmbedRequest{Model: model, Texts: texts, Dimensions: dimensions})
			if err != nil || len(got.Vectors) != 101 || got.Usage.In == 0 {
				t.Fatalf("%s: %d vectors, %+v, %v", model, len(got.Vectors), got.Usage, err)
			}
		}
		if n := len(c.headers); n != 2+2+4 {
			t.Errorf("%d calls for 101 texts of two models of 100 and one of 32", n)
		}
		_, err := d.Embed(t.Context(), aitest.Tenant(t), ai.EmbedRequest{Model: "@cf/baai/bge-m3", Texts: []string{"x"}, Dimensions: 768})
		var e *ai.Error
		if !errors.As(err, &e) || e.Kind != ai.KindMalformed || !strings.Contains(err.Error(), "1024") {
			t.Errorf("a model of other dimensions: %v", err)
		}
	})
}

func TestEmbedderConformance(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]aitest.EmbedHarness{"bge": {Model: "@cf/baai/bge-m3", Batch: 100}, "qwen": {Model: "@cf/qwen/qwen3-embedding-0.6b", Batch: 32}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h.New = func(t *testing.T, url string) ai.Embedder {
				transport := &http.Transport{}
				t.Cleanup(transport.CloseIdleConnections)
				return newDriver(t, &aifake.Server{Origin: url}, func(o *workersai.Options) { o.GatewayID, o.Transport = "shared-gw", transport })
			}
			aitest.RunEmbedder(t, h)
		})
	}
}

func TestCloudflareReranks(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, d workersai.Driver, _ *cloudflare) {
		for _, model := range []string{"@cf/baai/bge-reranker-base", "@cf/baai/bge-m3"} {
			req := ai.RerankRequest{Model: model, Query: "red apple", Texts: []string{"blue sky", "red apple pie", "red car"}, TopK: 2}
			got, err := d.Rerank(t.Context(), aitest.Tenant(t), req)
			if err != nil || len(got) != 2 || got[0].Index != 1 || got[1].Index != 2 || got[0].Score <= got[1].Score {
				t.Errorf("%s: %+v, %v", model, got, err)
			}
			req.TopK = 0
			if got, err := d.Rerank(t.Context(), aitest.Tenant(t), req); err != nil || len(got) != 3 {
				t.Errorf("%s: %+v, %v", model, got, err)
			}
		}
	})
}

func TestCloudflareSpeaks(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, d workersai.Driver, _ *cloudflare) {
		for _, req := range []ai.SpeakRequest{
			{Model: "@cf/deepgram/aura-1", Text: "hello world"}, {Model: "@cf/deepgram/aura-2-en", Text: "hello world", Format: ai.FormatMP3},
			{Model: "@cf/myshell-ai/melotts", Text: "hello world", Language: "en"},
		} {
			audio, err := d.Speak(t.Context(), aitest.Tenant(t), req)
			if err != nil {
				t.Fatalf("%s: %v", req.Model, err)
			}
			sound, err := io.ReadAll(audio)
			if err != nil || !bytes.Contains(sound, []byte("hello world")) || audio.ContentType != "audio/mpeg" {
				t.Errorf("%s: %d bytes of %s, %v", req.Model, len(sound), audio.ContentType, err)
			}
			_ = audio.Close()
		}
	})
}

// A model that Cloudflare has withdrawn is told as such, in every kind of call.
func TestWithdrawnModels(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, d workersai.Driver, _ *cloudflare) {
		const gone, never = "@cf/meta/llama-3.1-8b-instruct", "@cf/none/such"
		for name, call := range map[string]func(model string) error{
			"chat": func(m string) error {
				req := ask("hi")
				req.Model = m
				_, err := d.Complete(t.Context(), aitest.Tenant(t), req)
				return err
			},
			"embeddings": func(m string) error {
				_, err := d.Embed(t.Context(), aitest.Tenant(t), ai.EmbedRequest{Model: m, Texts: []string{"x"}})
				return err
			},
			"ranks": func(m string) error {
				_, err := d.Rerank(t.Context(), aitest.Tenant(t), ai.RerankRequest{Model: m, Query: "x", Texts: []string{"x"}})
				return err
			},
			"speech": func(m string) error {
				_, err := d.Speak(t.Context(), aitest.Tenant(t), ai.SpeakRequest{Model: m, Text: "x"})
				return err
			},
		} {
			for _, model := range []string{gone, never} {
				var e *ai.Error
				if err := call(model); !errors.As(err, &e) || e.Kind != ai.KindModelNotFound || !strings.Contains(err.Error(), "withdrawn") {
					t.Errorf("%s of %s: %v", name, model, err)
				}
			}
		}
	})
}

func TestRunRefuses(t *testing.T) {
	t.Parallel()
	d, c := onCloudflare(t, "")
	var calls []error
	for _, model := range []string{"", "..", "@cf/../x", "a//b", "@cf/baai/."} {
		_, err := d.Rerank(t.Context(), aitest.Tenant(t), ai.RerankRequest{Model: model, Query: "x", Texts: []string{"x"}})
		calls = append(calls, err)
	}
	for _, req := range []ai.RerankRequest{{Model: "m", Texts: []string{"x"}}, {Model: "m", Query: "x"}, {Model: "m", Query: "x", Texts: []string{""}}, {Model: "m", Query: "x", Texts: []string{"x"}, TopK: -1}} {
		_, err := d.Rerank(t.Context(), aitest.Tenant(t), req)
		calls = append(calls, err)
	}
	for _, req := range []ai.SpeakRequest{{Model: "@cf/myshell-ai/melotts", Text: "x", Format: ai.FormatWAV}, {Model: "@cf/deepgram/aura-1", Text: " "}, {Model: "@cf/deepgram/aura-1", Text: "x", Format: "flac"}} {
		_, err := d.Speak(t.Context(), aitest.Tenant(t), req)
		calls = append(calls, err)
	}
	for n, err := range calls {
		var e *ai.Error
		if !errors.As(err, &e) || e.Kind != ai.KindBadRequest {
			t.Errorf("call %d: %v", n, err)
		}
	}
	if len(c.headers) != 0 {
		t.Errorf("Cloudflare was asked %d times", len(c.headers))
	}
}

// Answers that a model can't mean.
func TestRunMalformed(t *testing.T) {
	t.Parallel()
	const long = `{"success":true,"result":{"response":`
	for body, want := range map[string]ai.Kind{
		long + `[]}}`:                                              ai.KindMalformed,
		long + `[{"id":9,"score":1}]}}`:                            ai.KindMalformed,
		long + `[{"id":0,"score":1},{"id":0,"score":1}]}}`:         ai.KindMalformed,
		long + `[{"score":1}]}}`:                                   ai.KindMalformed,
		long + `"x"}}`:                                             ai.KindMalformed,
		`{"response":[{"id":0,"score":1}]}`:                        "",
		`{"success":false,"errors":[{"code":3036,"message":"m"}]}`: ai.KindQuota,
		`[]`: ai.KindMalformed,
	} {
		up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, body)
		}))
		transport := &http.Transport{}
		d := newDriver(t, &aifake.Server{Origin: up.URL}, func(o *workersai.Options) { o.Transport = transport })
		_, err := d.Rerank(t.Context(), aitest.Tenant(t), ai.RerankRequest{Model: "m", Query: "q", Texts: []string{"a"}})
		var e *ai.Error
		if (err != nil || want != "") && (!errors.As(err, &e) || e.Kind != want) {
			t.Errorf("%s: %v, want %q", body, err, want)
		}
		audio, err := d.Speak(t.Context(), aitest.Tenant(t), ai.SpeakRequest{Model: "m", Text: "q"})
		if err == nil {
			t.Errorf("%s was taken for %s", body, audio.ContentType)
		}
		transport.CloseIdleConnections()
		up.Close()
	}
}
