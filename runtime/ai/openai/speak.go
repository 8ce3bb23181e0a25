package openai

import (
	"context"
	"errors"
	"strings"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/chatwire"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

type speechBody struct {
	Model  string  `json:"model"`
	Input  string  `json:"input"`
	Voice  string  `json:"voice"`
	Format string  `json:"response_format"`
	Speed  float64 `json:"speed,omitempty"`
}

// Speak implements ai.Speaker. Servers want a voice; theirs are told apart by name
// alone, so one that isn't named is OpenAI's first.
func (d Driver) Speak(ctx context.Context, t tenancy.ID, req ai.SpeakRequest) (ai.Audio, error) {
	body := speechBody{Model: req.Model, Input: req.Text, Voice: req.Voice, Format: req.Format}
	if req.Speed != 1 {
		body.Speed = req.Speed
	}
	if body.Voice == "" {
		body.Voice = "alloy"
	}
	if body.Format == "" {
		body.Format = ai.FormatMP3
	}
	contentType := ai.ContentTypeOf(req.Format)
	switch {
	case req.Model == "" || req.Text == "":
		return ai.Audio{}, &ai.Error{Kind: ai.KindBadRequest, Err: errors.New("speech needs a model and a text")}
	case contentType == "":
		return ai.Audio{}, &ai.Error{Kind: ai.KindBadRequest, Err: ai.ErrFormat}
	}
	reply, err := d.Post(ctx, t, chatwire.Post{URL: d.base + "/audio/speech", Model: req.Model, TraceID: req.TraceID, Accept: contentType, Body: body})
	if err != nil {
		return ai.Audio{}, err
	}
	if !strings.HasPrefix(reply.ContentType(), "audio/") && reply.ContentType() != "application/octet-stream" {
		_ = reply.Close()
		return ai.Audio{}, &ai.Error{Kind: ai.KindMalformed, Err: errors.New("the answer is no audio")}
	}
	return ai.Audio{ContentType: contentType, ReadCloser: reply}, nil
}
