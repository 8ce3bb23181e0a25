package openai_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aitest"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/openai"
)

func at(t *testing.T, url string) openai.Driver {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	d, err := openai.New(openai.Options{BaseURL: url, Credential: func() string { return aitest.Canary }, Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestEmbedderConformance(t *testing.T) {
	t.Parallel()
	aitest.RunEmbedder(t, aitest.EmbedHarness{Model: "nomic-embed-text", Batch: 100, New: func(t *testing.T, url string) ai.Embedder { return at(t, url) }})
}

func TestSpeech(t *testing.T) {
	t.Parallel()
	var body, path string
	contentType := "audio/mpeg"
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		body, path = string(b), r.URL.Path
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write([]byte("sound"))
	}))
	t.Cleanup(srv.Close)
	d := at(t, srv.URL+"/v1/")
	audio, err := d.Speak(t.Context(), aitest.Tenant(t), ai.SpeakRequest{Model: "tts-1", Text: "Hello <b>", Format: ai.FormatOpus})
	if err != nil {
		t.Fatal(err)
	}
	sound, err := io.ReadAll(audio)
	if string(sound) != "sound" || err != nil || audio.ContentType != "audio/ogg" || audio.Close() != nil {
		t.Errorf("%q of %s, %v", sound, audio.ContentType, err)
	}
	if want := `{"model":"tts-1","input":"Hello <b>","voice":"alloy","response_format":"opus"}`; body != want || path != "/v1/audio/speech" {
		t.Errorf("%s got %s", path, body)
	}
	contentType = "text/html"
	for name, c := range map[string]struct {
		req  ai.SpeakRequest
		want ai.Kind
	}{
		"a web page":     {ai.SpeakRequest{Model: "m", Text: "x"}, ai.KindMalformed},
		"no text":        {ai.SpeakRequest{Model: "m"}, ai.KindBadRequest},
		"no model":       {ai.SpeakRequest{Text: "x"}, ai.KindBadRequest},
		"another format": {ai.SpeakRequest{Model: "m", Text: "x", Format: "flac"}, ai.KindBadRequest},
	} {
		var e *ai.Error
		if _, err := d.Speak(t.Context(), aitest.Tenant(t), c.req); !errors.As(err, &e) || e.Kind != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}
