package turn

import (
	"context"
	"time"
)

// StatusWait is how long an answer's status may wait for the upstream's: a refusal that
// comes in time can still be a status, a later one is an event of the stream.
const StatusWait = 2 * time.Second

// Opening is a turn that is being opened beside its request.
type Opening struct {
	done chan struct{}
	turn *Turn
	err  error
}

// Start calls open, which may do what comes before the model as well, in a goroutine of
// its own. A panic there is an error here: it would else end the process.
func Start(ctx context.Context, open func(context.Context) (*Turn, error)) *Opening {
	o := &Opening{done: make(chan struct{})}
	go func() {
		defer close(o.done)
		defer recovered("opening an answer", &o.err)
		o.turn, o.err = open(ctx)
	}()
	return o
}

// Within tells whether the turn, or why there is none, is known within the time.
func (o *Opening) Within(most time.Duration) bool {
	clock := time.NewTimer(most)
	defer clock.Stop()
	select {
	case <-o.done:
		return true
	case <-clock.C:
		return false
	}
}

// Done is closed when it is known.
func (o *Opening) Done() <-chan struct{} { return o.done }

// Turn waits for it.
func (o *Opening) Turn() (*Turn, error) {
	<-o.done
	return o.turn, o.err
}
