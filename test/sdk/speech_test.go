package sdk_test

import (
	"context"
	"errors"
	"io"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/openai/openai-go/v3"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
	driver "github.com/crispy-enigma/crispy-enigma/runtime/ai/openai"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/openaiapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// speaker reads out what it is asked to, with nothing between.
type speaker struct{ upstream ai.Speaker }

func (s speaker) Speak(ctx context.Context, c httpapi.Call, r openaiapi.SpeechRequest) (ai.Audio, error) {
	return s.upstream.Speak(ctx, c.Tenant.ID, ai.SpeakRequest{Model: r.Model, Text: r.Text, Voice: r.Voice, Format: r.Format, Speed: r.Speed})
}

// serveSpeech is the API with a voice.
func serveSpeech(t *testing.T) string {
	t.Helper()
	cfg := document(upstream(t, aifake.New(t)))
	tenant, err := tenancy.NewTenant(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := tenancy.NewDirectory(tenant)
	if err != nil {
		t.Fatal(err)
	}
	up, err := driver.New(driver.Options{BaseURL: cfg.Upstream.BaseURL})
	if err != nil {
		t.Fatal(err)
	}
	door := httpapi.NewDoor(dir, httpapi.Options{})
	openaiapi.New(openaiapi.Needs{Speaker: speaker{up}}).Mount(door)
	s := httptest.NewServer(door)
	t.Cleanup(s.Close)
	return s.URL + "/v1/"
}

func TestGoSpeech(t *testing.T) {
	t.Parallel()
	speech := openai.AudioSpeechNewParams{Model: "tts", Input: "Hello", Voice: openai.AudioSpeechNewParamsVoiceUnion{OfString: openai.String("ann")}}
	c := client(serveSpeech(t))
	res, err := c.Audio.Speech.New(t.Context(), speech)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if got, err := io.ReadAll(res.Body); err != nil || !slices.Equal(got, mp3) || res.Header.Get("Content-Type") != "audio/mpeg" {
		t.Errorf("%d bytes of %s, %v", len(got), res.Header.Get("Content-Type"), err)
	}
	c = client(serve(t, nil))
	_, err = c.Audio.Speech.New(t.Context(), speech)
	if e, ok := errors.AsType[*openai.Error](err); !ok || e.StatusCode != 403 || e.Code != "tts_not_enabled" {
		t.Errorf("a tenant without speech: %v", err)
	}
}
