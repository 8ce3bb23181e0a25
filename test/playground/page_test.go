package playground_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net/http"
	"strconv"
	"testing"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
	"github.com/crispy-enigma/crispy-enigma/runtime/server"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

const key = "ce_c4nary-playground-0123456789"

// serve is a tenant with all that the page shows.
func serve(t *testing.T, up *aifake.Server, bend func(*tenantconfig.Config)) string {
	t.Helper()
	sum := sha256.Sum256([]byte(key))
	cfg := &tenantconfig.Config{
		Version:    1,
		Tenant:     tenantconfig.Tenant{ID: "acme", Identity: "o/n/development/acme", Environment: "development"},
		Server:     tenantconfig.Server{APIPort: 8080, MetricsPort: 9090, DrainSeconds: 1},
		State:      tenantconfig.State{Driver: tenantconfig.StateMemory},
		Auth:       tenantconfig.Auth{Mode: tenantconfig.AuthAPIKey, Keys: []tenantconfig.Key{{Name: "main", Digests: []tenantconfig.Digest{{SHA256: hex.EncodeToString(sum[:])}}}}},
		Upstream:   tenantconfig.Upstream{Type: tenantconfig.UpstreamOpenAI, BaseURL: up.URL},
		Models:     tenantconfig.Models{Chat: "big", Fallbacks: []string{"small"}},
		Prompt:     tenantconfig.Prompt{MaxTokens: 500},
		Limits:     tenantconfig.Limits{BodyBytes: 1 << 20, MessageChars: 10_000},
		Sessions:   tenantconfig.Sessions{RetentionDays: 30, MaxMessages: 1000},
		Documents:  tenantconfig.Documents{Store: tenantconfig.DocumentsState},
		Tools:      tenantconfig.Tools{Enabled: true},
		Speech:     tenantconfig.Speech{Provider: tenantconfig.SpeechLocal},
		Playground: true,
	}
	if bend != nil {
		bend(cfg)
	}
	tenant, err := tenancy.NewTenant(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.New(t.Context(), server.Options{
		Tenant: tenant, APIAddress: "127.0.0.1:0", MetricsAddress: "127.0.0.1:0", LameDuck: -1, Build: "test", Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return "http://" + s.APIAddr().String()
}

func get(t *testing.T, url string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res
}

func TestThePageIsThereWhereItIsWanted(t *testing.T) {
	t.Parallel()
	on, off := serve(t, aifake.New(t), nil), serve(t, aifake.New(t), func(c *tenantconfig.Config) { c.Playground = false })
	for path, want := range map[string]int{"/": 200, "/playground/app.js": 200, "/playground/style.css": 200, "/playground/none.js": 404, "/playground/..%2findex.html": 404, "/playground/page": 404} {
		res := get(t, on+path)
		if res.StatusCode != want || want == 200 && res.Header.Get("Content-Security-Policy") == "" {
			t.Errorf("%s: %d %v", path, res.StatusCode, res.Header)
		}
		if res := get(t, off+path); res.StatusCode != 404 {
			t.Errorf("%s without a playground: %d", path, res.StatusCode)
		}
	}
}

// One visit, as a person makes it.
func TestAVisit(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	up := aifake.New(t)
	api := serve(t, up, nil)
	b := open(t)
	b.size(1200, 800, false)
	b.call("Page.navigate", map[string]any{"url": api + "/"}, nil)

	b.await("the key to be asked for", "document.getElementById('keyDialog')?.open")
	b.eval("document.getElementById('key').focus()")
	b.typed("wrong-key")
	b.await("the wrong key to be told, with its trace", "/unauthorized, trace/.test(document.getElementById('keyAlert').textContent)")
	b.eval("document.getElementById('key').focus()")
	b.typed(key)
	b.await("the models", "document.getElementById('model').options.length === 2")
	b.await("the documents", "!document.getElementById('documents').hidden")

	up.Answer(aifake.Says("Hello ", "**world** <img src=x onerror=alert(1)>", " and [a](javascript:alert(1)) [c](data:text/html,x) ", "[b](https://example.com/).").PauseAt(1, gate))
	b.eval("document.getElementById('message').focus()")
	b.typed("Say hello.")
	b.await("the first token while the rest is on its way", "document.querySelector('article:last-child .text')?.textContent === 'Hello ' && !document.getElementById('stop').hidden")
	close(gate)
	b.await("the whole answer", "document.querySelector('article:last-child .meta')")
	if got := b.eval("document.querySelector('article:last-child .text').innerHTML"); got !=
		`<p>Hello <strong>world</strong> &lt;img src=x onerror=alert(1)&gt; and [a](javascript:alert(1)) c <a href="https://example.com/" rel="noopener noreferrer nofollow" target="_blank">b</a>.</p>` {
		t.Errorf("the answer is written as %s", got)
	}
	b.await("the session in the list", "document.querySelectorAll('#sessions li.current').length === 1")
	b.picture("light")

	// It is read out by the voice of this machine.
	b.eval("document.querySelector('article:last-child .meta button').click()")
	b.await("the speech to be played", "document.querySelector('article:last-child .meta button').textContent === 'Stop'")

	b.eval(`(async () => {
		const files = new DataTransfer();
		files.items.add(new File(["# Hours\n\nThe office in Vienna opens at nine and closes at five on weekdays."], "hours.md", {type: "text/markdown"}));
		document.getElementById("upload").files = files.files;
		document.getElementById("upload").dispatchEvent(new Event("change"));
	})()`)
	b.await("the document in the list", "document.querySelector('#documentList li')?.textContent.includes('ours')")
	up.Answer(aifake.Says("It opens at nine [1], not at ten [7]."))
	b.eval("document.getElementById('useRag').click(); document.getElementById('message').focus()")
	b.typed("When does the office in Vienna open?")
	b.await("a citation", "document.querySelector('article:last-child button.cite')")
	b.eval("document.querySelector('article:last-child button.cite').click()")
	b.await("the passage", "document.getElementById('passage').open && /opens at nine/.test(document.getElementById('passageText').textContent)")
	b.picture("passage")
	b.eval("document.getElementById('passage').close(); document.getElementById('useRag').click()")

	up.Answer(aifake.Calls(aifake.Call{ID: "c1", Name: "search_docs", Arguments: `{"query":"office"}`}), aifake.Says("I looked it up."))
	b.eval("document.getElementById('message').focus()")
	b.typed("Look it up.")
	b.await("the tool's end", "/search_docs: done in/.test(document.querySelector('article:last-child .tools')?.textContent)")

	up.Answer(aifake.Refuses(500, `{"error":{"message":"no"}}`), aifake.Refuses(500, `{"error":{"message":"no"}}`), aifake.Refuses(500, `{"error":{"message":"no"}}`), aifake.Refuses(500, `{"error":{"message":"no"}}`))
	b.eval("document.getElementById('message').focus()")
	b.typed("Fail.")
	b.await("the failure with its trace", "/ai_error, trace/.test(document.getElementById('alert').textContent)")
	if got := b.eval("document.getElementById('message').value"); got != "Fail." {
		t.Errorf("what couldn't be sent is %q", got)
	}

	b.call("Page.reload", nil, nil)
	b.await("the session after a reload", "document.querySelector('#sessions li button')?.textContent.includes('6 messages')")
	b.eval("document.getElementById('theme').click(); document.querySelector('#sessions li button').click()")
	b.await("what was said", "document.querySelectorAll('article').length === 6")
	b.picture("dark")
	b.size(390, 800, true)
	if wide, err := strconv.Atoi(b.eval("document.documentElement.scrollWidth")); err != nil || wide > 390 {
		t.Errorf("the page is %d wide on a telephone", wide)
	}
	b.picture("mobile")
	b.eval("document.getElementById('menu').click()")
	b.picture("mobile-side")

	if nameless := b.eval("[...document.querySelectorAll('button, input, select, textarea')].filter(e => !(e.textContent.trim() || e.ariaLabel || e.labels?.length)).map(e => e.id).join()"); nameless != "" {
		t.Errorf("without a name for screen readers: %s", nameless)
	}
	if told := b.complaints(); told != "" {
		t.Errorf("the browser complains: %s", told)
	}
}
