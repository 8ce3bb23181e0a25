package workersai

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"strings"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// deepgramInput is that of the aura models: encoding and container name a format.
type deepgramInput struct {
	Text      string `json:"text"`
	Speaker   string `json:"speaker,omitempty"`
	Encoding  string `json:"encoding"`
	Container string `json:"container,omitempty"`
}

// meloInput is that of MeloTTS, which makes MP3 alone.
type meloInput struct {
	Prompt string `json:"prompt"`
	Lang   string `json:"lang,omitempty"`
}

// Speak implements ai.Speaker.
func (d Driver) Speak(ctx context.Context, t tenancy.ID, req ai.SpeakRequest) (ai.Audio, error) {
	contentType := ai.ContentTypeOf(req.Format)
	var in any
	switch {
	case strings.TrimSpace(req.Text) == "":
		return ai.Audio{}, &ai.Error{Kind: ai.KindBadRequest, Err: errors.New("there is nothing to say")}
	case contentType == "":
		return ai.Audio{}, &ai.Error{Kind: ai.KindBadRequest, Err: ai.ErrFormat}
	case req.Speed != 0 && req.Speed != 1:
		// No model there has a speed, and saying it at another would be another answer.
		return ai.Audio{}, &ai.Error{Kind: ai.KindBadRequest, Err: ai.ErrSpeed}
	case strings.HasSuffix(req.Model, "/melotts"):
		if contentType != ai.ContentTypeOf(ai.FormatMP3) {
			return ai.Audio{}, &ai.Error{Kind: ai.KindBadRequest, Err: ai.ErrFormat}
		}
		in = meloInput{Prompt: req.Text, Lang: req.Language}
	default:
		in = deepgram(req)
	}
	reply, err := d.run(ctx, t, req.Model, req.TraceID, contentType+", application/json", in)
	if err != nil {
		return ai.Audio{}, err
	}
	kind, _, _ := mime.ParseMediaType(reply.ContentType()) // no type at all is no audio
	switch {
	case strings.HasPrefix(kind, "audio/"):
		return ai.Audio{ContentType: contentType, ReadCloser: reply}, nil
	case kind != "application/json":
		_ = reply.Close()
		return ai.Audio{}, &ai.Error{Kind: ai.KindMalformed, Err: errors.New("the answer is no audio")}
	}
	defer func() { _ = reply.Close() }() // it was read to its end, or failed with an error of its own
	var out struct {
		Audio string `json:"audio"`
	}
	if err := result(reply, &out); err != nil {
		return ai.Audio{}, err
	}
	audio, err := base64.StdEncoding.DecodeString(out.Audio)
	if err != nil || len(audio) == 0 {
		return ai.Audio{}, &ai.Error{Kind: ai.KindMalformed, Err: errors.New("the answer holds no audio")}
	}
	return ai.Audio{ContentType: contentType, ReadCloser: io.NopCloser(bytes.NewReader(audio))}, nil
}

func deepgram(req ai.SpeakRequest) deepgramInput {
	in := deepgramInput{Text: req.Text, Speaker: req.Voice, Encoding: "mp3"}
	switch req.Format {
	case ai.FormatWAV:
		in.Encoding, in.Container = "linear16", "wav"
	case ai.FormatOpus:
		in.Encoding, in.Container = "opus", "ogg"
	}
	return in
}
