package openaiapi

import (
	"context"
	"net/http"
	"strconv"
	"unicode/utf8"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
)

// maxSpeechChars is OpenAI's bound.
const maxSpeechChars = 4096

// speechRequest is the body of POST /v1/audio/speech.
type speechRequest struct {
	Model          string   `json:"model"`
	Input          string   `json:"input"`
	Voice          string   `json:"voice"`
	ResponseFormat string   `json:"response_format"`
	Speed          *float64 `json:"speed"`
	StreamFormat   string   `json:"stream_format"`
}

// Validate checks what needs no tenant.
func (r *speechRequest) Validate() []httpapi.Detail {
	var w wrongs
	chars := utf8.RuneCountInString(r.Input)
	w.add(chars == 0 || chars > maxSpeechChars, "input", "must have 1 to "+strconv.Itoa(maxSpeechChars)+" characters")
	w.add(len(r.Model) > maxModelChars, "model", "is too long")
	w.add(ai.ContentTypeOf(r.ResponseFormat) == "", "response_format", "must be mp3, wav or opus")
	w.add(r.Speed != nil && (*r.Speed < 0.25 || *r.Speed > 4), "speed", "must be from 0.25 to 4")
	w.add(r.StreamFormat != "" && r.StreamFormat != "audio", "stream_format", "must be audio: events aren't made")
	return w
}

// speech answers POST /v1/audio/speech with bytes as they are made.
func (f *Feature) speech(ctx context.Context, c httpapi.Call, r speechRequest) (httpapi.Answer, error) {
	if f.Speaker == nil {
		return httpapi.Answer{}, &httpapi.Error{
			Status: http.StatusForbidden, Code: "tts_not_enabled", Message: "speech isn't enabled for this tenant",
		}
	}
	req := SpeechRequest{Model: r.Model, Text: r.Input, Voice: r.Voice, Format: r.ResponseFormat, Speed: 1}
	if r.Speed != nil {
		req.Speed = *r.Speed
	}
	audio, err := f.Speaker.Speak(ctx, c, req)
	if err != nil {
		return httpapi.Answer{}, err
	}
	return httpapi.Answer{Body: &httpapi.Body{ContentType: audio.ContentType, Length: -1, Reader: audio}}, nil
}
