package outbound

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// watch cancels a call for which nothing comes for too long. It runs only while somebody
// waits: a slow reader isn't the server's fault.
type watch struct {
	cancel context.CancelCauseFunc
	idle   time.Duration
	total  *time.Timer
	timer  *time.Timer
}

func (w *watch) begin() {
	switch {
	case w.idle <= 0:
	case w.timer == nil:
		w.timer = time.AfterFunc(w.idle, func() {
			w.cancel(fmt.Errorf("%w: nothing came for %v", ErrTimeout, w.idle))
		})
	default:
		w.timer.Reset(w.idle)
	}
}

func (w *watch) pause() {
	if w.timer != nil {
		w.timer.Stop()
	}
}

func (w *watch) end() {
	w.pause()
	if w.total != nil {
		w.total.Stop()
	}
	w.cancel(context.Canceled)
}

// body bounds an answer's body.
type body struct {
	io.ReadCloser
	host  string
	fail  func(error) error
	watch *watch
	max   int64
	read  int64
	err   error
}

func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	// One byte more than allowed tells a body that is too large from one that just fits.
	if b.max > 0 && int64(len(p)) > b.max-b.read+1 {
		p = p[:b.max-b.read+1]
	}
	b.watch.begin()
	n, err := b.ReadCloser.Read(p)
	b.watch.pause()
	b.read += int64(n)
	switch {
	case b.max > 0 && b.read > b.max:
		n -= int(b.read - b.max)
		b.err = tooLarge(b.host, b.max)
		return n, b.err
	case err == nil || errors.Is(err, io.EOF):
		b.err = err
		return n, err
	}
	b.err = b.fail(err)
	return n, b.err
}

func (b *body) Close() error {
	err := b.ReadCloser.Close()
	b.watch.end()
	return err
}

func tooLarge(host string, limit int64) error {
	return fmt.Errorf("calling %q: %w: more than %d bytes", host, ErrTooLarge, limit)
}
