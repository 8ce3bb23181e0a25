package speech_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/localspeech"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/limits"
	"github.com/crispy-enigma/crispy-enigma/runtime/speech"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/memory"
	"github.com/crispy-enigma/crispy-enigma/runtime/telemetry"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// voice speaks as it is told; it keeps what it was asked.
type voice struct {
	mu    sync.Mutex
	asked []ai.SpeakRequest
	say   func(ctx context.Context, n int, req ai.SpeakRequest) (ai.Audio, error)
}

func (v *voice) Speaker(*tenancy.Tenant) ai.Speaker { return v }

func (v *voice) Speak(ctx context.Context, _ tenancy.ID, req ai.SpeakRequest) (ai.Audio, error) {
	v.mu.Lock()
	v.asked = append(v.asked, req)
	n := len(v.asked)
	v.mu.Unlock()
	return v.say(ctx, n, req)
}

type local struct{ driver ai.Speaker }

func (l local) Speaker(*tenancy.Tenant) ai.Speaker { return l.driver }

type calls struct {
	mu   sync.Mutex
	kept []telemetry.Call
}

func (c *calls) Record(_ context.Context, _ tenancy.ID, call telemetry.Call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept = append(c.kept, call)
}

type bed struct {
	url   string
	calls *calls
	gate  *limits.Gate
	owner *tenancy.Tenant
}

