package tenancy

import (
	"context"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// settle is how long a directory must be quiet before it is read: a change is
	// several file system events.
	settle = 20 * time.Millisecond
	// pollWatched catches what inotify doesn't tell: network file systems, a
	// directory that was moved away.
	pollWatched = 5 * time.Second
	// pollAlone is for machines that give no inotify watch.
	pollAlone = time.Second
)

// Watch follows the directory that have was loaded from until ctx ends. onChange gets
// every new good document or changed secret, onError every refused one, once; after a
// refused one the next good one is told even if it is the one before. Both are called
// from this goroutine, one after the other.
func Watch(ctx context.Context, have *Tenant, onChange func(*Tenant), onError func(error)) {
	events, again, stop := notifications(have.dir)
	defer stop()
	every := pollWatched
	if events == nil {
		every = pollAlone
	}
	poll := time.NewTicker(every)
	defer poll.Stop()
	quiet := time.NewTimer(0) // what changed since have was loaded
	defer quiet.Stop()
	refused := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-events:
			quiet.Reset(settle)
			continue
		case <-poll.C:
			again()
		case <-quiet.C:
		}
		next, err := Load(have.dir)
		switch {
		case err != nil && err.Error() != refused:
			refused = err.Error()
			onError(err)
		case err == nil && (refused != "" || !next.sameAs(have)):
			refused, have = "", next
			onChange(next)
		}
	}
}

// notifications wakes the channel at every event in dir; it is nil where the system
// gives no watch. again renews the watch, in case the directory was replaced.
func notifications(dir string) (events <-chan struct{}, again, stop func()) {
	none := func() {}
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, none, none
	}
	if err := w.Add(dir); err != nil {
		_ = w.Close()
		return nil, none, none
	}
	wake := make(chan struct{}, 1)
	go func() {
		for {
			select {
			case _, ok := <-w.Events:
				if !ok {
					return
				}
			case _, ok := <-w.Errors: // such as lost events: look
				if !ok {
					return
				}
			}
			select {
			case wake <- struct{}{}:
			default:
			}
		}
	}()
	return wake, func() { _ = w.Add(dir) }, func() { _ = w.Close() }
}
