package rag

import "time"

// Hurry makes a feature's worker wait for nothing long.
func Hurry(f *Feature) {
	f.pauses = pauses{poll: 20 * time.Millisecond, try: time.Millisecond, visible: time.Millisecond}
}
