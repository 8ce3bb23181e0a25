package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheReport(t *testing.T) {
	dir := t.TempDir()
	r := &result{name: "small", about: "made here", text: quality{NDCG10: 0.5}, hybrid: quality{NDCG10: 0.6}}
	for range weights {
		r.sweep = append(r.sweep, quality{NDCG10: 0.55})
	}
	if err := write(dir, []*result{r}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "evaluation.md"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "dataset=small text=0.5000 vector=0.0000 hybrid=0.6000 citations=n/a injections_through=n/a\n"; !strings.Contains(string(text), want) {
		t.Errorf("the report lacks %q", want)
	}
	picture, err := os.Open(filepath.Join(dir, "evaluation.svg"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = picture.Close() }()
	drawn := map[string]int{}
	for d := xml.NewDecoder(picture); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok {
			drawn[e.Name.Local]++
		}
	}
	if drawn["svg"] != 1 || drawn["polyline"] != 1 {
		t.Errorf("drawn: %v", drawn)
	}
}

func TestLastLines(t *testing.T) {
	var b strings.Builder
	half, none := 0.5, 0
	conclude(&b, []*result{{name: "a", citations: &half, injections: &none}}, []string{"b"})
	want := "dataset=a text=0.0000 vector=0.0000 hybrid=0.0000 citations=0.500 injections_through=0\ndataset=b skipped: not to be had on this machine\n"
	if b.String() != want {
		t.Errorf("have %q, want %q", b.String(), want)
	}
}
