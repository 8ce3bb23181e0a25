package chatwire_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/chatwire"
)

func TestRefusalsAreTranslated(t *testing.T) {
	t.Parallel()
	soon := time.Now().Add(90 * time.Second).UTC().Format(http.TimeFormat)
	for name, c := range map[string]struct {
		answer aifake.Answer
		kind   ai.Kind
		after  time.Duration
	}{
		"OpenAI, wrong key":       {aifake.Refuses(401, `{"error":{"message":"Incorrect API key provided: sk-c4nary","code":"invalid_api_key"}}`), ai.KindUnauthorized, 0},
		"forbidden":               {aifake.Refuses(403, `{}`), ai.KindUnauthorized, 0},
		"OpenAI, rate":            {aifake.Refuses(429, `{"error":{"code":"rate_limit_exceeded"}}`, "Retry-After", "7"), ai.KindRateLimited, 7 * time.Second},
		"Retry-After is a date":   {aifake.Refuses(429, ``, "Retry-After", soon), ai.KindRateLimited, 90 * time.Second},
		"Retry-After is nonsense": {aifake.Refuses(429, ``, "Retry-After", "soon"), ai.KindRateLimited, 0},
		"Retry-After is negative": {aifake.Refuses(429, ``, "Retry-After", "-5"), ai.KindRateLimited, 0},
		"Retry-After is for ever": {aifake.Refuses(429, ``, "Retry-After", "1e99"), ai.KindRateLimited, 24 * time.Hour},
		"OpenAI, quota":           {aifake.Refuses(429, `{"error":{"code":"insufficient_quota","type":"insufficient_quota"}}`), ai.KindQuota, 0},
		"payment required":        {aifake.Refuses(402, ``), ai.KindQuota, 0},
		"Ollama, no model":        {aifake.Refuses(404, `{"error":{"message":"model 'x' not found","type":"api_error","param":null,"code":null}}`), ai.KindModelNotFound, 0},
		"Ollama native, no model": {aifake.Refuses(404, `{"error":"model \"x\" not found, try pulling it first"}`), ai.KindModelNotFound, 0},
		"vLLM, no model":          {aifake.Refuses(404, `{"error":{"message":"The model `+"`x`"+` does not exist.","type":"NotFoundError","code":404}}`), ai.KindModelNotFound, 0},
		"older vLLM, no model":    {aifake.Refuses(404, `{"object":"error","message":"The model `+"`x`"+` does not exist.","type":"NotFoundError","param":null,"code":404}`), ai.KindModelNotFound, 0},
		"wrong base URL":          {aifake.Refuses(404, `404 page not found`), ai.KindUnavailable, 0},
		"OpenAI, too long":        {aifake.Refuses(400, `{"error":{"message":"This model's maximum context length is 8192 tokens.","code":"context_length_exceeded"}}`), ai.KindTooLong, 0},
		"llama.cpp, too long":     {aifake.Refuses(400, `{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error","n_ctx":512}}`), ai.KindTooLong, 0},
		"vLLM, too long":          {aifake.Refuses(400, `{"error":{"message":"This model's maximum context length is 10 tokens. Please reduce the length","type":"BadRequestError","code":400}}`), ai.KindTooLong, 0},
		"body too large":          {aifake.Refuses(413, `<html>`), ai.KindTooLong, 0},
		"content filter":          {aifake.Refuses(400, `{"error":{"code":"content_filter","message":"x"}}`), ai.KindBlocked, 0},
		"bad request":             {aifake.Refuses(400, `{"error":{"message":"temperature must be …"}}`), ai.KindBadRequest, 0},
		"unprocessable":           {aifake.Refuses(422, `{"detail":[{"msg":"c4nary"}]}`), ai.KindBadRequest, 0},
		"server error":            {aifake.Refuses(500, `{"error":{"message":"c4nary"}}`), ai.KindUnavailable, 0},
		"web page":                {aifake.Refuses(502, `<html>c4nary</html>`, "Retry-After", "3"), ai.KindUnavailable, 3 * time.Second},
		"redirect":                {aifake.Refuses(307, ``, "Location", "http://c4nary.invalid/"), ai.KindUnavailable, 0},
		"request timeout":         {aifake.Refuses(408, ``), ai.KindTimeout, 0},
		"method not allowed":      {aifake.Refuses(405, ``), ai.KindUnavailable, 0},
		"no content":              {aifake.Refuses(204, ``), ai.KindUnavailable, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			up := aifake.New(t, c.answer)
			client := newClient(t, up.URL, chatwire.Settings{})
			_, streamed := ask(t, client)
			_, whole := client.Complete(t.Context(), acme(t), question())
			for _, err := range []error{streamed, whole} {
				var e *ai.Error
				if !errors.As(err, &e) || e.Kind != c.kind {
					t.Fatalf("the error is %v, want %q", err, c.kind)
				}
				if d := c.after - e.RetryAfter; d < -2*time.Second || d > 2*time.Second {
					t.Errorf("retry after %v, want %v", e.RetryAfter, c.after)
				}
				noCanary(t, err)
			}
			if n := len(up.Requests()); n != 2 {
				t.Errorf("%d calls were made for 2 questions; none of these may be repeated", n)
			}
		})
	}
}

func TestCallsAreRepeatedOnlyBeforeTheFirstByte(t *testing.T) {
	t.Parallel()
	ok := aifake.Says("fine")
	for name, c := range map[string]struct {
		answers []aifake.Answer
		calls   int
		kind    ai.Kind
	}{
		"dropped once":             {[]aifake.Answer{aifake.Drops(), ok}, 2, ""},
		"dropped for ever":         {[]aifake.Answer{aifake.Drops()}, 2, ai.KindUnavailable},
		"502 once":                 {[]aifake.Answer{aifake.Refuses(502, "<html>"), ok}, 2, ""},
		"503 once":                 {[]aifake.Answer{aifake.Refuses(503, ""), ok}, 2, ""},
		"504 for ever":             {[]aifake.Answer{aifake.Refuses(504, "")}, 2, ai.KindUnavailable},
		"503 that says when":       {[]aifake.Answer{aifake.Refuses(503, "", "Retry-After", "1"), ok}, 1, ai.KindUnavailable},
		"500":                      {[]aifake.Answer{aifake.Refuses(500, ""), ok}, 1, ai.KindUnavailable},
		"429":                      {[]aifake.Answer{aifake.Refuses(429, ""), ok}, 1, ai.KindRateLimited},
		"broken after the headers": {[]aifake.Answer{ok.CutAfter(1), ok}, 1, ai.KindTruncated},
		"broken inside the answer": {[]aifake.Answer{ok.CutAfter(60), ok}, 1, ai.KindTruncated},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			up := aifake.New(t, c.answers...)
			got, err := ask(t, newClient(t, up.URL, chatwire.Settings{}))
			if kindOf(err) != c.kind {
				t.Errorf("the error is %v, want %q", err, c.kind)
			}
			if c.kind == "" && got.Text != "fine" {
				t.Errorf("the text is %q", got.Text)
			}
			if n := len(up.Requests()); n != c.calls {
				t.Errorf("%d calls, want %d", n, c.calls)
			}
		})
	}
}
