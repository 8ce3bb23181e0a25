package cloudflareapi

import (
	"encoding/json"
	"mime"
	"strconv"
	"strings"
)

// Error is one reason that Cloudflare gives.
type Error struct {
	// Code is Cloudflare's number, 0 if it gave none.
	Code int
	// Message is Cloudflare's text.
	Message string
	// Type is the word of an OpenAI-style error, or the name of a gateway's.
	Type string
}

// ParseErrors reads the errors of an answer. Four shapes are in use:
//
//	{"success":false,"errors":[{"code":7003,"message":"…"}]}           the REST API
//	{"success":false,"error":[{"code":2009,"message":"…"}]}            AI Gateway
//	{"internalCode":3036,"message":"…","name":"…"}                      Workers AI's own
//	{"error":{"message":"…","type":"…","code":"…"}}                     OpenAI's, on /ai/v1
//
// An answer under 400 has errors only if it says success:false or holds one of its
// own accord. A web page has none.
func ParseErrors(status int, contentType string, body []byte) []Error {
	if t, _, err := mime.ParseMediaType(contentType); err == nil && t == "text/html" {
		return nil
	}
	var b struct {
		Success      *bool           `json:"success"`
		Errors       json.RawMessage `json:"errors"`
		Error        json.RawMessage `json:"error"`
		InternalCode number          `json:"internalCode"`
		Message      json.RawMessage `json:"message"`
		Name         json.RawMessage `json:"name"`
	}
	if json.Unmarshal(body, &b) != nil {
		return nil
	}
	if status < 400 && b.Success != nil && *b.Success {
		return nil
	}
	found := append(parseList(b.Errors), parseList(b.Error)...)
	if len(found) == 0 && (b.InternalCode != 0 || status >= 400 && len(b.Message) > 0) {
		found = []Error{{Code: int(b.InternalCode), Message: text(b.Message), Type: text(b.Name)}}
	}
	return found
}

// parseList reads an array of errors, one error, or a bare text.
func parseList(raw json.RawMessage) []Error {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		list = []json.RawMessage{raw}
	}
	var found []Error
	for _, item := range list {
		var e struct {
			Code    number          `json:"code"`
			Message json.RawMessage `json:"message"`
			Type    json.RawMessage `json:"type"`
		}
		if json.Unmarshal(item, &e) != nil {
			if s := text(item); s != "" {
				found = append(found, Error{Message: s})
			}
			continue
		}
		found = append(found, Error{Code: int(e.Code), Message: text(e.Message), Type: text(e.Type)})
	}
	return found
}

func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// number is a code that may be written as a number or a string of digits; anything
// else is 0.
type number int

func (n *number) UnmarshalJSON(raw []byte) error {
	v, err := strconv.Atoi(strings.Trim(string(raw), `"`))
	if err == nil {
		*n = number(v)
	}
	return nil
}
