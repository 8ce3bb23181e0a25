package fakecloudflare

import (
	"encoding/json"
	"net/http"
)

// admin is for tests that have only an address. It asks for nothing: whoever reaches
// the fake may play with it.
//
//	GET    /_fake/health
//	GET    /_fake/state[?account=ID]   what exists
//	GET    /_fake/log                  what was called
//	GET    /_fake/violations           what broke the document
//	POST   /_fake/faults               a Fault, times in nanoseconds
//	DELETE /_fake/faults               no fault any more
func (s *Server) admin(w http.ResponseWriter, r *http.Request) {
	switch r.Method + " " + r.URL.Path {
	case "GET /_fake/health":
		reply(w, http.StatusOK, map[string]bool{"ok": true})
	case "GET /_fake/state":
		all := map[string]Snapshot{}
		for _, id := range s.Accounts() {
			if only := r.URL.Query().Get("account"); only == "" || only == id {
				all[id] = s.State(id)
			}
		}
		reply(w, http.StatusOK, all)
	case "GET /_fake/log":
		reply(w, http.StatusOK, s.Log())
	case "GET /_fake/violations":
		found := s.Violations()
		if found == nil {
			found = []Violation{}
		}
		reply(w, http.StatusOK, found)
	case "POST /_fake/faults":
		var f Fault
		d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
		d.DisallowUnknownFields()
		if err := d.Decode(&f); err != nil {
			reply(w, http.StatusBadRequest, map[string]string{"error": "reading the fault: " + err.Error()})
			return
		}
		if err := s.Script(f); err != nil {
			reply(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
			return
		}
		reply(w, http.StatusCreated, map[string]bool{"ok": true})
	case "DELETE /_fake/faults":
		s.Heal()
		reply(w, http.StatusOK, map[string]bool{"ok": true})
	default:
		reply(w, http.StatusNotFound, map[string]string{"error": "there is /_fake/health, state, log, violations and faults"})
	}
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that is gone wants nothing
}
