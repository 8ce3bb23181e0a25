package tools

import (
	"context"
	"errors"
	"strings"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

const intentTokens = 100

// intent is what classify_intent returns. Confidence is the model's own word, 0 to 1.
type intent struct {
	Category   string  `json:"category"`
	Confidence float64 `json:"confidence"`
}

func intentMessages(params map[string]any) []ai.Message {
	return instruct("Tell which one of these categories the text that you are given belongs to:\n"+string(marshal(params["categories"]))+
		"\nAnswer with a JSON object alone: {\"category\":\"one of them, as it is written there\",\"confidence\":0.0 to 1.0}", textOf(params, "text"))
}

func firstIntent(t *tenancy.Tenant, params map[string]any) ([]ai.Message, int) {
	if t.Config.Upstream.Type == tenantconfig.UpstreamEmbedded {
		return nil, 0
	}
	return intentMessages(params), mayGenerate(t.Config, intentTokens)
}

// classifyIntent is the tool. Its answer is one of the categories, or it fails.
func classifyIntent(ctx context.Context, j *job, params map[string]any) (any, error) {
	cfg := j.c.Tenant.Config
	if err := needsModel(cfg); err != nil {
		return nil, err
	}
	list, _ := params["categories"].([]any)
	for range 2 {
		text, err := j.generate(ctx, intentMessages(params), mayGenerate(cfg, intentTokens), true)
		if err != nil {
			return nil, err
		}
		if told, ok := readIntent(text, list); ok {
			return told, nil
		}
	}
	return nil, failed(errors.New("the model named none of the categories"), "the model chose none of the categories: try again, or describe them better")
}

func readIntent(text string, categories []any) (intent, bool) {
	var told struct {
		Category   string   `json:"category"`
		Confidence *float64 `json:"confidence"`
	}
	if readObject(text, &told) {
		text = told.Category
	}
	confidence := 0.5
	if told.Confidence != nil {
		confidence = min(max(*told.Confidence, 0), 1)
	}
	for _, c := range categories {
		if name, ok := c.(string); ok && strings.EqualFold(strings.Trim(strings.TrimSpace(text), `"'.`), strings.TrimSpace(name)) {
			return intent{name, confidence}, true
		}
	}
	return intent{}, false
}
