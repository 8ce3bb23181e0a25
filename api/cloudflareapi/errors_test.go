package cloudflareapi_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/api/cloudflareapi"
)

func TestParseErrorsReadsEveryShape(t *testing.T) {
	t.Parallel()
	type list = []cloudflareapi.Error
	for name, c := range map[string]struct {
		status            int
		contentType, body string
		want              list
	}{
		"REST envelope":             {400, "application/json", `{"success":false,"errors":[{"code":7003,"message":"Could not route"},{"code":7000,"message":"No route"}],"result":null}`, list{{Code: 7003, Message: "Could not route"}, {Code: 7000, Message: "No route"}}},
		"gateway, singular array":   {401, "application/json", `{"success":false,"result":[],"messages":[],"error":[{"code":2009,"message":"Unauthorized"}]}`, list{{Code: 2009, Message: "Unauthorized"}}},
		"gateway with its name":     {400, "application/json", `{"name":"AiGatewayError","httpCode":400,"internalCode":2009,"success":false,"error":[{"code":2009,"message":"Unauthorized"}]}`, list{{Code: 2009, Message: "Unauthorized"}}},
		"binding style":             {429, "application/json", `{"internalCode":3036,"message":"used up","name":"InferenceUpstreamError","description":"x"}`, list{{Code: 3036, Message: "used up", Type: "InferenceUpstreamError"}}},
		"OpenAI style":              {400, "application/json", `{"error":{"message":"no such model","type":"invalid_request_error","code":"model_not_found"}}`, list{{Message: "no such model", Type: "invalid_request_error"}}},
		"OpenAI style with digits":  {429, "application/json", `{"error":{"message":"busy","code":"3040"}}`, list{{Code: 3040, Message: "busy"}}},
		"error is a text":           {404, "application/json", `{"error":"gone"}`, list{{Message: "gone"}}},
		"200 that failed":           {200, "application/json", `{"success":false,"errors":[{"code":5007,"message":"No such model"}]}`, list{{Code: 5007, Message: "No such model"}}},
		"200 that went well":        {200, "application/json", `{"success":true,"errors":[],"result":{"response":"x"}}`, nil},
		"web page":                  {520, "text/html; charset=UTF-8", `<html>{"errors":[{"code":1}]}</html>`, nil},
		"web page without its type": {502, "", `<html>`, nil},
		"empty":                     {500, "application/json", ``, nil},
		"wrong types":               {500, "application/json", `{"errors":{"code":{},"message":[]},"error":5}`, list{{}}},
		"null everywhere":           {500, "application/json", `{"success":null,"errors":null,"error":null,"message":null}`, list{{}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, cloudflareapi.ParseErrors(c.status, c.contentType, []byte(c.body))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzParseErrors(f *testing.F) {
	f.Add(500, `{"errors":[{"code":1,"message":"m"}]}`)
	f.Add(200, `{"success":false,"error":[null,"x",{"code":"9"}]}`)
	f.Fuzz(func(t *testing.T, status int, body string) {
		for _, e := range cloudflareapi.ParseErrors(status, "application/json", []byte(body)) {
			if strings.Contains(body, e.Message) || strings.ContainsAny(body, `\`) || e.Message == "" {
				continue
			}
			// Invalid UTF-8 is the only other thing that changes a text.
			if strings.ContainsRune(e.Message, '\uFFFD') {
				continue
			}
			t.Fatalf("the message %q isn't in the body %q", e.Message, body)
		}
	})
}
