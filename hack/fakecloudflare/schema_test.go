package fakecloudflare_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/hack/fakecloudflare"
)

func unpacked(t *testing.T) []byte {
	t.Helper()
	packed, err := os.ReadFile("openapi/cloudflare.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	zip, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(zip)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestTheDocumentIsQuickToLoad(t *testing.T) {
	t.Parallel()
	s, err := fakecloudflare.New(fakecloudflare.Options{})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := s.LoadSchema(); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	t.Logf("loaded in %v", took.Round(time.Millisecond))
	if took > 5*time.Second { // a busy machine included
		t.Errorf("loading took %v", took)
	}
}

func TestRequestsThatBreakTheDocumentAreNoted(t *testing.T) {
	t.Parallel()
	f := start(t, fakecloudflare.Options{})
	for n, broken := range []func() reply{
		func() reply { return f.call("POST", kv, map[string]any{"title": 5}) },
		func() reply { return f.call("POST", kv, "title=x", "Content-Type", "text/plain") },
		func() reply { return f.call("POST", kv, `{"title":"x"} {}`) },
		func() reply { return f.call("POST", "~/vectorize/v2/indexes", map[string]any{"name": "x1"}) },
		func() reply { return f.call("GET", "~/storage/kv/namespaces?order=size", nil) },
		func() reply {
			return f.call("POST", "~/ai/v1/chat/completions", map[string]any{"model": "@cf/meta/llama-3.2-3b-instruct"})
		},
	} {
		if r := broken(); r.status != 400 {
			t.Errorf("call %d was answered %d", n, r.status)
		}
		if got := f.clientViolations(); got != n+1 {
			t.Errorf("after call %d there are %d violations", n, got)
		}
	}
	// As wrangler sends it.
	f.want(200, 0, "POST", kv, map[string]string{"title": "x"}, "Content-Type", "application/json; charset=utf-8;")
}
