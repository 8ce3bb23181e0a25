package httpapi

import (
	"sync"
	"time"
)

// heartbeat gives silent streams a comment, so that no proxy takes them for dead. One
// goroutine looks after all streams, and only while there are any; a token costs its
// stream no more than storing the time.
type heartbeat struct {
	silence time.Duration
	// start makes times monotonic: a clock that is set must not ping everybody.
	start time.Time

	mu      sync.Mutex
	streams map[*EventWriter]struct{}
	running bool
	// empty wakes the goroutine to end.
	empty chan struct{}
}

// grain is how much later than due a ping may be, to serve many streams in one round.
const grain = 50 * time.Millisecond

func newHeartbeat(silence time.Duration) *heartbeat {
	return &heartbeat{silence: silence, start: time.Now(), streams: map[*EventWriter]struct{}{}, empty: make(chan struct{}, 1)}
}

// at is now on the heartbeat's clock.
func (h *heartbeat) at(now time.Time) time.Duration { return now.Sub(h.start) }

func (h *heartbeat) add(w *EventWriter) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.streams[w] = struct{}{}
	if !h.running {
		h.running = true
		go h.run()
	}
}

func (h *heartbeat) remove(w *EventWriter) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.streams, w)
	if len(h.streams) == 0 {
		select {
		case h.empty <- struct{}{}:
		default:
		}
	}
}

func (h *heartbeat) run() {
	// A stream that is added later isn't due before those that are here.
	timer := time.NewTimer(h.silence)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-h.empty:
		}
		next, ok := h.round(time.Now())
		if !ok {
			return
		}
		timer.Reset(next)
	}
}

// round pings who has been silent and gives the time until the next is due; !ok if no
// stream is left. A ping that a full connection holds up must not hold up the others',
// so each is written by a goroutine that ends with it.
func (h *heartbeat) round(now time.Time) (next time.Duration, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.streams) == 0 {
		h.running = false
		return 0, false
	}
	next = h.silence
	for w := range h.streams {
		silent := h.at(now) - time.Duration(w.last.Load())
		if silent >= h.silence {
			go w.ping(h.silence)
			continue
		}
		next = min(next, h.silence-silent)
	}
	return max(next, min(grain, h.silence)), true
}
