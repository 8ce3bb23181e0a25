package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCranfieldIsWhole(t *testing.T) {
	c, err := readCranfield("testdata")
	if err != nil {
		t.Fatal(err)
	}
	relevant := 0
	for _, q := range c.queries {
		relevant += len(q.gains)
	}
	if len(c.passages) != 1400 || len(c.queries) != 225 || relevant != 1837-225 {
		t.Errorf("%d passages, %d questions, %d relevant", len(c.passages), len(c.queries), relevant)
	}
	if !strings.HasPrefix(c.queries[0].text, "what similarity laws") || c.queries[0].gains[183] != 3 || c.queries[0].gains[11] != 2 {
		t.Errorf("the first question is %q with %v", c.queries[0].text, c.queries[0].gains)
	}
}

func TestBrokenCranfieldIsRefused(t *testing.T) {
	good := map[string]string{"cran.all.1400": ".I 1\n.T\ntitle\n.W\ntext\n", "cran.qry": ".I 001\n.W\nquestion\n", "cranqrel": "1 1 2\n"}
	for name, broken := range map[string][2]string{
		"a question that isn't there": {"cranqrel", "2 1 2\n"},
		"a document that isn't there": {"cranqrel", "1 2 2\n"},
		"a grade that isn't there":    {"cranqrel", "1 1 5\n"},
		"no number":                   {"cranqrel", "1 one 2\n"},
		"a number too few":            {"cranqrel", "1 1\n"},
		"no record":                   {"cran.all.1400", "text\n"},
		"no file":                     {"cran.qry", ""},
	} {
		dir := t.TempDir()
		for file, text := range good {
			if file == broken[0] {
				text = broken[1]
			}
			if text == "" {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := readCranfield(dir); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestDebianDescriptions(t *testing.T) {
	var b strings.Builder
	for i := range debianQueries + 10 {
		line := fmt.Sprintf("tool number %d", i)
		if i < 2 {
			line = "the same line"
		}
		fmt.Fprintf(&b, "Package: p%d\nDescription-md5: 0\nDescription-en: %s\n Text of %d, %s\n .\n More.\n\n", i, line, i, strings.Repeat("long ", 20))
	}
	b.WriteString("Package: again\nDescription-en: other\n Text of 0, " + strings.Repeat("long ", 20) + "\n .\n More.\n\n")
	b.WriteString("Package: brief\nDescription-en: brief\n Too short.\n")
	c, err := readDebian(strings.NewReader(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.passages) != debianQueries+10 || len(c.queries) != debianQueries {
		t.Fatalf("%d passages, %d questions", len(c.passages), len(c.queries))
	}
	if want := "Text of 0, " + strings.Repeat("long ", 20) + "\n\nMore."; c.passages[0] != want {
		t.Errorf("first passage %q, want %q", c.passages[0], want)
	}
	for _, q := range c.queries {
		if q.text == "the same line" && !cmp.Equal(q.gains, map[uint32]float64{0: 1, 1: 1}) {
			t.Errorf("a line that announces two is answered by %v", q.gains)
		}
	}
	if _, err := readDebian(strings.NewReader("Package: p\n")); !errors.Is(err, errUnavailable) {
		t.Errorf("nothing to read: %v", err)
	}
}
