package localspeech_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aitest"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/localspeech"
)

// say gives the seconds of sound, after it has checked that the WAV is what it says.
func say(t *testing.T, d *localspeech.Driver, req ai.SpeakRequest) float64 {
	t.Helper()
	audio, err := d.Speak(t.Context(), aitest.Tenant(t), req)
	if err != nil {
		t.Fatalf("%+v: %v", req, err)
	}
	wav, err := io.ReadAll(audio)
	if err := errors.Join(err, audio.Close()); err != nil || audio.ContentType != "audio/wav" || len(wav) < 44 {
		t.Fatalf("%d bytes of %s, %v", len(wav), audio.ContentType, err)
	}
	u32 := binary.LittleEndian.Uint32
	if string(wav[:4]) != "RIFF" || int(u32(wav[4:])) != len(wav)-8 || int(u32(wav[40:])) != len(wav)-44 {
		t.Errorf("lengths %d and %d of %d bytes", u32(wav[4:]), u32(wav[40:]), len(wav))
	}
	if !slices.ContainsFunc(wav[44:], func(b byte) bool { return b != 0 }) {
		t.Error("nothing but silence")
	}
	return float64(len(wav)-44) / float64(u32(wav[28:]))
}

func TestEnginesSpeak(t *testing.T) {
	t.Parallel()
	for program, voice := range map[string]string{"flite": "rms", "espeak-ng": "de"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%v: install it with go run ./hack/toolbox packages", err)
		}
		d := localspeech.New(os.Getenv("PATH"), localspeech.Limits{})
		const text = "-v Good morning. <b>This</b> is $(a test)\x00\x01 of `speech`.\nIt has three sentences."
		plain := say(t, d, ai.SpeakRequest{Text: text, Voice: voice, Format: ai.FormatWAV})
		fast := say(t, d, ai.SpeakRequest{Text: text, Voice: voice, Speed: 2})
		if plain < 1.5 || plain > 15 || fast > plain*0.7 || fast < plain*0.3 {
			t.Errorf("%s: %.1f s, and at twice the speed %.1f s", program, plain, fast)
		}
	}
	d := localspeech.New(os.Getenv("PATH"), localspeech.Limits{})
	voices, err := d.Voices(t.Context())
	if err != nil || voices[0] != "slt" || !slices.Contains(voices, "de") || slices.Contains(voices, "awb_time") {
		t.Errorf("%v, %v", voices, err)
	}
}

func TestWhatEnginesCannot(t *testing.T) {
	t.Parallel()
	d := localspeech.New(os.Getenv("PATH"), localspeech.Limits{})
	for want, req := range map[error]ai.SpeakRequest{
		ai.ErrFormat: {Text: "x", Format: ai.FormatMP3},
		ai.ErrVoice:  {Text: "x", Voice: "slt;ls"},
		ai.ErrSpeed:  {Text: "x", Voice: "de", Speed: 0.25},
	} {
		_, err := d.Speak(t.Context(), aitest.Tenant(t), req)
		if e, ok := errors.AsType[*ai.Error](err); !ok || e.Kind != ai.KindBadRequest || !errors.Is(err, want) {
			t.Errorf("%+v: %v", req, err)
		}
	}
	_, err := localspeech.New(t.TempDir(), localspeech.Limits{}).Speak(t.Context(), aitest.Tenant(t), ai.SpeakRequest{Text: "x"})
	if e, ok := errors.AsType[*ai.Error](err); !ok || e.Kind != ai.KindUnavailable {
		t.Errorf("without an engine: %v", err)
	}
}

// engine puts a script on a path of its own, where flite would be.
func engine(t *testing.T, script string) string {
	t.Helper()
	dir := t.TempDir()
	text := "#!/bin/sh\n[ \"$1\" = -lv ] && echo 'Voices available: slt' && exit 0\n" + script + "\n"
	if err := os.WriteFile(filepath.Join(dir, "flite"), []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestEnginesAreBounded(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		script string
		limits localspeech.Limits
		want   ai.Kind
	}{
		"hangs":       {"/bin/sleep 300 & wait", localspeech.Limits{Time: 400 * time.Millisecond}, ai.KindTimeout},
		"grows":       {"read x; x=0123456789abcdef; while :; do x=$x$x; done", localspeech.Limits{Memory: 64 << 20}, ai.KindUnavailable},
		"floods":      {"read x; while :; do echo 0123456789abcdef0123456789abcdef; done >&3", localspeech.Limits{Output: 1 << 20}, ai.KindUnavailable},
		"dies":        {"exit 3", localspeech.Limits{}, ai.KindUnavailable},
		"no WAV":      {"echo hello >&3", localspeech.Limits{}, ai.KindUnavailable},
		"no sound":    {"exit 0", localspeech.Limits{}, ai.KindUnavailable},
		"has no HOME": {`[ -z "$HOME" ] && exit 3; echo hello >&3`, localspeech.Limits{}, ai.KindUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			_, err := localspeech.New(engine(t, tc.script), tc.limits).Speak(t.Context(), aitest.Tenant(t), ai.SpeakRequest{Text: "Hello.\n"})
			if e, ok := errors.AsType[*ai.Error](err); !ok || e.Kind != tc.want || time.Since(began) > 10*time.Second {
				t.Errorf("%v after %s", err, time.Since(began))
			}
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := localspeech.New(engine(t, "/bin/sleep 300 & wait"), localspeech.Limits{}).Speak(ctx, aitest.Tenant(t), ai.SpeakRequest{Text: "Hello."})
	if e, ok := errors.AsType[*ai.Error](err); !ok || e.Kind != ai.KindCanceled || time.Since(began) > 5*time.Second {
		t.Errorf("a client that left: %v after %s", err, time.Since(began))
	}
}
