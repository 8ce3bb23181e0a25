package server

import (
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

// Routes are what the server's door answers.
func (s *Server) Routes() []httpapi.RouteInfo { return s.door.Routes() }

// Forgetful are a store's sessions as the API deletes them.
func Forgetful(s storage.Store) storage.Sessions { return forgetful{s.Sessions(), s.Cache()} }
