package sse_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai/sse"
)

type event struct {
	Name, Data string
	Cut        bool
}

func readAll(t testing.TB, src io.Reader) ([]event, error) {
	t.Helper()
	r := sse.NewReader(src)
	var events []event
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			return events, nil
		}
		if err != nil {
			return events, err
		}
		events = append(events, event{string(e.Name), string(e.Data), e.Unterminated})
	}
}

func TestReaderFollowsTheStandard(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		in   string
		want []event
	}{
		"LF":                              {"data: a\n\ndata: b\n\n", []event{{Data: "a"}, {Data: "b"}}},
		"CRLF":                            {"data: a\r\n\r\ndata: b\r\n\r\n", []event{{Data: "a"}, {Data: "b"}}},
		"CR":                              {"data: a\r\rdata: b\r\r", []event{{Data: "a"}, {Data: "b"}}},
		"mixed ends":                      {"data: a\r\n\rdata: b\n\r\ndata: c\r\n\n", []event{{Data: "a"}, {Data: "b"}, {Data: "c"}}},
		"byte order mark":                 {"\xef\xbb\xbfdata: a\n\n", []event{{Data: "a"}}},
		"no space, two spaces":            {"data:a\n\ndata:  b\n\n", []event{{Data: "a"}, {Data: " b"}}},
		"several data lines":              {"data: a\ndata\ndata: c\n\n", []event{{Data: "a\n\nc"}}},
		"several data lines, CRLF":        {"data: a\r\ndata: b\r\n\r\n", []event{{Data: "a\nb"}}},
		"comments and unknown fields":     {": ping\n\nid: 7\nretry: 1\ndata: a\n: x\n\n:\n\n", []event{{Data: "a"}}},
		"name":                            {"event: error\ndata: a\n\ndata: b\n\n", []event{{Name: "error", Data: "a"}, {Data: "b"}}},
		"name without data is no event":   {"event: x\n\ndata: b\n\n", []event{{Data: "b"}}},
		"empty data is an event":          {"data\n\n", []event{{Data: ""}}},
		"many blank lines":                {"\n\n\n\ndata: a\n\n\n\n", []event{{Data: "a"}}},
		"end without blank line":          {"data: a\n\ndata: b\n", []event{{Data: "a"}, {Data: "b", Cut: true}}},
		"end inside a line":               {"data: a\n\ndata: b", []event{{Data: "a"}, {Data: "b", Cut: true}}},
		"end inside a field's name":       {"data: a\n\ndat", []event{{Data: "a"}}},
		"nothing":                         {"", nil},
		"mark alone":                      {"\xef\xbb\xbf", nil},
		"colons in data":                  {"data: {\"a\":1}\n\n", []event{{Data: `{"a":1}`}}},
		"a field that only looks like it": {"database: x\ndata: a\n\n", []event{{Data: "a"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for way, src := range map[string]io.Reader{
				"whole":          strings.NewReader(c.in),
				"byte by byte":   iotest.OneByteReader(strings.NewReader(c.in)),
				"error with eof": iotest.DataErrReader(strings.NewReader(c.in)),
			} {
				got, err := readAll(t, src)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("%s: %s", way, diff)
				}
			}
		})
	}
}

// An event must come with its last byte, not with the first byte of the next one.
func TestReaderDelaysNothing(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"\n", "\r\n", "\r"} {
		in, out := io.Pipe()
		go func() {
			// A pipe's write returns when all was read; nothing follows it.
			_, _ = io.WriteString(out, "data: now"+end+end)
		}()
		e, err := sse.NewReader(in).Next()
		if err != nil || string(e.Data) != "now" {
			t.Fatalf("with %q: %q, %v", end, e.Data, err)
		}
		_ = in.Close()
	}
}

