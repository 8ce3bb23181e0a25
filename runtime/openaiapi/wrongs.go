package openaiapi

import (
	"encoding/json"

	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
)

// wrongs are what is wrong with a request.
type wrongs []httpapi.Detail

// add notes what is wrong with a field, if it is.
func (w *wrongs) add(wrong bool, path, message string) {
	if wrong {
		*w = append(*w, httpapi.Detail{Path: path, Message: message})
	}
}

// given tells that a field was there and not null.
func given(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }

// stringOrStrings reads a string, or an array of strings.
func stringOrStrings(raw json.RawMessage) ([]string, bool) {
	var one string
	if !given(raw) {
		return nil, true
	}
	if json.Unmarshal(raw, &one) == nil {
		return []string{one}, true
	}
	var all []*string
	if json.Unmarshal(raw, &all) != nil {
		return nil, false
	}
	texts := make([]string, len(all))
	for i, s := range all {
		if s == nil {
			return nil, false
		}
		texts[i] = *s
	}
	return texts, true
}

func outside(v *float64, least, most float64) bool { return v != nil && (*v < least || *v > most) }
