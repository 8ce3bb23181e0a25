package ai

import "encoding/json"

// Values of ChatRequest.ToolChoice beside the name of a tool.
const (
	ToolsAuto     = "auto"
	ToolsNone     = "none"
	ToolsRequired = "required"
)

// Tool is a function that a model may ask for.
type Tool struct {
	// Name is letters, digits, _ and -, at most 64.
	Name string
	// Description tells the model what it does and when to use it.
	Description string
	// Parameters is a JSON Schema (2020-12) of type object.
	Parameters json.RawMessage
}

// ToolCall is a model's wish to have a tool run.
type ToolCall struct {
	// ID is unique within its answer; a driver makes one where the provider gave none.
	ID   string
	Name string
	// Arguments is what the model wrote: mostly, not always, a JSON object.
	Arguments string
}

// Sampling shapes an answer. Fields that are nil or empty aren't sent.
type Sampling struct {
	// TopP is from 0 to 1.
	TopP *float64
	// FrequencyPenalty and PresencePenalty are from -2 to 2.
	FrequencyPenalty, PresencePenalty *float64
	Seed                              *int64
	// Stop holds at most 4 texts that end the answer.
	Stop []string
	// ResponseFormat is OpenAI's response_format, passed on as it is.
	ResponseFormat json.RawMessage
}
