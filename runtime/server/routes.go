package server

import (
	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
	"github.com/crispy-enigma/crispy-enigma/runtime/chat"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/session"
	"github.com/crispy-enigma/crispy-enigma/runtime/telemetry"
)

// mount is the list of features.
func (s *Server) mount(door *httpapi.Door, recorder *telemetry.Recorder) {
	chat.New(chat.Needs{
		History:   s.store.Sessions(),
		Gate:      s.gate,
		Models:    s.upstreams,
		Recorder:  recorder,
		Estimator: &ai.Estimator{},
		Logger:    s.logger,
	}).Mount(door)
	session.New(s.store.Sessions()).Mount(door)
}