func newBed(t *testing.T, speakers speech.Speakers, bend func(*tenantconfig.Config)) bed {
	t.Helper()
	cfg := &tenantconfig.Config{
		Version:  1,
		Tenant:   tenantconfig.Tenant{ID: "acme", Identity: "o/n/development/acme", Environment: "development"},
		Server:   tenantconfig.Server{APIPort: 8080, MetricsPort: 9090, DrainSeconds: 1},
		State:    tenantconfig.State{Driver: tenantconfig.StateMemory},
		Auth:     tenantconfig.Auth{Mode: tenantconfig.AuthNone},
		Hosts:    []string{"127.0.0.1"},
		Upstream: tenantconfig.Upstream{Type: tenantconfig.UpstreamOpenAI, BaseURL: "http://unused.example/v1"},
		Models:   tenantconfig.Models{Chat: "big", Prices: []tenantconfig.Price{{Model: "tts", InputPerMillion: 1_000_000}}},
		Limits:   tenantconfig.Limits{BodyBytes: 1 << 20, MessageChars: 1000},
		Sessions: tenantconfig.Sessions{RetentionDays: 1, MaxMessages: 1000},
		Speech:   tenantconfig.Speech{Provider: tenantconfig.SpeechUpstream, Model: "tts", Voice: "ann"},
	}
	if bend != nil {
		bend(cfg)
	}
	tenant, err := tenancy.NewTenant(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := tenancy.NewDirectory(tenant)
	if err != nil {
		t.Fatal(err)
	}
	store := memory.New(memory.Options{})
	b := bed{calls: &calls{}, owner: tenant, gate: limits.New(store.Windows(), store.Budgets(), limits.Options{})}
	door := httpapi.NewDoor(dir, httpapi.Options{Translate: translate})
	speech.New(speech.Needs{Speakers: speakers, Gate: b.gate, Recorder: b.calls, Estimator: &ai.Estimator{}}).Mount(door)
	s := httptest.NewServer(door)
	t.Cleanup(s.Close)
	b.url = s.URL
	return b
}

func (b bed) post(t *testing.T, body string) (*http.Response, []byte, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+"/tts", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("x-tenant-id", "acme")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	sound, err := io.ReadAll(res.Body)
	return res, sound, err
}

// translate stands for the server's table: what speech leaves to it.
func translate(err error) *httpapi.Error {
	if e, ok := errors.AsType[*ai.Error](err); ok {
		return &httpapi.Error{Status: http.StatusTooManyRequests, Code: "ai_" + string(e.Kind)}
	}
	return nil
}

// refusal is status, code and the first wrong field.
func refusal(res *http.Response, body []byte) string {
	var e struct {
		Error struct {
			Code    string
			Details []struct{ Path string }
		}
	}
	_ = json.Unmarshal(body, &e)
	out := res.Status[:3] + " " + e.Error.Code
	if len(e.Error.Details) > 0 {
		out += " " + e.Error.Details[0].Path
	}
	return out
}

func sound(contentType, text string) ai.Audio {
	return ai.Audio{ContentType: contentType, ReadCloser: io.NopCloser(strings.NewReader(text))}
}

func TestATextIsReadOutAndBilled(t *testing.T) {
	t.Parallel()
	v := &voice{say: func(context.Context, int, ai.SpeakRequest) (ai.Audio, error) { return sound("audio/ogg", "OggS"), nil }}
	b := newBed(t, v, nil)
	res, got, err := b.post(t, `{"text":"Hello there. All is well.","format":"opus","speed":1.5}`)
	if err != nil || res.StatusCode != 200 || res.Header.Get("Content-Type") != "audio/ogg" || string(got) != "OggS" {
		t.Fatalf("%d %s, %v", res.StatusCode, got, err)
	}
	want := []ai.SpeakRequest{{Model: "tts", Text: "Hello there. All is well.", Voice: "ann", Format: "opus", Speed: 1.5, TraceID: res.Header.Get("X-Trace-Id")}}
	if d := cmp.Diff(want, v.asked); d != "" {
		t.Error(d)
	}
	call := b.calls.kept[0]
	spent, err := b.gate.Spending(t.Context(), b.owner)
	if err != nil || call.Feature != "tts" || call.Outcome != "ok" || call.In < 5 || call.MicroUSD != int64(call.In) || spent.TokensToday != int64(call.In) {
		t.Errorf("%+v, spent %+v, %v", call, spent, err)
	}
}

func TestAStreamIsSpokenBySentences(t *testing.T) {
	t.Parallel()
	heard := make(chan struct{})
	v := &voice{say: func(_ context.Context, n int, req ai.SpeakRequest) (ai.Audio, error) {
		if n == 2 {
			<-heard // the first piece is heard before the second is made
		}
		return sound("audio/mpeg", "<"+req.Text[:5]+">"), nil
	}}
	b := newBed(t, v, nil)
	text := "First, a short one. " + strings.Repeat("Second words follow here. ", 40)
	body, _ := json.Marshal(map[string]any{"text": text, "streaming": true})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+"/tts", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("x-tenant-id", "acme")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	first := make([]byte, 7)
	if _, err := io.ReadFull(res.Body, first); err != nil || string(first) != "<First>" {
		t.Fatalf("%q, %v", first, err)
	}
	close(heard)
	rest, err := io.ReadAll(res.Body)
	if err != nil || !strings.HasPrefix(string(rest), "<Secon>") || len(v.asked) < 3 {
		t.Errorf("%q in %d pieces, %v", rest, len(v.asked), err)
	}
	var spoken []string
	for _, a := range v.asked {
		spoken = append(spoken, a.Text)
	}
	if got := strings.Join(spoken, " "); got != strings.TrimSpace(text) {
		t.Errorf("spoken: %q", got)
	}
}

func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	fails := func(err error) *voice {
		return &voice{say: func(context.Context, int, ai.SpeakRequest) (ai.Audio, error) { return ai.Audio{}, err }}
	}
	for name, tc := range map[string]struct {
		v    *voice
		bend func(*tenantconfig.Config)
		body string
		want string
	}{
		"no text":        {nil, nil, `{"text":" \n"}`, "400 invalid_request text"},
		"5001 letters":   {nil, nil, `{"text":"` + strings.Repeat("ü", 5001) + `"}`, "400 invalid_request text"},
		"format":         {nil, nil, `{"text":"x","format":"flac"}`, "400 invalid_request format"},
		"speed":          {nil, nil, `{"text":"x","speed":4.1}`, "400 invalid_request speed"},
		"unlisted voice": {nil, func(c *tenantconfig.Config) { c.Speech.Voices = []string{"bob"} }, `{"text":"x","voice":"eve"}`, "400 invalid_request voice"},
		"its format":     {fails(&ai.Error{Kind: ai.KindBadRequest, Err: ai.ErrFormat}), nil, `{"text":"x"}`, "400 invalid_request format"},
		"its voice":      {fails(&ai.Error{Kind: ai.KindBadRequest, Err: ai.ErrVoice}), nil, `{"text":"x"}`, "400 invalid_request voice"},
		"its speed":      {fails(&ai.Error{Kind: ai.KindBadRequest, Err: ai.ErrSpeed}), nil, `{"text":"x"}`, "400 invalid_request speed"},
		"down":           {fails(&ai.Error{Kind: ai.KindUnavailable, Status: 500}), nil, `{"text":"x"}`, "502 tts_error"},
		"no credential":  {fails(&ai.Error{Kind: ai.KindUnauthorized, Status: 401}), nil, `{"text":"x"}`, "502 tts_error"},
		"busy":           {fails(&ai.Error{Kind: ai.KindRateLimited, Status: 429}), nil, `{"text":"x"}`, "429 ai_rate_limited"},
		"budget":         {nil, func(c *tenantconfig.Config) { c.Limits.Tokens.Daily = 2 }, `{"text":"This text is longer than that."}`, "429 budget_exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := tc.v
			if v == nil {
				v = fails(errors.New("it wasn't to be asked"))
			}
			b := newBed(t, v, tc.bend)
			res, body, _ := b.post(t, tc.body)
			if got := refusal(res, body); got != tc.want {
				t.Errorf("%s, want %s: %s", got, tc.want, body)
			}
			if spent, err := b.gate.Spending(t.Context(), b.owner); err != nil || spent.TokensToday != 0 {
				t.Errorf("a refused text cost %d, %v", spent.TokensToday, err)
			}
			if (tc.v == nil) != (len(v.asked) == 0) {
				t.Errorf("the voice was asked %d times", len(v.asked))
			}
		})
	}
	b := newBed(t, local{nil}, func(c *tenantconfig.Config) { c.Speech = tenantconfig.Speech{} })
	if res, body, _ := b.post(t, `{"text":"x"}`); refusal(res, body) != "403 tts_not_enabled" {
		t.Errorf("without speech: %s", body)
	}
}

