package ai

import (
	"context"
	"io"

	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// Formats of audio.
const (
	FormatMP3  = "mp3"
	FormatWAV  = "wav"
	FormatOpus = "opus"
)

// SpeakRequest asks for a text to be read out.
type SpeakRequest struct {
	// Model is the model's id at its provider.
	Model string
	Text  string
	// Voice and Language as the model names them; empty for its own.
	Voice, Language string
	// Format is FormatMP3, FormatWAV or FormatOpus; empty is FormatMP3.
	Format string
	// Speed from 0.25 to 4; 0 is 1, the voice's own.
	Speed float64
	// TraceID joins the upstream's log with ours; it names no person.
	TraceID string
}

// Audio is speech that may still be in the making. A Read that fails gives an *Error.
type Audio struct {
	// ContentType is audio/mpeg, audio/wav or audio/ogg.
	ContentType string
	io.ReadCloser
}

// Speaker reads texts out.
type Speaker interface {
	// Speak returns when the upstream has accepted the call. The caller closes the
	// Audio. A format that the model doesn't have is KindBadRequest.
	Speak(ctx context.Context, t tenancy.ID, req SpeakRequest) (Audio, error)
}

// ContentTypeOf a Format; "" if it is none.
func ContentTypeOf(format string) string {
	switch format {
	case FormatMP3, "":
		return "audio/mpeg"
	case FormatWAV:
		return "audio/wav"
	case FormatOpus:
		return "audio/ogg"
	default:
		return ""
	}
}
