package httpapi_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
)

// source is a body that notes that it was closed.
type source struct {
	io.Reader
	closed chan struct{}
}

func newSource(r io.Reader) *source { return &source{r, make(chan struct{})} }

func (s *source) Close() error {
	close(s.closed) // twice would panic
	return nil
}

func (s *source) wasClosed(t *testing.T, name string) {
	t.Helper()
	select {
	case <-s.closed:
	case <-time.After(10 * time.Second):
		t.Errorf("%s: the reader isn't closed", name)
	}
}

// broken gives some bytes and then fails.
type broken struct {
	first []byte
	err   error
}

func (b *broken) Read(p []byte) (int, error) {
	if len(b.first) == 0 {
		return 0, b.err
	}
	n := copy(p, b.first)
	b.first = b.first[n:]
	return n, nil
}

func bodyBench(t *testing.T, opts httpapi.Options, answer func(ctx context.Context, c httpapi.Call) (httpapi.Answer, error)) *bench {
	opts.Translate = func(err error) *httpapi.Error {
		if e, ok := errors.AsType[*ai.Error](err); ok {
			return &httpapi.Error{Status: 502, Code: "ai_error", Message: "no", Cause: e}
		}
		return nil
	}
	b := newBench(t, opts)
	httpapi.Handle(b.door, "GET", "/bytes", httpapi.Route{}, func(ctx context.Context, c httpapi.Call, _ struct{}) (httpapi.Answer, error) {
		return answer(ctx, c)
	})
	return b
}

func TestABodyIsWrittenAsItIs(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789"), 10_000)
	var src *source
	var length int64
	b := bodyBench(t, httpapi.Options{}, func(_ context.Context, c httpapi.Call) (httpapi.Answer, error) {
		c.Out.Set("ETag", `"1"`)
		c.Out.Set("Cache-Control", "private, max-age=60")
		src = newSource(bytes.NewReader(data))
		return httpapi.Answer{Body: &httpapi.Body{ContentType: "audio/mpeg", Length: length, Reader: src}}, nil
	})
	for _, length = range []int64{-1, int64(len(data)), 10, 0} {
		want := data
		if length >= 0 {
			want = data[:length]
		}
		a := b.do("GET", "/bytes", "", bearerAcme)
		if a.Status != 200 || a.Body != string(want) {
			t.Errorf("length %d: %d, %d bytes", length, a.Status, len(a.Body))
		}
		for name, want := range map[string]string{"Content-Type": "audio/mpeg", "Etag": `"1"`, "Cache-Control": "private, max-age=60", "X-Content-Type-Options": "nosniff"} {
			if got := a.Header.Get(name); got != want {
				t.Errorf("length %d: %s is %q", length, name, got)
			}
		}
		src.wasClosed(t, "GET")
		if o := <-b.seen; o.Bytes != int64(len(want)) || o.Status != 200 {
			t.Errorf("length %d: observed %+v", length, o)
		}
		head := b.do("HEAD", "/bytes", "", bearerAcme)
		if head.Status != 200 || head.Body != "" || length >= 0 && head.Header.Get("Content-Length") != fmt.Sprint(length) {
			t.Errorf("HEAD: %d %v", head.Status, head.Header)
		}
		src.wasClosed(t, "HEAD")
		<-b.seen
	}
}

