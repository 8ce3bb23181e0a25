package ai

import (
	"context"
	"errors"
	"io"

	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// Formats of audio.
const (
	FormatMP3  = "mp3"
	FormatWAV  = "wav"
	FormatOpus = "opus"
)

// What a voice can't do, inside an *Error of KindBadRequest: it is the request's to change.
var (
	ErrFormat = errors.New("the voice isn't made in this format")
	ErrVoice  = errors.New("there is no such voice")
	ErrSpeed  = errors.New("the voice doesn't speak at this speed")
)

// SpeakRequest asks for a text to be read out.
type SpeakRequest struct {
	// Model is the model's id at its provider.
	Model string
	Text  string
	// Voice and Language as the model names them; empty for its own.
	Voice, Language string
	// Format is FormatMP3, FormatWAV or FormatOpus; empty is FormatMP3 where the model
	// has it, else its own.
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
	// Audio. What the model can't do is KindBadRequest, with one of the errors above.
	Speak(ctx context.Context, t tenancy.ID, req SpeakRequest) (Audio, error)
}

// VoiceLister is a Speaker that knows its voices; it takes no other.
type VoiceLister interface {
	// Voices are in their order of preference.
	Voices(ctx context.Context) ([]string, error)
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
