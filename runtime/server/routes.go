package server

import (
	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/apidoc"
	"github.com/crispy-enigma/crispy-enigma/runtime/chat"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/mcpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/openaiapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/playground"
	"github.com/crispy-enigma/crispy-enigma/runtime/session"
	"github.com/crispy-enigma/crispy-enigma/runtime/speech"
	"github.com/crispy-enigma/crispy-enigma/runtime/telemetry"
	"github.com/crispy-enigma/crispy-enigma/runtime/turn"
)

// mount is the list of features.
func (s *Server) mount(door *httpapi.Door, recorder *telemetry.Recorder) {
	estimator := &ai.Estimator{}
	s.tools = s.openTools(recorder, estimator)
	s.tools.Mount(door)
	turns := turn.New(turn.Needs{
		Gate:      s.gate,
		Models:    s.upstreams,
		Recorder:  recorder,
		Estimator: estimator,
		Logger:    s.logger,
		Toolbox:   s.tools,
	})
	s.documents = s.openDocuments(turns, recorder, estimator)
	s.documents.Mount(door)
	chat.New(chat.Needs{
		History:   s.store.Sessions(),
		Gate:      s.gate,
		Turns:     turns,
		Recorder:  recorder,
		Estimator: estimator,
		Logger:    s.logger,
		Cache:     s.store.Cache(),
		Retriever: chatDocuments{s.documents},
		Toolbox:   s.tools,
	}).Mount(door)
	voice := speech.New(speech.Needs{Speakers: s.upstreams, Gate: s.gate, Recorder: recorder, Estimator: estimator})
	voice.Mount(door)
	openaiapi.New(openaiapi.Needs{
		Turns:     turns,
		Gate:      s.gate,
		Recorder:  recorder,
		Estimator: estimator,
		Logger:    s.logger,
		History:   s.store.Sessions(),
		Embedders: s.upstreams,
		Retriever: openaiDocuments{s.documents},
		Toolbox:   s.tools,
		Speaker:   openaiSpeech{voice},
	}).Mount(door)
	mcpapi.New(mcpapi.Needs{
		Tools:     s.tools,
		Gate:      s.gate,
		Documents: s.store.Documents(),
		Logger:    s.logger,
		Build:     s.opts.Build,
	}).Mount(door)
	session.New(forgetful{s.store.Sessions(), s.store.Cache()}).Mount(door)
	playground.New().Mount(door)
	apidoc.New(s.opts.Build).Mount(door)
}
