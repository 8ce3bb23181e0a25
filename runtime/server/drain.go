package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/chat"
	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
)

const (
	// lastWords is how long streams have to say that they end, and to store what they
	// used, once their time is up.
	lastWords = 5 * time.Second
	// closeTimeout bounds the store's last writes.
	closeTimeout = 10 * time.Second
)

// Stages of a server's life.
const (
	serving  = iota
	leaving  // still serving, but on no connection for long
	refusing // only what is under way goes on
)

// requests counts those under way and refuses new ones when the server stops.
type requests struct {
	stage atomic.Int32
	open  atomic.Int64
	idle  chan struct{} // told, while refusing, when open falls to 0
}

// through is the handler in front of door.
func (q *requests) through(door *httpapi.Door) http.Handler {
	q.idle = make(chan struct{}, 1)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Counting comes before looking: a request that saw "serving" is waited for.
		q.open.Add(1)
		defer q.leave()
		switch q.stage.Load() {
		case serving:
		case leaving:
			// The next request of this client finds a server that stays.
			w.Header().Set("Connection", "close")
		default:
			w.Header().Set("Connection", "close")
			door.Refuse(w, r, chat.Stopping())
			return
		}
		door.ServeHTTP(w, r)
	})
}

func (q *requests) leave() {
	if q.open.Add(-1) == 0 && q.stage.Load() == refusing {
		select {
		case q.idle <- struct{}{}:
		default:
		}
	}
}

// wait returns when nothing is under way, or at the deadline, and tells which.
func (q *requests) wait(limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for q.open.Load() > 0 {
		select {
		case <-q.idle:
		case <-timer.C:
			return q.open.Load() == 0
		}
	}
	return true
}

// drain lets requests end in peace, and ends those that don't.
func (s *Server) drain() {
	began := time.Now()
	s.requests.stage.Store(leaving)
	s.logger.Info("stopping", "open_requests", s.requests.open.Load())
	time.Sleep(max(s.opts.LameDuck, 0))
	s.requests.stage.Store(refusing)
	current, _ := s.config.read()
	left := time.Duration(current.Config.Server.DrainSeconds)*time.Second - time.Since(began)
	if s.requests.wait(max(left, 0)) {
		return
	}
	s.logger.Warn("time to drain is up: ending what is still open", "open_requests", s.requests.open.Load())
	s.stop(chat.ErrStopping)
	if !s.requests.wait(lastWords) {
		s.logger.Error("requests didn't end", "open_requests", s.requests.open.Load())
	}
}

// close ends the listeners and then the store, which the last requests have used.
func (s *Server) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	s.stop(chat.ErrStopping)
	var errs []error
	if err := s.api.Shutdown(ctx); err != nil {
		errs = append(errs, fmt.Errorf("closing the API: %w", err), s.api.Close())
	}
	if err := s.store.Close(ctx); err != nil {
		errs = append(errs, fmt.Errorf("closing the state store: %w", err))
	}
	errs = append(errs, s.ops.Close())
	s.upstreams.close()
	return errors.Join(errs...)
}