// Half a speech must not look like a whole one, and costs what was taken of it.
func TestAStreamThatBreaksIsCutOff(t *testing.T) {
	t.Parallel()
	v := &voice{say: func(_ context.Context, n int, _ ai.SpeakRequest) (ai.Audio, error) {
		if n == 2 {
			return ai.Audio{}, &ai.Error{Kind: ai.KindUnavailable}
		}
		return sound("audio/mpeg", "sound"), nil
	}}
	b := newBed(t, v, nil)
	res, _, err := b.post(t, `{"streaming":true,"text":"One. `+strings.Repeat("Two words. ", 100)+`"}`)
	if res.StatusCode != 200 || err == nil {
		t.Errorf("%d, %v", res.StatusCode, err)
	}
	b.calls.mu.Lock()
	defer b.calls.mu.Unlock()
	if c := b.calls.kept[0]; c.Outcome != "error" || c.In == 0 || c.In > 60 {
		t.Errorf("%+v", c)
	}
}

func TestLocalVoice(t *testing.T) {
	t.Parallel()
	b := newBed(t, local{localspeech.New(os.Getenv("PATH"), localspeech.Limits{})}, func(c *tenantconfig.Config) {
		c.Speech = tenantconfig.Speech{Provider: tenantconfig.SpeechLocal}
	})
	text := "A first sentence. " + strings.Repeat("Then there is another one. ", 30)
	whole, _ := json.Marshal(map[string]any{"text": text})
	parts, _ := json.Marshal(map[string]any{"text": text, "streaming": true, "format": "wav"})
	_, one, err := b.post(t, string(whole))
	if err != nil {
		t.Fatal(err)
	}
	res, many, err := b.post(t, string(parts))
	if err != nil || res.Header.Get("Content-Type") != "audio/wav" {
		t.Fatalf("%v, %s", err, res.Header)
	}
	// One header, of unknown length, and about as much speech; pieces add their pauses.
	if bytes.Count(many, []byte("RIFF")) != 1 || binary.LittleEndian.Uint32(many[4:]) != 0xffffffff || !bytes.Equal(one[12:36], many[12:36]) {
		t.Errorf("a stream begins %x", many[:44])
	}
	if ratio := float64(len(many)) / float64(len(one)); ratio < 0.9 || ratio > 1.2 {
		t.Errorf("%d bytes in pieces, %d at once", len(many), len(one))
	}
	if res, body, _ := b.post(t, `{"text":"x","format":"mp3"}`); refusal(res, body) != "400 invalid_request format" {
		t.Errorf("mp3: %s", body)
	}
}
