package openaiapi

import (
	"encoding/json"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
)

// DecodeChat and DecodeResponses show fuzz tests what a body asks the model; ok is false
// if it is refused.
func DecodeChat(body []byte) (asked []ai.Message, ok bool) {
	var r chatRequest
	if json.Unmarshal(body, &r) != nil || len(r.Validate()) > 0 {
		return nil, false
	}
	return r.asked.messages, true
}

func DecodeResponses(body []byte) (asked []ai.Message, ok bool) {
	var r responsesRequest
	if json.Unmarshal(body, &r) != nil || len(r.Validate()) > 0 {
		return nil, false
	}
	return r.asked.messages, true
}
