package httpapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
)

func openAIBench(t *testing.T, answer func(message string) (httpapi.Answer, error)) *bench {
	b := newBench(t, httpapi.Options{})
	httpapi.Handle(b.door, "POST", "/v1/x", httpapi.Route{Style: httpapi.OpenAIErrors}, func(_ context.Context, _ httpapi.Call, r chatRequest) (httpapi.Answer, error) {
		return answer(r.Message)
	})
	return b
}

func TestErrorsInOpenAIsShape(t *testing.T) {
	errs := map[string]*httpapi.Error{
		"limited": {Status: 429, Code: "rate_limited", Message: "wait", RetryAfter: 1500 * time.Millisecond},
		"budget":  {Status: 429, Code: "budget_exceeded", Message: "spent"},
		"quota":   {Status: 503, Code: "ai_quota_exceeded", Message: "spent"},
		"model":   {Status: 403, Code: "model_not_allowed", Message: "not this", Details: []httpapi.Detail{{Path: "model", Message: "must be one of a"}}},
		"long":    {Status: 400, Code: "context_too_long", Message: "long"},
		"blocked": {Status: 400, Code: "content_blocked", Message: "no"},
		"ai":      {Status: 502, Code: "ai_error", Message: "failed"},
	}
	b := openAIBench(t, func(message string) (httpapi.Answer, error) {
		switch {
		case errs[message] != nil:
			return httpapi.Answer{}, fmt.Errorf("asking: %w", errs[message])
		case message == "panic":
			panic("c4nary")
		}
		return httpapi.Answer{}, errors.New("c4nary")
	})
	for name, tc := range map[string]struct {
		method, body, key string
		status            int
		kind, code, param string
		header            string
	}{
		"no key":        {"POST", "{}", "X-Tenant-Id: acme", 401, "invalid_request_error", "invalid_api_key", "", "Www-Authenticate: Bearer"},
		"wrong key":     {"POST", "{}", "X-Api-Key: nope", 401, "invalid_request_error", "invalid_api_key", "", ""},
		"method":        {"GET", "", bearerAcme, 405, "invalid_request_error", "method_not_allowed", "", "Allow: OPTIONS, POST"},
		"no json":       {"POST", "{", bearerAcme, 400, "invalid_request_error", "invalid_json", "", ""},
		"wrong type":    {"POST", `{"message":1}`, bearerAcme, 400, "invalid_request_error", "invalid_request", "message", ""},
		"missing":       {"POST", "{}", bearerAcme, 400, "invalid_request_error", "invalid_request", "message", ""},
		"large":         {"POST", `{"message":"` + strings.Repeat("x", 5000) + `"}`, bearerAcme, 413, "invalid_request_error", "payload_too_large", "", ""},
		"rate":          {"POST", `{"message":"limited"}`, bearerAcme, 429, "requests", "rate_limit_exceeded", "", "Retry-After: 2"},
		"budget":        {"POST", `{"message":"budget"}`, bearerAcme, 429, "insufficient_quota", "insufficient_quota", "", "X-Should-Retry: false"},
		"quota":         {"POST", `{"message":"quota"}`, bearerAcme, 429, "insufficient_quota", "insufficient_quota", "", "X-Should-Retry: false"},
		"model":         {"POST", `{"message":"model"}`, bearerAcme, 404, "invalid_request_error", "model_not_found", "model", ""},
		"long":          {"POST", `{"message":"long"}`, bearerAcme, 400, "invalid_request_error", "context_length_exceeded", "", ""},
		"blocked":       {"POST", `{"message":"blocked"}`, bearerAcme, 400, "invalid_request_error", "content_filter", "", ""},
		"upstream":      {"POST", `{"message":"ai"}`, bearerAcme, 502, "server_error", "ai_error", "", ""},
		"panic":         {"POST", `{"message":"panic"}`, bearerAcme, 500, "server_error", "internal_error", "", ""},
		"other failure": {"POST", `{"message":"x"}`, bearerAcme, 500, "server_error", "internal_error", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := b.do(tc.method, "/v1/x", tc.body, tc.key)
			var got httpapi.OpenAIError
			if err := json.Unmarshal([]byte(a.Body), &got); err != nil {
				t.Fatal(err)
			}
			param := ""
			if got.Error.Param != nil {
				param = *got.Error.Param
			}
			if a.Status != tc.status || got.Error.Type != tc.kind || got.Error.Code != tc.code || param != tc.param || got.Error.Message == "" {
				t.Errorf("%d %s", a.Status, a.Body)
			}
			if strings.Contains(a.Body, "c4nary") || strings.Contains(a.Body, `"ok"`) || a.Header.Get("X-Trace-Id") == "" {
				t.Errorf("%s %v", a.Body, a.Header)
			}
			if name, value, _ := strings.Cut(tc.header, ": "); a.Header.Get(name) != value {
				t.Errorf("%s is %q", name, a.Header.Get(name))
			}
		})
	}
}

func TestAPanicInAStreamInOpenAIsShape(t *testing.T) {
	b := openAIBench(t, func(string) (httpapi.Answer, error) {
		return httpapi.Answer{Stream: func(_ context.Context, w *httpapi.EventWriter) {
			w.Event("", map[string]int{"n": 1})
			panic("c4nary")
		}}, nil
	})
	a := b.do("POST", "/v1/x", `{"message":"x"}`, bearerAcme)
	want := "data: {\"n\":1}\n\ndata: {\"error\":{\"message\":\"something went wrong on our side: try again, and report the trace id if it stays\",\"type\":\"server_error\",\"param\":null,\"code\":\"internal_error\"}}\n\n"
	if diff := cmp.Diff(want, a.Body); diff != "" {
		t.Errorf("stream (-want +got):\n%s", diff)
	}
}

func TestWhatNoRouteAnswersIsRefusedInTheStyleOfItsPath(t *testing.T) {
	b := openAIBench(t, func(string) (httpapi.Answer, error) { return httpapi.Answer{Data: 1}, nil })
	b.door.ErrorsUnder("/v1", httpapi.OpenAIErrors)
	for path, openAI := range map[string]bool{
		"/v1": true, "/v1/": true, "/v1/files": true, "/v1/threads/x/runs": true, "/v1//x": true, "/v1/x/../y": true,
		"/v10": false, "/x/v1/files": false, "/": false,
	} {
		a := b.do("POST", path, "{}", bearerAcme)
		if a.Status != 404 || strings.Contains(a.Body, `"type":"invalid_request_error"`) != openAI || strings.Contains(a.Body, `"ok":false`) == openAI {
			t.Errorf("%s: %d %s", path, a.Status, a.Body)
		}
	}
	for path, openAI := range map[string]bool{"/v1/x": true, "/v1/files": true, "/chat": false} {
		w := httptest.NewRecorder()
		b.door.Refuse(w, httptest.NewRequestWithContext(t.Context(), "POST", path, nil), &httpapi.Error{Status: 503, Code: "unavailable", Message: "stopping"})
		if w.Code != 503 || strings.Contains(w.Body.String(), `"type":"server_error"`) != openAI {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}
