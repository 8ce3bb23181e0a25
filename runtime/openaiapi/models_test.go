package openaiapi_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/openaiapi"
)

func TestModelsAreListed(t *testing.T) {
	t.Parallel()
	b := newBed(t, aifake.New(t), with(func(c *tenantconfig.Config) {
		c.Models.Fallbacks = []string{"@cf/meta/llama"}
		c.Documents.Store, c.Documents.Embedding.Model = tenantconfig.DocumentsState, "embed"
	}))
	row := func(id string) string { return `{"id":"` + id + `","object":"model","created":0,"owned_by":"openai"}` }
	want := `{"object":"list","data":[` + row("big") + `,` + row("@cf/meta/llama") + `,` + row("embed") + `]}`
	if got := b.do("GET", "/v1/models", "").body; got != want {
		t.Errorf("list %s", got)
	}
	for path, want := range map[string]string{"big": row("big"), "@cf/meta/llama": row("@cf/meta/llama"), "%40cf%2Fmeta%2Fllama": row("@cf/meta/llama")} {
		if r := b.do("GET", "/v1/models/"+path, ""); r.status != 200 || r.body != want {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
	if r := b.do("GET", "/v1/models/none", ""); r.status != 404 || !strings.Contains(r.body, `"code":"model_not_found"`) {
		t.Errorf("%d %s", r.status, r.body)
	}
	b = newBed(t, aifake.New(t), with(func(c *tenantconfig.Config) { c.Models.Allowed = []string{"big", "other"} }))
	if got := b.do("GET", "/v1/models", "").body; !strings.Contains(got, `"other"`) || strings.Contains(got, "small") {
		t.Errorf("allowed ones: %s", got)
	}
}

// speaker reads out what it is told to.
type speaker struct {
	asked openaiapi.SpeechRequest
	audio io.ReadCloser
	err   error
}

func (s *speaker) Speak(_ context.Context, _ httpapi.Call, r openaiapi.SpeechRequest) (ai.Audio, error) {
	s.asked = r
	return ai.Audio{ContentType: "audio/wav", ReadCloser: s.audio}, s.err
}

func TestSpeech(t *testing.T) {
	t.Parallel()
	const body = `{"model":"tts","input":"Hello","voice":"ann","response_format":"wav","speed":1.5}`
	b := newBed(t, aifake.New(t))
	if r := b.post("/v1/audio/speech", body); r.status != 403 || !strings.Contains(r.body, `"code":"tts_not_enabled"`) {
		t.Errorf("%d %s", r.status, r.body)
	}
	s := &speaker{audio: io.NopCloser(strings.NewReader("RIFF…"))}
	b = newBed(t, aifake.New(t), func(_ *tenantconfig.Config, n *openaiapi.Needs) { n.Speaker = s })
	if r := b.ok("/v1/audio/speech", body); r.body != "RIFF…" || r.header.Get("Content-Type") != "audio/wav" {
		t.Errorf("%v %q", r.header, r.body)
	}
	if diff := cmp.Diff(openaiapi.SpeechRequest{Model: "tts", Text: "Hello", Voice: "ann", Format: "wav", Speed: 1.5}, s.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	s.err = &ai.Error{Kind: ai.KindUnavailable, Err: errors.New("down")}
	if r := b.post("/v1/audio/speech", body); r.status != 502 || !strings.Contains(r.body, `"type":"server_error"`) {
		t.Errorf("%d %s", r.status, r.body)
	}
	for body, param := range map[string]string{
		`{}`: "input", `{"input":"` + strings.Repeat("ü", 4097) + `"}`: "input", `{"input":"x","response_format":"flac"}`: "response_format",
		`{"input":"x","speed":5}`: "speed", `{"input":"x","stream_format":"sse"}`: "stream_format", `{"input":"x","voice":{"id":"v"}}`: "voice",
	} {
		if got := paramOf(t, b.post("/v1/audio/speech", body)); got != param {
			t.Errorf("%s: %q, want %q", body[:min(60, len(body))], got, param)
		}
	}
}
