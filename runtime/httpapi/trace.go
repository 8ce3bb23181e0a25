package httpapi

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strings"
)

// traceID is the client's x-trace-id, else the trace id of its traceparent, else new.
func traceID(h http.Header) string {
	if ids := h["X-Trace-Id"]; len(ids) > 0 && isTraceID(ids[0]) {
		return ids[0]
	}
	if parents := h["Traceparent"]; len(parents) == 1 {
		if id := traceOfParent(parents[0]); id != "" {
			return id
		}
	}
	return newTraceID()
}

func isTraceID(s string) bool {
	if len(s) == 0 || len(s) > 128 {
		return false
	}
	for i := range len(s) {
		if s[i] < '!' || s[i] > '~' {
			return false
		}
	}
	return true
}

// traceOfParent reads a W3C traceparent: version-traceid-parentid-flags. A version
// that isn't known yet may have more parts.
func traceOfParent(s string) string {
	const size = 2 + 1 + 32 + 1 + 16 + 1 + 2
	if len(s) < size || len(s) > size && (s[:2] == "00" || s[size] != '-') {
		return ""
	}
	version, trace, parent, flags := s[:2], s[3:35], s[36:52], s[53:55]
	if s[2] != '-' || s[35] != '-' || s[52] != '-' || version == "ff" || !isLowerHex(version+trace+parent+flags) {
		return ""
	}
	if strings.Trim(trace, "0") == "" || strings.Trim(parent, "0") == "" {
		return ""
	}
	return trace
}

func isLowerHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// newTraceID is a random UUID.
func newTraceID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails: the process would end
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	var s [36]byte
	hex.Encode(s[0:8], id[0:4])
	hex.Encode(s[9:13], id[4:6])
	hex.Encode(s[14:18], id[6:8])
	hex.Encode(s[19:23], id[8:10])
	hex.Encode(s[24:36], id[10:16])
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	return string(s[:])
}
