package httpapi

// EventWriter writes server-sent events to one client. Its methods do nothing after
// the first failure, which Err tells.
type EventWriter struct{}

// Event writes one named event whose data is v as JSON.
func (w *EventWriter) Event(name string, v any) {}

// Data writes one unnamed event whose data is raw as it is: the fast path for tokens.
// raw may be reused after the call.
func (w *EventWriter) Data(raw []byte) {}

// Named is Data with an event name.
func (w *EventWriter) Named(name string, raw []byte) {}

// Comment writes one comment line.
func (w *EventWriter) Comment(text string) {}

// Err is why the stream can't go on, nil while it can.
func (w *EventWriter) Err() error { return nil }

// Done is closed when the client is gone or a write failed.
func (w *EventWriter) Done() <-chan struct{} { return nil }
