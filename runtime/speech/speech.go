package speech

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
)

const (
	// feature is what usage is recorded under.
	feature = "tts"
	// LocalModel is the name of the engines in the runtime's image.
	LocalModel = "builtin/speech"

	maxChars      = 5000
	maxNameChars  = 256
	slowest       = 0.25
	fastest       = 4
	storeTimeout  = 10 * time.Second
	voicesTimeout = 10 * time.Second
)

// Needs are what speech asks of other rooms. All but Now are required.
type Needs struct {
	Speakers  Speakers
	Gate      Gate
	Recorder  Recorder
	Estimator *ai.Estimator
	// Now is the clock, time.Now if nil.
	Now func() time.Time
}

// Feature is everything under /tts.
type Feature struct{ Needs }

// New makes the feature.
func New(n Needs) *Feature {
	if n.Now == nil {
		n.Now = time.Now
	}
	return &Feature{n}
}

// Mount adds the feature's routes.
func (f *Feature) Mount(d *httpapi.Door) {
	httpapi.Handle(d, http.MethodPost, "/tts", httpapi.Route{}, f.tts)
	httpapi.Handle(d, http.MethodGet, "/tts/voices", httpapi.Route{}, f.voices)
}

// request is the body of POST /tts.
type request struct {
	Text      string   `json:"text"`
	Voice     string   `json:"voice"`
	Format    string   `json:"format"`
	Streaming bool     `json:"streaming"`
	Speed     *float64 `json:"speed"`
}

// Validate checks what needs no tenant.
func (r *request) Validate() []httpapi.Detail {
	var wrong []httpapi.Detail
	add := func(is bool, path, message string) {
		if is {
			wrong = append(wrong, httpapi.Detail{Path: path, Message: message})
		}
	}
	add(utf8.RuneCountInString(r.Text) > maxChars, "text", "must have at most "+strconv.Itoa(maxChars)+" characters")
	add(strings.TrimSpace(r.Text) == "", "text", "must have something to say")
	add(utf8.RuneCountInString(r.Voice) > maxNameChars, "voice", "is too long")
	add(ai.ContentTypeOf(r.Format) == "", "format", "must be mp3, wav or opus")
	add(r.Speed != nil && (*r.Speed < slowest || *r.Speed > fastest), "speed", "must be from 0.25 to 4")
	return wrong
}

func (f *Feature) tts(ctx context.Context, c httpapi.Call, r request) (httpapi.Answer, error) {
	req := Request{Text: r.Text, Voice: r.Voice, Format: r.Format, Streaming: r.Streaming, Speed: 1}
	if r.Speed != nil {
		req.Speed = *r.Speed
	}
	audio, err := f.Speak(ctx, c, req)
	if err != nil {
		return httpapi.Answer{}, err
	}
	return httpapi.Answer{Body: &httpapi.Body{ContentType: audio.ContentType, Length: -1, Reader: audio}}, nil
}

// Voice is one that a request may name.
type Voice struct {
	ID      string `json:"id"`
	Default bool   `json:"default"`
}

type voiceList struct {
	Model  string  `json:"model"`
	Voices []Voice `json:"voices"`
	// Others tells that the model may have voices that aren't listed.
	Others bool `json:"others"`
}

// voices answers GET /tts/voices.
func (f *Feature) voices(ctx context.Context, c httpapi.Call, _ struct{}) (httpapi.Answer, error) {
	cfg := c.Tenant.Config.Speech
	speaker := f.Speakers.Speaker(c.Tenant)
	if speaker == nil {
		return httpapi.Answer{}, notEnabled()
	}
	names, others := slices.Clone(cfg.Voices), false
	lister, lists := speaker.(ai.VoiceLister)
	switch {
	case len(names) > 0:
	case lists:
		ctx, done := context.WithTimeout(ctx, voicesTimeout)
		defer done()
		var err error
		if names, err = lister.Voices(ctx); err != nil {
			return httpapi.Answer{}, told(err)
		}
	default:
		others = true
	}
	first := cfg.Voice
	if first == "" && lists && len(names) > 0 {
		first = names[0]
	}
	if first != "" && !slices.Contains(names, first) {
		names = append([]string{first}, names...)
	}
	list := voiceList{Model: modelOf(cfg), Voices: make([]Voice, len(names)), Others: others}
	for i, name := range names {
		list.Voices[i] = Voice{name, name == first}
	}
	return httpapi.Answer{Data: list}, nil
}

func modelOf(cfg tenantconfig.Speech) string {
	if cfg.Provider == tenantconfig.SpeechLocal {
		return LocalModel
	}
	return cfg.Model
}

func notEnabled() error {
	return &httpapi.Error{
		Status: http.StatusForbidden, Code: "tts_not_enabled", Message: "speech isn't enabled for this tenant",
	}
}

// told is what a client is told of a voice's failure: waits and provider's limits as for
// other models, what it can change itself as its mistake, and all else as tts_error.
func told(err error) error {
	e, ok := errors.AsType[*ai.Error](err)
	if !ok {
		return err
	}
	switch {
	case errors.Is(err, ai.ErrFormat):
		return httpapi.Invalid("format", "isn't made by this tenant's voice: leave it out for the voice's own")
	case errors.Is(err, ai.ErrVoice):
		return httpapi.Invalid("voice", "isn't there: GET /tts/voices lists those that are")
	case errors.Is(err, ai.ErrSpeed):
		return httpapi.Invalid("speed", "isn't one that this voice can speak at: leave it out, or try nearer to 1")
	}
	out := &httpapi.Error{Status: http.StatusBadGateway, Code: "tts_error", RetryAfter: e.RetryAfter, Cause: err}
	switch e.Kind {
	case ai.KindRateLimited, ai.KindQuota, ai.KindTimeout, ai.KindCanceled, ai.KindBlocked:
		return err
	case ai.KindUnavailable:
		out.Message = "the voice can't be reached or failed; try again later"
	case ai.KindUnauthorized, ai.KindModelNotFound:
		out.Message = "the provider refused this tenant's voice; tell who operates this API"
	case ai.KindBadRequest, ai.KindTooLong:
		out.Message = "the voice refused the text as it was asked; try another voice, or a shorter text"
	default:
		out.Message = "what the voice said made no sense; try again"
	}
	return out
}
