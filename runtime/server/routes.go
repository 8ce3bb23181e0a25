package server

import (
	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/chat"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/openaiapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/session"
	"github.com/crispy-enigma/crispy-enigma/runtime/telemetry"
	"github.com/crispy-enigma/crispy-enigma/runtime/turn"
)

// mount is the list of features.
func (s *Server) mount(door *httpapi.Door, recorder *telemetry.Recorder) {
	estimator := &ai.Estimator{}
	turns := turn.New(turn.Needs{
		Gate:      s.gate,
		Models:    s.upstreams,
		Recorder:  recorder,
		Estimator: estimator,
		Logger:    s.logger,
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
	}).Mount(door)
	openaiapi.New(openaiapi.Needs{
		Turns:     turns,
		Gate:      s.gate,
		Recorder:  recorder,
		Estimator: estimator,
		Logger:    s.logger,
		History:   s.store.Sessions(),
		Embedders: s.upstreams,
		Retriever: openaiDocuments{s.documents},
	}).Mount(door)
	session.New(s.store.Sessions()).Mount(door)
}
