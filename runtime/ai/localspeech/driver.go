package localspeech

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// Limits of one text; zero fields are the defaults.
type Limits struct {
	// Time of a process. Default 30 s: ten seconds of speech take a tenth of one.
	Time time.Duration
	// Memory is its address space in bytes. Default 512 MiB, of which engines touch 25.
	Memory uint64
	// Output in bytes. Default 96 MiB: 5,000 characters at a quarter of the speed.
	Output int64
	// Processes at once; more texts wait. Default 2.
	Processes int
}

func (l Limits) withDefaults() Limits {
	if l.Time <= 0 {
		l.Time = 30 * time.Second
	}
	if l.Memory == 0 {
		l.Memory = 512 << 20
	}
	if l.Output <= 0 {
		l.Output = 96 << 20
	}
	if l.Processes <= 0 {
		l.Processes = 2
	}
	return l
}

// Driver speaks for every tenant of the process.
type Driver struct {
	limits Limits
	turn   chan struct{}
	// find is asked once, when a voice is needed: a process that nobody speaks through
	// starts none.
	find func() ([]voice, error)
}

// voice is one of an engine's.
type voice struct {
	name   string
	engine engine
}

// New makes a driver of the engines on path, a list as in $PATH.
func New(path string, l Limits) *Driver {
	l = l.withDefaults()
	d := &Driver{limits: l, turn: make(chan struct{}, l.Processes)}
	d.find = sync.OnceValues(func() ([]voice, error) {
		ctx, cancel := context.WithTimeout(context.Background(), l.Time)
		defer cancel()
		return voicesOn(ctx, path, l)
	})
	return d
}

// Voices implements ai.VoiceLister.
func (d *Driver) Voices(context.Context) ([]string, error) {
	found, err := d.find()
	if err != nil {
		return nil, &ai.Error{Kind: ai.KindUnavailable, Err: err}
	}
	names := make([]string, len(found))
	for i, v := range found {
		names[i] = v.name
	}
	return names, nil
}

// Speak implements ai.Speaker: it returns when the whole text has been spoken.
func (d *Driver) Speak(ctx context.Context, t tenancy.ID, req ai.SpeakRequest) (ai.Audio, error) {
	text := speakable(req.Text)
	switch {
	case t.IsZero():
		return ai.Audio{}, refused(errors.New("a voice is asked for a tenant, and none was named"))
	case strings.TrimSpace(text) == "":
		return ai.Audio{}, refused(errors.New("there is nothing to say"))
	case req.Format != "" && req.Format != ai.FormatWAV:
		return ai.Audio{}, refused(ai.ErrFormat)
	}
	found, err := d.find()
	if err != nil {
		return ai.Audio{}, &ai.Error{Kind: ai.KindUnavailable, Err: err}
	}
	chosen := found[0]
	if req.Voice != "" {
		i := slices.IndexFunc(found, func(v voice) bool { return v.name == req.Voice })
		if i < 0 {
			return ai.Audio{}, refused(ai.ErrVoice)
		}
		chosen = found[i]
	}
	args, err := chosen.engine.args(chosen.name, req.Speed)
	if err != nil {
		return ai.Audio{}, refused(err)
	}
	sound, err := d.run(ctx, chosen.engine.path, args, text)
	if err != nil {
		return ai.Audio{}, err
	}
	return ai.Audio{ContentType: ai.ContentTypeOf(ai.FormatWAV), ReadCloser: sound}, nil
}

// run waits for a place and speaks.
func (d *Driver) run(ctx context.Context, path string, args []string, text string) (io.ReadCloser, error) {
	select {
	case d.turn <- struct{}{}:
		defer func() { <-d.turn }()
	case <-ctx.Done():
		return nil, &ai.Error{Kind: ai.KindCanceled, Err: ctx.Err()}
	}
	timed, cancel := context.WithTimeout(ctx, d.limits.Time)
	defer cancel()
	sound, err := speak(timed, d.limits, path, args, text)
	switch {
	case err == nil:
		return sound, nil
	case ctx.Err() != nil:
		return nil, &ai.Error{Kind: ai.KindCanceled, Err: ctx.Err()}
	case timed.Err() != nil:
		return nil, &ai.Error{Kind: ai.KindTimeout, Err: fmt.Errorf("the engine spoke for longer than %s", d.limits.Time)}
	}
	return nil, &ai.Error{Kind: ai.KindUnavailable, Err: err}
}

func refused(err error) *ai.Error { return &ai.Error{Kind: ai.KindBadRequest, Err: err} }

// speakable leaves out what isn't text: engines take some control characters for commands.
func speakable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
}
