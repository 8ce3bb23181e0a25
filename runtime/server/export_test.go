package server

import "github.com/crispy-enigma/crispy-enigma/runtime/httpapi"

// Routes are what the server's door answers.
func (s *Server) Routes() []httpapi.RouteInfo { return s.door.Routes() }
