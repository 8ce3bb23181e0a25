package testenv

import (
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Events keeps the events that were recorded.
type Events struct {
	mu  sync.Mutex
	all []Event
}

// Event that was recorded.
type Event struct{ Object, Type, Reason, Note string }

// Eventf implements events.EventRecorder.
func (e *Events) Eventf(regarding, _ runtime.Object, kind, reason, _ string, note string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	name := ""
	if o, ok := regarding.(client.Object); ok {
		name = o.GetName()
	}
	e.all = append(e.all, Event{name, kind, reason, fmt.Sprintf(note, args...)})
}

// All are the events so far.
func (e *Events) All() []Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]Event(nil), e.all...)
}

// Reasons of the events so far about one object.
func (e *Events) Reasons(object string) []string {
	var out []string
	for _, event := range e.All() {
		if event.Object == object {
			out = append(out, event.Reason)
		}
	}
	return out
}
