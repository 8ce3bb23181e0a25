package cloudflarefake_test

import (
	"errors"
	"testing"

	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare/cloudflarefake"
)

var step = cloudflare.Step{Verb: cloudflare.Create, Kind: cloudflare.KV, Name: "ce-a"}

func TestFaultsBeforeAndAfterTheEffect(t *testing.T) {
	t.Parallel()
	for after, things := range map[bool]int{false: 0, true: 1} {
		w := cloudflarefake.New(cloudflarefake.Options{})
		account := w.Open("a")
		account.OnCall(func(c cloudflarefake.Call) *cloudflarefake.Fault {
			return &cloudflarefake.Fault{Err: cloudflare.ErrUncertain, AfterEffect: after}
		})
		_, err := account.Do(t.Context(), step)
		var e *cloudflare.Error
		if !errors.As(err, &e) || !errors.Is(e.Meaning, cloudflare.ErrUncertain) || len(w.Things()) != things {
			t.Errorf("%v, and %d things", err, len(w.Things()))
		}
		log := w.Log()
		if len(log) != 1 || log[0].Effect != after || (log[0].Made != "") != after || !errors.Is(log[0].Err, cloudflare.ErrUncertain) {
			t.Errorf("the log says %+v", log)
		}
		// Another caller of the same world isn't concerned.
		if _, err := w.Open("b").List(t.Context(), cloudflare.KV); err != nil {
			t.Error(err)
		}
	}
}

// A crash is a panic that the test catches; the world must go on without that caller.
func TestACallerCanBeStoppedBeforeAndAfter(t *testing.T) {
	t.Parallel()
	type crash struct{}
	for after, things := range map[bool]int{false: 0, true: 1} {
		w := cloudflarefake.New(cloudflarefake.Options{})
		w.OnCall(func(cloudflarefake.Call) *cloudflarefake.Fault {
			if !after {
				panic(crash{})
			}
			return &cloudflarefake.Fault{Then: func() { panic(crash{}) }}
		})
		func() {
			defer func() {
				if _, ok := recover().(crash); !ok {
					t.Error("the caller went on")
				}
			}()
			_, _ = w.Open("a").Do(t.Context(), step)
		}()
		w.OnCall(nil)
		if all, err := w.Open("a").List(t.Context(), cloudflare.KV); err != nil || len(all) != things {
			t.Errorf("%d things, %v", len(all), err)
		}
	}
}

func TestWhatIsDoneBehindEverybodysBack(t *testing.T) {
	t.Parallel()
	w := cloudflarefake.New(cloudflarefake.Options{})
	a, b := w.Open("a"), w.Open("b")
	mine := cloudflare.Name(cloudflare.Identity{OwnerID: "mine", Tenant: "acme", UID: "1"}, cloudflare.D1)
	thing, err := a.Do(t.Context(), cloudflare.Step{Verb: cloudflare.Create, Kind: cloudflare.D1, Name: mine})
	if err != nil {
		t.Fatal(err)
	}
	w.Plant(cloudflare.Thing{Kind: cloudflare.Vectorize, Name: "a-stranger"})
	if got := w.Count("mine"); len(got) != 1 || got[cloudflare.D1] != 1 || len(w.Things()) != 2 || len(w.Owned("theirs")) != 0 {
		t.Errorf("counted %v of %d", got, len(w.Things()))
	}
	if !w.Change(cloudflare.D1, thing.ID, func(s *cloudflare.Settings) { s.ReadReplication = "auto" }) {
		t.Error("nothing to change")
	}
	if got, err := b.Get(t.Context(), cloudflare.D1, thing.ID); err != nil || got.Settings.ReadReplication != "auto" {
		t.Errorf("%+v, %v", got, err)
	}
	if !w.Vanish(cloudflare.D1, thing.ID) || w.Vanish(cloudflare.D1, thing.ID) {
		t.Error("it vanishes once")
	}
	a.Revoke(true)
	if _, err := a.List(t.Context(), cloudflare.D1); !errors.Is(err, cloudflare.ErrUnauthorized) {
		t.Error(err)
	}
	b.Lack("D1 Write")
	if _, err := b.Do(t.Context(), step); err != nil {
		t.Errorf("KV isn't D1: %v", err)
	}
	if _, err := b.Do(t.Context(), cloudflare.Step{Verb: cloudflare.Delete, Kind: cloudflare.D1, ID: "x"}); !errors.Is(err, cloudflare.ErrForbidden) {
		t.Error(err)
	}
}
