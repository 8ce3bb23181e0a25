package v1alpha1_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
)

func TestWhereStateIsKept(t *testing.T) {
	ref := &v1alpha1.StateSecretReference{Name: "own"}
	valkey := &v1alpha1.State{Valkey: &v1alpha1.SharedState{}}
	own := &v1alpha1.State{Valkey: &v1alpha1.SharedState{SecretRef: ref}}
	postgres := &v1alpha1.State{Postgres: &v1alpha1.SharedState{}}
	both := &v1alpha1.State{LimitsOn: "valkey", Postgres: &v1alpha1.SharedState{}, Valkey: &v1alpha1.SharedState{SecretRef: ref}}
	volume := &v1alpha1.State{Embedded: &v1alpha1.EmbeddedState{Persistence: &v1alpha1.Persistence{}}}
	for name, c := range map[string]struct {
		own, class *v1alpha1.State
		status     v1alpha1.TenantStatus
		want       v1alpha1.EffectiveState
		kind       v1alpha1.StateKind
	}{
		"the class's":                 {nil, valkey, v1alpha1.TenantStatus{}, v1alpha1.EffectiveState{Driver: "valkey"}, v1alpha1.StateShared},
		"an empty word is none":       {&v1alpha1.State{}, postgres, v1alpha1.TenantStatus{}, v1alpha1.EffectiveState{Driver: "postgres"}, v1alpha1.StateShared},
		"its own server":              {own, postgres, v1alpha1.TenantStatus{}, v1alpha1.EffectiveState{Driver: "valkey", SecretRef: ref}, v1alpha1.StateShared},
		"limits elsewhere":            {both, nil, v1alpha1.TenantStatus{}, v1alpha1.EffectiveState{Driver: "postgres", LimitsOn: "valkey", LimitsSecretRef: ref}, v1alpha1.StateShared},
		"its own volume":              {volume, valkey, v1alpha1.TenantStatus{}, v1alpha1.EffectiveState{Driver: "embedded"}, v1alpha1.StatePersistent},
		"shared stays, class changes": {nil, postgres, v1alpha1.TenantStatus{State: "Shared", StateDriver: "valkey"}, v1alpha1.EffectiveState{Driver: "valkey"}, v1alpha1.StateShared},
		"shared stays, class goes":    {nil, nil, v1alpha1.TenantStatus{State: "Shared", StateDriver: "postgres"}, v1alpha1.EffectiveState{Driver: "postgres"}, v1alpha1.StateShared},
		"shared stays, same class":    {nil, both, v1alpha1.TenantStatus{State: "Shared", StateDriver: "postgres"}, v1alpha1.EffectiveState{Driver: "postgres", LimitsOn: "valkey", LimitsSecretRef: ref}, v1alpha1.StateShared},
		"a volume stays":              {nil, valkey, v1alpha1.TenantStatus{State: "Persistent", StateDriver: "embedded"}, v1alpha1.EffectiveState{Driver: "embedded"}, v1alpha1.StatePersistent},
		"memory stays":                {nil, valkey, v1alpha1.TenantStatus{State: "Ephemeral", StateDriver: "memory"}, v1alpha1.EffectiveState{Driver: "memory"}, v1alpha1.StateEphemeral},
		"its word moves a volume":     {valkey, nil, v1alpha1.TenantStatus{State: "Persistent"}, v1alpha1.EffectiveState{Driver: "valkey", Moving: true}, v1alpha1.StatePersistent},
		"moved":                       {valkey, nil, v1alpha1.TenantStatus{State: "Shared"}, v1alpha1.EffectiveState{Driver: "valkey"}, v1alpha1.StateShared},
		"memory has nothing to move":  {valkey, nil, v1alpha1.TenantStatus{State: "Ephemeral"}, v1alpha1.EffectiveState{Driver: "valkey"}, v1alpha1.StateShared},
	} {
		tenant := &v1alpha1.Tenant{Spec: v1alpha1.TenantSpec{State: c.own}, Status: c.status}
		e := v1alpha1.EffectiveOf(tenant, &v1alpha1.TenantClass{Spec: v1alpha1.TenantClassSpec{State: c.class}})
		if diff := cmp.Diff(c.want, e.State); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if e.StateKind() != c.kind {
			t.Errorf("%s: kind %s, want %s", name, e.StateKind(), c.kind)
		}
		if (e.Persistence != nil) != (e.State.Driver == v1alpha1.DriverEmbedded) {
			t.Errorf("%s: driver %s, volume %v", name, e.State.Driver, e.Persistence)
		}
	}
}

// While state is moved, one pod alone works on it.
func TestOnePodMovesState(t *testing.T) {
	spec := v1alpha1.TenantSpec{
		State:   &v1alpha1.State{Postgres: &v1alpha1.SharedState{}},
		Runtime: v1alpha1.Runtime{Autoscaling: &v1alpha1.Autoscaling{Min: 2, Max: 6}},
	}
	moving := v1alpha1.EffectiveOf(&v1alpha1.Tenant{Spec: spec, Status: v1alpha1.TenantStatus{State: v1alpha1.StatePersistent}}, nil)
	if moving.Replicas != 1 || moving.Autoscaling != nil || moving.MaxReplicas() != 1 {
		t.Errorf("moving: %d pods, %+v", moving.Replicas, moving.Autoscaling)
	}
	moved := v1alpha1.EffectiveOf(&v1alpha1.Tenant{Spec: spec, Status: v1alpha1.TenantStatus{State: v1alpha1.StateShared}}, nil)
	if moved.Autoscaling == nil || moved.MaxReplicas() != 6 {
		t.Errorf("moved: %+v", moved.Autoscaling)
	}
	spec.Suspend = true
	if e := v1alpha1.EffectiveOf(&v1alpha1.Tenant{Spec: spec, Status: v1alpha1.TenantStatus{State: v1alpha1.StatePersistent}}, nil); e.Replicas != 0 {
		t.Errorf("suspended while moving: %d pods", e.Replicas)
	}
}
