package resources

import (
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
)

// StateServer is a server that state is kept on, as the pods see it.
type StateServer struct {
	// URL with the tenant's login; CA are the certificates in PEM, none for the system's.
	URL string
	CA  []byte
	// Endpoints that the pods must reach.
	Endpoints []StateEndpoint
	// Login that the operator made; nil on a server that the tenant brings.
	Login *LoginNote
}

// StateEndpoint is one of a state server's addresses.
type StateEndpoint struct {
	Host string
	Port int32
}

// LoginNote is what is known of a login beside its password.
type LoginNote struct {
	// MadeAt is when it got its password.
	MadeAt time.Time `json:"madeAt"`
	// Previous is the digest of the password before, while it still works.
	Previous string `json:"previous,omitempty"`
}

// Names of the servers in the note of logins.
const (
	StateRole  = "state"
	LimitsRole = "limits"
)

// mounts tells whether the pod has the volume of the embedded store: to keep its data
// there, or to move it away.
func mounts(e v1alpha1.Effective) bool { return e.Persistence != nil || e.State.Moving }

func state(in Inputs) tenantconfig.State {
	e := in.Effective.State
	out := tenantconfig.State{Driver: e.Driver}
	if mounts(in.Effective) {
		out.Path = tenantconfig.StateDir
	}
	if !e.Shared() {
		return out
	}
	out.Server = stateServer(in, in.State, tenantconfig.StateURLFile, tenantconfig.StateCAFile)
	if e.LimitsOn != "" {
		out.LimitsOn = e.LimitsOn
		out.LimitsServer = stateServer(in, in.LimitsState, tenantconfig.LimitsURLFile, tenantconfig.LimitsCAFile)
	}
	return out
}

func stateServer(in Inputs, s *StateServer, urlFile, caFile string) tenantconfig.StateServer {
	if s == nil { // Validate names what is missing
		return tenantconfig.StateServer{}
	}
	out := tenantconfig.StateServer{
		URLFile:  urlFile,
		Revision: credentialsRevision(in.StatusToken, s.URL+"\x00"+string(s.CA)),
	}
	if len(s.CA) > 0 {
		out.CAFile = caFile
	}
	return out
}

// StateFiles are what the document names of state servers, by file name.
func StateFiles(in Inputs) map[string][]byte {
	out := map[string][]byte{}
	for _, s := range []struct {
		server          *StateServer
		urlFile, caFile string
	}{
		{in.State, tenantconfig.StateURLFile, tenantconfig.StateCAFile},
		{in.LimitsState, tenantconfig.LimitsURLFile, tenantconfig.LimitsCAFile},
	} {
		if s.server == nil {
			continue
		}
		out[s.urlFile] = []byte(s.server.URL)
		if len(s.server.CA) > 0 {
			out[s.caFile] = s.server.CA
		}
	}
	return out
}

// loginsNote is empty without logins of the operator's making.
func loginsNote(in Inputs) (string, error) {
	notes := map[string]LoginNote{}
	for role, s := range map[string]*StateServer{StateRole: in.State, LimitsRole: in.LimitsState} {
		if s != nil && s.Login != nil {
			notes[role] = LoginNote{MadeAt: s.Login.MadeAt.UTC().Truncate(time.Second), Previous: s.Login.Previous}
		}
	}
	if len(notes) == 0 {
		return "", nil
	}
	b, err := json.Marshal(notes)
	if err != nil {
		return "", fmt.Errorf("writing the ages of the logins: %w", err)
	}
	return string(b), nil
}

// ReadLogin reads what is noted of a login. One whose note is lost is as old as the Secret:
// its password still works and is never replaced for want of a note.
func ReadLogin(s *corev1.Secret, role string) LoginNote {
	notes := map[string]LoginNote{}
	if err := json.Unmarshal([]byte(s.Annotations[AnnotationLogins]), &notes); err != nil || notes[role].MadeAt.IsZero() {
		return LoginNote{MadeAt: s.CreationTimestamp.UTC()}
	}
	return notes[role]
}
