package chatwire

import (
	"bytes"
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai/sse"
)

// endless repeats a recorded frame.
type endless struct {
	all []byte
	at  int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.all[e.at:])
	e.at = (e.at + n) % len(e.all)
	return n, nil
}

func (e *endless) Close() error { return nil }

// BenchmarkToken is the way of one token from the wire to the caller.
func BenchmarkToken(b *testing.B) {
	frame := []byte("data: " + `{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1732440000,"model":"@cf/meta/llama-3.1-8b-instruct-fast","choices":[{"index":0,"delta":{"content":" word"},"finish_reason":null}]}` + "\n\n")
	k := newExchange(context.Background(), time.Minute)
	defer k.end()
	k.resp, k.silence = &http.Response{Body: &endless{all: bytes.Repeat(frame, 8)}}, time.Minute
	s := &stream{k: k, events: sse.NewReader(k)}
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	for b.Loop() {
		if c, err := s.Next(); err != nil || c.Text != " word" {
			b.Fatal(c, err)
		}
	}
}
