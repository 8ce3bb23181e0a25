package server

import (
	"context"
	"errors"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/openaiapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/speech"
)

// openaiSpeech gives the tenant's voice in OpenAI's words. Their clients play what comes
// as it comes, so the text is spoken by sentences.
type openaiSpeech struct{ f *speech.Feature }

func (s openaiSpeech) Speak(ctx context.Context, c httpapi.Call, r openaiapi.SpeechRequest) (ai.Audio, error) {
	audio, err := s.f.Speak(ctx, c, speech.Request{
		Model: r.Model, Text: r.Text, Voice: r.Voice, Format: r.Format, Speed: r.Speed, Streaming: true,
	})
	if e, ok := errors.AsType[*httpapi.Error](err); ok && len(e.Details) == 1 && e.Details[0].Path == "format" {
		e.Details[0].Path = "response_format"
	}
	return audio, err
}
