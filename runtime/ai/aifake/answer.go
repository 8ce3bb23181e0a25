package aifake

import (
	"net/http"
)

// Answer is what the server does with one call. Make it with Says, Refuses, Sends or
// Hangs, and bend it with the methods; each returns a changed copy.
type Answer struct {
	status      int
	header      http.Header
	contentType string
	raw         []byte
	tokens      []string
	calls       []Call
	callPieces  int

	finish              string
	usageIn, usageOut   int
	ownUsage            bool
	noUsage, noDone     bool
	native, whole, crlf bool
	hang, drop          bool
	cutAfter, endAfter  int
	pieces              int
	before              <-chan struct{}
	pauses              map[int]<-chan struct{}
}

// Says answers with these tokens, one frame each if the call asks for a stream.
func Says(tokens ...string) Answer {
	return Answer{status: http.StatusOK, tokens: tokens, finish: "stop", cutAfter: -1, endAfter: -1}
}

// Call is a tool that the model calls.
type Call struct {
	// ID is made if empty.
	ID, Name string
	// Arguments is what the model writes, JSON mostly.
	Arguments string
}

// Calls answers with calls of tools, each whole argument in one frame of a stream. Native
// ones are Workers AI's own, without ids.
func Calls(calls ...Call) Answer { return Says().AndCalls(calls...) }

// AndCalls adds calls of tools behind the tokens. The finish reason becomes tool_calls.
func (a Answer) AndCalls(calls ...Call) Answer {
	a.calls, a.finish = calls, "tool_calls"
	return a
}

// CallsInPieces streams arguments n bytes at a time, or up to the next whole code point,
// the calls by turns.
func (a Answer) CallsInPieces(n int) Answer { a.callPieces = n; return a }

// Refuses answers with a status and a body, and header names and values by turns.
func Refuses(status int, body string, header ...string) Answer {
	a := Sends("application/json", body).With(header...)
	a.status = status
	return a
}

// Sends answers 200 with a body as it stands.
func Sends(contentType, body string) Answer {
	return Answer{status: http.StatusOK, contentType: contentType, raw: []byte(body), cutAfter: -1, endAfter: -1}
}

// Hangs takes the call and never answers, until the client goes away.
func Hangs() Answer {
	return Answer{hang: true, cutAfter: -1, endAfter: -1}
}

// Drops takes the call and breaks the connection without a byte of an answer.
func Drops() Answer {
	return Answer{drop: true, cutAfter: -1, endAfter: -1}
}

// With adds header names and values by turns.
func (a Answer) With(header ...string) Answer {
	h := a.header.Clone()
	if h == nil {
		h = http.Header{}
	}
	for i := 0; i+1 < len(header); i += 2 {
		h.Add(header[i], header[i+1])
	}
	a.header = h
	return a
}

// Finish gives another finish reason; empty leaves it out.
func (a Answer) Finish(reason string) Answer { a.finish = reason; return a }

// Uses tells this usage rather than the ledger's.
func (a Answer) Uses(in, out int) Answer {
	a.usageIn, a.usageOut, a.ownUsage = in, out, true
	return a
}

// WithoutUsage doesn't tell the usage, even if asked.
func (a Answer) WithoutUsage() Answer { a.noUsage = true; return a }

// WithoutDone ends a stream without [DONE].
func (a Answer) WithoutDone() Answer { a.noDone = true; return a }

// Native speaks Workers AI's own frames rather than OpenAI's.
func (a Answer) Native() Answer { a.native = true; return a }

// Whole answers one JSON document, even to a call that asks for a stream.
func (a Answer) Whole() Answer { a.whole = true; return a }

// CRLF ends lines by CRLF.
func (a Answer) CRLF() Answer { a.crlf = true; return a }

// CutAfter breaks the connection after n bytes of the body.
func (a Answer) CutAfter(n int) Answer { a.cutAfter = n; return a }

// EndAfter ends the body after n bytes as if that were all.
func (a Answer) EndAfter(n int) Answer { a.endAfter = n; return a }

// InPieces writes n bytes at a time.
func (a Answer) InPieces(n int) Answer { a.pieces = n; return a }

// After holds everything back, the status too, until gate is closed.
func (a Answer) After(gate <-chan struct{}) Answer { a.before = gate; return a }

// PauseAt holds back token n (0 is the first) and all after it until gate is closed.
// Token len(tokens) is the end of the stream.
func (a Answer) PauseAt(n int, gate <-chan struct{}) Answer {
	pauses := map[int]<-chan struct{}{n: gate}
	for k, v := range a.pauses {
		if k != n {
			pauses[k] = v
		}
	}
	a.pauses = pauses
	return a
}