func TestReaderGivesWhatCameBeforeAnError(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	got, err := readAll(t, io.MultiReader(strings.NewReader("data: a\n\ndata: b\n"), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) {
		t.Fatalf("the error is %v", err)
	}
	if diff := cmp.Diff([]event{{Data: "a"}}, got); diff != "" {
		t.Error(diff)
	}
}

func TestReaderBoundsAnEvent(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("x", sse.MaxEvent-1)
	got, err := readAll(t, strings.NewReader("data: "+large+"\n\ndata: y\n\n"))
	if err != nil || len(got) != 2 || got[0].Data != large || got[1].Data != "y" {
		t.Fatalf("an event of the largest size: %d events, %v", len(got), err)
	}
	endless := map[string]io.Reader{
		"one line":        io.MultiReader(strings.NewReader("data: "), forever{'x'}),
		"a comment":       io.MultiReader(strings.NewReader(": "), forever{'x'}),
		"many data lines": strings.NewReader(strings.Repeat("data: "+strings.Repeat("x", 1000)+"\n", 2000)),
	}
	for name, src := range endless {
		if _, err := readAll(t, src); !errors.Is(err, sse.ErrTooLarge) {
			t.Errorf("%s: the error is %v", name, err)
		}
	}
}

type forever struct{ b byte }

func (f forever) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = f.b
	}
	return len(p), nil
}

// naive reads the whole text by the standard's own words.
func naive(in string) (events []event) {
	in = strings.TrimPrefix(in, "\xef\xbb\xbf")
	in = strings.ReplaceAll(strings.ReplaceAll(in, "\r\n", "\n"), "\r", "\n")
	lines := strings.Split(in, "\n")
	var data []string
	name := ""
	for i, line := range lines {
		last := i == len(lines)-1
		if line != "" {
			field, value, _ := strings.Cut(line, ":")
			value = strings.TrimPrefix(value, " ")
			switch field {
			case "data":
				data = append(data, value)
			case "event":
				name = value
			}
		}
		if line == "" || last {
			if data != nil {
				events = append(events, event{name, strings.Join(data, "\n"), last})
			}
			data, name = nil, ""
		}
	}
	return events
}

// Lines longer than the first buffer make the reader move and grow it in the middle
// of an event.
func TestReaderMovesItsBuffer(t *testing.T) {
	t.Parallel()
	for _, size := range []int{10, 1000, 2000, 4000, 5000, 9000} {
		var in strings.Builder
		for i := range 30 {
			long := strings.Repeat(string(rune('a'+i%26)), size+i)
			in.WriteString("data: " + long[:len(long)/3] + "\n: " + long + "\n")
			if i%2 == 0 {
				in.WriteString("data: " + long + "\n")
			}
			in.WriteString("event: " + long[:3] + "\n\n")
		}
		want := naive(in.String())
		for _, piece := range []int{1, 7, 100, 4095, 4096, 4097, 1 << 20} {
			got, err := readAll(t, &pieces{[]byte(in.String()), piece})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("lines of %d, pieces of %d: %.500s", size, piece, diff)
			}
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add("data: a\r\n\r\ndata: b\n\n", 3)
	f.Add("\xef\xbb\xbfevent: x\rdata: 1\rdata: 2\r\r: c\n", 1)
	f.Add("data\n\ndata:\n\n\r\n", 2)
	f.Fuzz(func(t *testing.T, in string, n int) {
		if len(in) > 1<<16 {
			t.Skip()
		}
		want := naive(in)
		for way, src := range map[string]io.Reader{
			"whole":        strings.NewReader(in),
			"byte by byte": iotest.OneByteReader(strings.NewReader(in)),
			"in pieces":    &pieces{[]byte(in), 1 + (n&0xFFFF)%97},
		} {
			got, err := readAll(t, src)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%s: %s", way, diff)
			}
		}
	})
}

type pieces struct {
	b []byte
	n int
}

func (p *pieces) Read(to []byte) (int, error) {
	if len(p.b) == 0 {
		return 0, io.EOF
	}
	n := copy(to, p.b[:min(p.n, len(p.b))])
	p.b = p.b[n:]
	return n, nil
}

func BenchmarkReader(b *testing.B) {
	one := []byte("data: " + `{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":" word"},"finish_reason":null}]}` + "\n\n")
	r := sse.NewReader(&repeat{all: bytes.Repeat(one, 64)})
	b.SetBytes(int64(len(one)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Next(); err != nil {
			b.Fatal(err)
		}
	}
}

type repeat struct {
	all []byte
	at  int
}

func (r *repeat) Read(p []byte) (int, error) {
	n := copy(p, r.all[r.at:])
	r.at = (r.at + n) % len(r.all)
	return n, nil
}