func TestABodyThatFailsNeverLooksWhole(t *testing.T) {
	var src *source
	var answer httpapi.Answer
	var failed error
	b := bodyBench(t, httpapi.Options{}, func(context.Context, httpapi.Call) (httpapi.Answer, error) { return answer, failed })
	upstream := &ai.Error{Kind: ai.KindUnavailable}
	for name, tc := range map[string]struct {
		r      io.Reader
		length int64
		err    error
		status int // 0 for a cut connection
		code   string
	}{
		"before the first byte":            {&broken{nil, upstream}, -1, nil, 502, "ai_error"},
		"before the first byte, length":    {&broken{nil, upstream}, 10, nil, 502, "ai_error"},
		"beside an error":                  {strings.NewReader("x"), -1, upstream, 502, "ai_error"},
		"after some bytes":                 {&broken{[]byte("some"), upstream}, -1, nil, 0, ""},
		"after some bytes of a length":     {&broken{[]byte("some"), upstream}, 10, nil, 0, ""},
		"an end before its length":         {strings.NewReader("some"), 10, nil, 0, ""},
		"nothing of its length":            {strings.NewReader(""), 10, nil, 500, "internal"},
		"a panic in the middle of reading": {io.MultiReader(strings.NewReader("some"), panics{}), -1, nil, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			src = newSource(tc.r)
			answer, failed = httpapi.Answer{Body: &httpapi.Body{ContentType: "audio/mpeg", Length: tc.length, Reader: src}}, tc.err
			r, err := http.NewRequestWithContext(t.Context(), "GET", b.url+"/bytes", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("X-Api-Key", acmeKey)
			res, err := http.DefaultTransport.RoundTrip(r)
			if tc.status != 0 {
				if err != nil {
					t.Fatal(err)
				}
				if a := b.read(res); a.Status != tc.status || a.Error.Code != tc.code || a.Header.Get("Content-Type") != "application/json" {
					t.Errorf("%d %s", a.Status, a.Body)
				}
			} else if err == nil {
				defer func() { _ = res.Body.Close() }()
				if body, err := io.ReadAll(res.Body); err == nil {
					t.Errorf("looks whole: %q", body)
				}
			}
			src.wasClosed(t, name)
			if o := <-b.seen; tc.status == 0 && o.Status != 500 {
				t.Errorf("observed %+v", o)
			}
		})
	}
}

type panics struct{}

func (panics) Read([]byte) (int, error) { panic("c4nary") }

func TestBytesOfUnknownLengthArriveAtOnce(t *testing.T) {
	in, out := io.Pipe()
	b := bodyBench(t, httpapi.Options{}, func(context.Context, httpapi.Call) (httpapi.Answer, error) {
		return httpapi.Answer{Body: &httpapi.Body{ContentType: "audio/mpeg", Length: -1, Reader: in}}, nil
	})
	conn := b.dial()
	_, _ = io.WriteString(conn, "GET /bytes HTTP/1.1\r\nHost: x\r\n"+bearerAcme+"\r\n\r\n")
	_, _ = io.WriteString(out, "one")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	for _, want := range []string{"one", "two"} {
		if want == "two" {
			_, _ = io.WriteString(out, want)
		}
		got := make([]byte, 3)
		if _, err := io.ReadFull(res.Body, got); err != nil || string(got) != want {
			t.Fatalf("%q, %v", got, err)
		}
	}
	_ = out.Close()
	if rest, err := io.ReadAll(res.Body); err != nil || len(rest) > 0 {
		t.Errorf("after the end: %q, %v", rest, err)
	}
}

func TestAClientThatTakesNoBytesIsCutOff(t *testing.T) {
	src := newSource(blanks{})
	b := bodyBench(t, httpapi.Options{WriteTimeout: 200 * time.Millisecond}, func(context.Context, httpapi.Call) (httpapi.Answer, error) {
		return httpapi.Answer{Body: &httpapi.Body{Length: -1, Reader: src}}, nil
	})
	conn := b.dial()
	_, _ = io.WriteString(conn, "GET /bytes HTTP/1.1\r\nHost: x\r\n"+bearerAcme+"\r\n\r\n")
	src.wasClosed(t, "stuck")
	if o := <-b.seen; o.Status != 499 || o.Code != "client_gone" {
		t.Errorf("observed %+v", o)
	}
	if logs := b.logs.String(); strings.Contains(logs, "ERROR") {
		t.Errorf("logged: %s", logs)
	}
}
