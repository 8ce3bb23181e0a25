package speech

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/limits"
	"github.com/crispy-enigma/crispy-enigma/runtime/telemetry"
)

// Request is one text to read out.
type Request struct {
	// Model is empty for the tenant's own.
	Model string
	// Text of 1 to 5000 characters.
	Text string
	// Voice as the provider names it; empty for the tenant's.
	Voice string
	// Format is ai.FormatMP3, ai.FormatWAV or ai.FormatOpus; empty for the voice's own.
	Format string
	// Speed from 0.25 to 4.
	Speed float64
	// Streaming speaks sentence by sentence: the first is heard while the rest is made.
	Streaming bool
}

// Speak gives the audio when the provider has taken the text, or its first sentence;
// errors are *httpapi.Error or *ai.Error. Closing the audio settles what it cost.
func (f *Feature) Speak(ctx context.Context, c httpapi.Call, r Request) (ai.Audio, error) {
	speaker := f.Speakers.Speaker(c.Tenant)
	if speaker == nil {
		return ai.Audio{}, notEnabled()
	}
	if err := choose(c.Tenant.Config, &r); err != nil {
		return ai.Audio{}, err
	}
	texts := []string{r.Text}
	if r.Streaming {
		texts = pieces(r.Text)
	}
	b := &bill{f: f, call: c, model: r.Model, asked: f.Now()}
	var err error
	b.admission, err = f.Gate.Admit(ctx, c, limits.Ask{Models: []string{r.Model}, Prompt: func(context.Context) (int, error) {
		return f.Estimator.Text(r.Model, r.Text), nil
	}})
	if err != nil {
		return ai.Audio{}, err
	}
	say := func(text string) (ai.Audio, error) {
		audio, err := speaker.Speak(ctx, c.Tenant.ID, ai.SpeakRequest{
			Model: r.Model, Text: text, Voice: r.Voice, Format: r.Format, Speed: r.Speed, TraceID: c.TraceID,
		})
		if err == nil || ctx.Err() != nil {
			// The provider reads it, or did before the client left.
			b.in += f.Estimator.Text(r.Model, text)
		}
		return audio, err
	}
	first, err := spoken(say, texts[0], b)
	if err != nil {
		return ai.Audio{}, told(err)
	}
	return ai.Audio{ContentType: first.ContentType, ReadCloser: &track{bill: b, ctx: ctx, part: join(first, len(texts) > 1), say: say, left: texts[1:]}}, nil
}

// spoken is the first piece. Whatever keeps it from coming, a panic too, settles the bill.
func spoken(say func(string) (ai.Audio, error), text string, b *bill) (audio ai.Audio, err error) {
	came := false
	defer func() {
		if !came {
			b.settle(outcome(err))
		}
	}()
	if audio, err = say(text); err == nil {
		came = true
	}
	return audio, err
}

// choose puts the tenant's own in for what r leaves out, and refuses what it may not name.
func choose(cfg *tenantconfig.Config, r *Request) error {
	s := cfg.Speech
	own := modelOf(s)
	switch {
	case r.Model == "" || r.Model == own:
		r.Model = own
	case s.Provider == tenantconfig.SpeechLocal:
		return &httpapi.Error{
			Status: http.StatusNotFound, Code: "model_not_found", Message: "this tenant's voice is " + own + ": name it, or no model",
		}
	case len(cfg.Models.Allowed) > 0 && !slices.Contains(cfg.Models.Allowed, r.Model):
		return &httpapi.Error{
			Status: http.StatusForbidden, Code: "model_not_allowed", Message: "this tenant may not use this model",
			Details: []httpapi.Detail{{Path: "model", Message: "must be " + own + " or one of " + strings.Join(cfg.Models.Allowed, ", ")}},
		}
	}
	if r.Voice == "" {
		r.Voice = s.Voice
	}
	if r.Voice == "" && len(s.Voices) > 0 {
		r.Voice = s.Voices[0]
	}
	if len(s.Voices) > 0 && r.Voice != s.Voice && !slices.Contains(s.Voices, r.Voice) {
		return httpapi.Invalid("voice", "must be one of "+strings.Join(s.Voices, ", "))
	}
	return nil
}

// bill is what a text costs, settled once.
type bill struct {
	f         *Feature
	call      httpapi.Call
	model     string
	asked     time.Time
	first     time.Duration
	in        int
	admission *limits.Admission
	settled   bool
}

func (b *bill) settle(outcome string) {
	if b.settled {
		return
	}
	b.settled = true
	// What was used is billed though the client has gone.
	ctx, done := context.WithTimeout(context.Background(), storeTimeout)
	defer done()
	money := b.admission.Settle(ctx, b.model, ai.Usage{In: b.in, Estimated: true})
	b.f.Recorder.Record(ctx, b.call.Tenant.ID, telemetry.Call{
		Model: b.model, Feature: feature, Outcome: outcome, In: b.in, MicroUSD: money,
		Latency: b.f.Now().Sub(b.asked), FirstToken: b.first,
	})
}

func outcome(err error) string {
	e, ok := errors.AsType[*ai.Error](err)
	switch {
	case err == nil || errors.Is(err, io.EOF):
		return telemetry.OutcomeOK
	case errors.Is(err, context.Canceled), ok && e.Kind == ai.KindCanceled:
		return telemetry.OutcomeCanceled
	case ok && e.Kind == ai.KindTruncated:
		return telemetry.OutcomeTruncated
	}
	return telemetry.OutcomeError
}

// track is speech on its way to the client, piece after piece.
type track struct {
	bill *bill
	ctx  context.Context // ends the pieces that aren't spoken yet
	part *part
	say  func(text string) (ai.Audio, error)
	left []string
	err  error
}

// Read gives the first piece whole, and of the others what belongs into the same file.
func (t *track) Read(p []byte) (int, error) {
	for t.err == nil {
		n, err := t.part.Read(p)
		if n > 0 {
			if t.bill.first == 0 {
				t.bill.first = t.bill.f.Now().Sub(t.bill.asked)
			}
			return n, nil
		}
		if errors.Is(err, io.EOF) {
			err = t.next()
		}
		t.err = err
	}
	if errors.Is(t.err, io.EOF) {
		return 0, io.EOF
	}
	return 0, told(t.err)
}

// next has the next piece spoken; io.EOF after the last.
func (t *track) next() error {
	if len(t.left) == 0 {
		return io.EOF
	}
	if t.ctx.Err() != nil {
		return &ai.Error{Kind: ai.KindCanceled, Err: t.ctx.Err()}
	}
	audio, err := t.say(t.left[0])
	if err != nil {
		return err
	}
	t.left = t.left[1:]
	return t.part.follow(audio)
}

// Close ends the speech and settles its bill.
func (t *track) Close() error {
	err := t.part.Close()
	why := outcome(t.err)
	if t.err == nil {
		why = telemetry.OutcomeCanceled // who closes it before its end has left
	}
	t.bill.settle(why)
	return err
}
