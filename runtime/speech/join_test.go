package speech_test

import (
	"bytes"
	"testing"
	"testing/iotest"

	"io"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/speech"
)

// frame is one of MPEG-2 layer III at 64 kbit/s and 24 kHz: 192 bytes.
func frame(mark string) []byte {
	b := make([]byte, 192)
	copy(b, []byte{0xff, 0xf3, 0x84, 0xc4})
	copy(b[13:], mark)
	return b
}

func TestMP3PiecesAreOneFile(t *testing.T) {
	t.Parallel()
	tag := append([]byte("ID3\x04\x00\x00\x00\x00\x00\x05"), "title"...)
	piece := func(n string) []byte { return bytes.Join([][]byte{tag, frame("Xing"), frame(n), frame(n)}, nil) }
	open := func(b []byte) ai.Audio {
		return ai.Audio{ContentType: "audio/mpeg", ReadCloser: io.NopCloser(iotest.OneByteReader(bytes.NewReader(b)))}
	}
	got, err := speech.Join(open(piece("one")), open(piece("two")), open(frame("three")))
	want := bytes.Join([][]byte{frame("one"), frame("one"), frame("two"), frame("two"), frame("three")}, nil)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v; want %d", len(got), err, len(want))
	}
	if got, err := speech.Join(open(piece("one"))); err != nil || !bytes.Equal(got, piece("one")) {
		t.Errorf("a single file was changed: %v", err)
	}
}

func TestBrokenPieces(t *testing.T) {
	t.Parallel()
	wav := func(rate byte, rest string) ai.Audio {
		b := append([]byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00"), rate, 0, 0, 0, rate, 0, 0, 0, 2, 0, 16, 0)
		return ai.Audio{ContentType: "audio/wav", ReadCloser: io.NopCloser(bytes.NewReader(append(b, rest...)))}
	}
	const data = "LIST\x03\x00\x00\x00abc\x00data\x02\x00\x00\x00xyTAIL"
	if got, err := speech.Join(wav(8, data), wav(8, data)); err != nil || !bytes.HasSuffix(got, []byte("data\xff\xff\xff\xffxyxy")) {
		t.Errorf("%q, %v", got, err)
	}
	for name, second := range map[string]ai.Audio{
		"another rate":   wav(9, data),
		"another format": {ContentType: "audio/mpeg", ReadCloser: io.NopCloser(bytes.NewReader(nil))},
		"no samples":     wav(8, ""),
		"a huge chunk":   wav(8, "LIST\xff\xff\xff\x7f"),
		"empty":          {ContentType: "audio/wav", ReadCloser: io.NopCloser(bytes.NewReader(nil))},
	} {
		if _, err := speech.Join(wav(8, data), second); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func TestPieces(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"":                     nil,
		"  One sentence.  ":    {"One sentence."},
		"こんにちは。" + x(130, "あ"): {"こんにちは。", x(130, "あ")},
		"Dr. A. Smith paid 3.50 to e.g. us. " + x(120, "A") + ". End": {"Dr. A. Smith paid 3.50 to e.g. us.", x(120, "A") + ". End"},
		x(2500, "a"):       {x(1000, "a"), x(1000, "a"), x(500, "a")},
		x(600, "b ") + "c": {x(499, "b ") + "b", x(99, "b ") + "b c"},
	} {
		if d := cmp.Diff(want, speech.Pieces(text)); d != "" {
			t.Errorf("%.40q: %s", text, d)
		}
	}
}

func x(n int, s string) string { return string(bytes.Repeat([]byte(s), n)) }
