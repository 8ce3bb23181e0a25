package v1alpha1

import "k8s.io/apimachinery/pkg/api/resource"

// Drivers of state, as the tenant's document names them.
const (
	DriverMemory   = "memory"
	DriverEmbedded = "embedded"
	DriverValkey   = "valkey"
	DriverPostgres = "postgres"
)

// EffectiveState says where the data is kept, and on whose server.
//
// +kubebuilder:object:generate=false
type EffectiveState struct {
	// Driver is DriverMemory, DriverEmbedded, DriverValkey or DriverPostgres.
	Driver string
	// SecretRef of the server, with the drivers that have one; nil is the class's server.
	SecretRef *StateSecretReference
	// LimitsOn is DriverValkey if rate windows and budgets are kept there and all else on
	// PostgreSQL; LimitsSecretRef is for it what SecretRef is for Driver.
	LimitsOn        string
	LimitsSecretRef *StateSecretReference
	// Moving: what the tenant has still lies on its volume. One pod moves it to the server.
	Moving bool
}

// Shared tells whether replicas share it.
func (s EffectiveState) Shared() bool { return s.Driver == DriverValkey || s.Driver == DriverPostgres }

// StateKind names where the state is kept. While it is being moved that is the volume.
func (e Effective) StateKind() StateKind {
	switch {
	case e.Persistence != nil, e.State.Moving:
		return StatePersistent
	case e.State.Shared():
		return StateShared
	}
	return StateEphemeral
}

// state is on a server if the Tenant says so, or the class did when it was first seen.
func state(own, class *State, status TenantStatus) EffectiveState {
	chosen := own
	if driverOf(own) == "" && (own == nil || own.Embedded == nil) {
		switch status.State {
		case "":
			chosen = class
		case StateShared:
			chosen = class
			if started := or(status.StateDriver, driverOf(class)); started != driverOf(class) {
				chosen = &State{}
				if started == DriverPostgres {
					chosen.Postgres = &SharedState{}
				} else {
					chosen.Valkey = &SharedState{}
				}
			}
		}
	}
	out := EffectiveState{Driver: driverOf(chosen)}
	switch out.Driver {
	case DriverPostgres:
		out.SecretRef = chosen.Postgres.SecretRef
		if chosen.LimitsOn == DriverValkey && chosen.Valkey != nil {
			out.LimitsOn, out.LimitsSecretRef = DriverValkey, chosen.Valkey.SecretRef
		}
	case DriverValkey:
		out.SecretRef = chosen.Valkey.SecretRef
	default:
		out.Driver = DriverEmbedded
	}
	out.Moving = out.Shared() && status.State == StatePersistent
	return out
}

// driverOf is of the server that a State names; empty if it names none.
func driverOf(s *State) string {
	switch {
	case s == nil:
		return ""
	case s.Postgres != nil:
		return DriverPostgres
	case s.Valkey != nil:
		return DriverValkey
	}
	return ""
}

func persistence(own, class *State, started StateKind) *Persistence {
	chosen := own
	if chosen == nil || chosen.Embedded == nil {
		chosen = class
		own = nil
	}
	var p *Persistence
	ephemeral := false
	if chosen != nil && chosen.Embedded != nil {
		p = chosen.Embedded.Persistence
		ephemeral = chosen.Embedded.Ephemeral != nil
	}
	if own == nil && started != "" {
		ephemeral = started == StateEphemeral
	}
	if ephemeral {
		return nil
	}
	if p == nil {
		p = &Persistence{}
	}
	p = p.DeepCopy()
	if p.Size.IsZero() {
		p.Size = resource.MustParse(DefaultStateSize)
	}
	return p
}
