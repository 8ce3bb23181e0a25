package speech

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
)

// part reads one piece of speech after the other as one file. Ogg is made of streams
// that may follow each other, MP3 of frames; of the later pieces of a WAV only the
// samples are given, and its length is said to be unknown.
type part struct {
	kind   string
	source io.Closer
	body   io.Reader
	// format is that of the first WAV's samples.
	format []byte
	err    error
}

// join begins with first. A file that nothing follows is given as it came.
func join(first ai.Audio, more bool) *part {
	p := &part{kind: first.ContentType, source: first, body: first}
	if !more {
		return p
	}
	r := bufio.NewReader(first)
	switch p.kind {
	case ai.ContentTypeOf(ai.FormatWAV):
		format, samples, err := readWAV(r)
		if err != nil {
			p.err = err
			return p
		}
		p.format, p.body = format, io.MultiReader(bytes.NewReader(endlessWAV(format)), samples)
	case ai.ContentTypeOf(ai.FormatMP3):
		p.body = frames(r)
	}
	return p
}

// follow goes on with the next piece.
func (p *part) follow(next ai.Audio) error {
	_ = p.source.Close() // it was read to its end
	p.source, p.body = next, next
	if next.ContentType != p.kind {
		return &ai.Error{Kind: ai.KindMalformed, Err: errors.New("the voice changed its format")}
	}
	r := bufio.NewReader(next)
	switch p.kind {
	case ai.ContentTypeOf(ai.FormatWAV):
		format, samples, err := readWAV(r)
		if err != nil {
			return err
		}
		if !bytes.Equal(format, p.format) {
			return &ai.Error{Kind: ai.KindMalformed, Err: errors.New("the voice changed its sampling")}
		}
		p.body = samples
	case ai.ContentTypeOf(ai.FormatMP3):
		p.body = frames(r)
	}
	return nil
}

func (p *part) Read(b []byte) (int, error) {
	if p.err != nil {
		return 0, p.err
	}
	return p.body.Read(b)
}

func (p *part) Close() error { return p.source.Close() }

// readWAV gives the format chunk of a WAV and its samples. A length of 0 or of nearly
// 4 GiB is a stream's: the samples go on to the end.
func readWAV(r *bufio.Reader) (format []byte, samples io.Reader, err error) {
	var head [12]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, nil, noWAV(err)
	}
	if string(head[:4]) != "RIFF" || string(head[8:]) != "WAVE" {
		return nil, nil, noWAV(errors.New("it begins otherwise"))
	}
	for {
		var chunk [8]byte
		if _, err := io.ReadFull(r, chunk[:]); err != nil {
			return nil, nil, noWAV(err)
		}
		size := binary.LittleEndian.Uint32(chunk[4:])
		switch name := string(chunk[:4]); {
		case name == "data" && format == nil:
			return nil, nil, noWAV(errors.New("samples without a format"))
		case name == "data" && (size == 0 || size > 1<<31-1<<16):
			return format, r, nil
		case name == "data":
			return format, io.LimitReader(r, int64(size)), nil
		case size > 1<<16:
			return nil, nil, noWAV(fmt.Errorf("a chunk of %d bytes", size))
		default:
			body := make([]byte, size+size%2)
			if _, err := io.ReadFull(r, body); err != nil {
				return nil, nil, noWAV(err)
			}
			if name == "fmt " {
				format = body[:size]
			}
		}
	}
}

// noWAV keeps an upstream's own failure as it is.
func noWAV(err error) error {
	if _, ok := errors.AsType[*ai.Error](err); ok {
		return err
	}
	return &ai.Error{Kind: ai.KindMalformed, Err: fmt.Errorf("the answer is no WAV: %w", err)}
}

// endlessWAV is the header of a WAV whose length isn't known, as players take it.
func endlessWAV(format []byte) []byte {
	b := append([]byte("RIFF"), 0xff, 0xff, 0xff, 0xff)
	b = append(b, "WAVEfmt "...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(format)&0xffff))
	b = append(b, format...)
	if len(format)%2 == 1 {
		b = append(b, 0)
	}
	b = append(b, "data"...)
	return append(b, 0xff, 0xff, 0xff, 0xff)
}

// frames leaves out what is true of one file alone: the tags in front of its frames, and
// the first frame if it tells how many there are.
func frames(r *bufio.Reader) io.Reader {
	if head, err := r.Peek(10); err == nil && string(head[:3]) == "ID3" {
		size := int(head[6]&0x7f)<<21 | int(head[7]&0x7f)<<14 | int(head[8]&0x7f)<<7 | int(head[9]&0x7f)
		if _, err := io.CopyN(io.Discard, r, int64(10+size)); err != nil {
			return r
		}
	}
	head, err := r.Peek(4)
	if err != nil {
		return r
	}
	size := frameBytes([4]byte(head))
	if size == 0 {
		return r
	}
	// A piece may be shorter than what is looked at.
	frame, _ := r.Peek(min(size, 64))
	for _, mark := range []string{"Xing", "Info", "VBRI"} {
		if bytes.Contains(frame, []byte(mark)) {
			_, _ = r.Discard(size)
			break
		}
	}
	return r
}

var (
	bitratesV1 = [16]int{0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0}
	bitratesV2 = [16]int{0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0}
	rates      = [4]int{44100, 48000, 32000, 0}
)

// frameBytes is the length of the MPEG layer III frame that h begins, 0 if it begins none.
func frameBytes(h [4]byte) int {
	if h[0] != 0xff || h[1]&0xe0 != 0xe0 || h[1]>>1&3 != 1 {
		return 0
	}
	rate, padding := rates[h[2]>>2&3], int(h[2]>>1&1)
	if rate == 0 {
		return 0
	}
	switch h[1] >> 3 & 3 {
	case 3:
		return 144_000*bitratesV1[h[2]>>4]/rate + padding
	case 2:
		return 72_000*bitratesV2[h[2]>>4]/(rate/2) + padding
	case 0:
		return 72_000*bitratesV2[h[2]>>4]/(rate/4) + padding
	}
	return 0
}
