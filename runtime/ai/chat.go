package ai

import (
	"context"

	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// Roles of a Message.
const (
	RoleSystem    = "system"
	RoleUser      = "user"
	RoleAssistant = "assistant"
	// RoleTool is the result of a tool that the assistant called.
	RoleTool = "tool"
)

// Message is one turn given to a model.
type Message struct {
	Role    string
	Content string
	// ToolCalls are what an assistant's message asks for; Content may be empty then.
	ToolCalls []ToolCall
	// ToolCallID names the call that a RoleTool message answers.
	ToolCallID string
}

// ChatRequest is one question to one model.
type ChatRequest struct {
	// Model is the model's id at its provider.
	Model string
	// Messages in order, oldest first; the last is the user's.
	Messages []Message
	// MaxTokens bounds the answer; 1 or more, always sent.
	MaxTokens int
	// Temperature from 0 to 2, nil for the model's own.
	Temperature *float64
	// Sampling holds what else shapes the answer; the zero value leaves it to the model.
	Sampling Sampling
	// Tools that the model may call. A driver whose model can't is KindNoTools.
	Tools []Tool
	// ToolChoice is ToolsAuto, ToolsNone, ToolsRequired, or the name of the one tool that
	// must be called; empty is ToolsAuto.
	ToolChoice string
	// OneTool asks for at most one call at a time.
	OneTool bool
	// Grounds are what the answer shall rest on, if it shall. They stand in Messages too;
	// a driver that reads no prompt takes them from here.
	Grounds *Grounds
	// TraceID joins the upstream's log with ours; it names no person.
	TraceID string
}

// Ungrounded is the answer to a question that the documents don't answer, where no model
// is asked for one.
const Ungrounded = "The documents don't answer this question."

// Grounds are passages that were found for a question.
type Grounds struct {
	Question string
	Passages []Passage
}

// Passage is cited by its ID: 1 is written [1]. One with ID 0 isn't cited.
type Passage struct {
	ID   int
	Text string
}

// Usage is what a call used.
type Usage struct {
	In, Out int
	// Estimated marks counts that the provider didn't give.
	Estimated bool
}

// Answer is a whole answer.
type Answer struct {
	Text string
	// Finish is the provider's finish reason, "stop" or "length" mostly.
	Finish string
	Usage  Usage
	// Model that really answered.
	Model string
	// ToolCalls that the model asks for, in its order.
	ToolCalls []ToolCall
}

// Chunk is a part of an answer: text, or the end.
type Chunk struct {
	// Text is never split inside a code point.
	Text string
	// Finish is set on the chunk that ends the answer, if the provider said why.
	Finish string
	// Usage is set when the provider told; the last one counts.
	Usage *Usage
	// ToolCalls are given whole, in one chunk, before the end.
	ToolCalls []ToolCall
}

// Stream is an answer that is being made. It is used by one goroutine.
type Stream interface {
	// Next waits for the next chunk. io.EOF ends a complete answer: the provider
	// gave a finish reason, a final usage or [DONE]. Everything else is an *Error;
	// KindTruncated if the stream just ended.
	Next() (Chunk, error)
	// Model that is answering.
	Model() string
	// Close ends the call upstream. It may be called at any time, more than once.
	Close() error
}

// Chatter answers conversations.
type Chatter interface {
	// Complete waits for the whole answer.
	Complete(ctx context.Context, t tenancy.ID, req ChatRequest) (Answer, error)
	// Stream returns when the upstream has accepted the call.
	Stream(ctx context.Context, t tenancy.ID, req ChatRequest) (Stream, error)
}
