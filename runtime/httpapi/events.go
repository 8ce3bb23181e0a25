package httpapi

// EventWriter writes server-sent events to one client.
type EventWriter struct{}
