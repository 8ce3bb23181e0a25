package postgres

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

const (
	// pollEvery is how often a head is read that nobody tells of, checkEvery one of which
	// the server does.
	pollEvery  = 1500 * time.Millisecond
	checkEvery = 30 * time.Second
)

func (d documents) Head(ctx context.Context, t tenancy.ID) (int64, error) {
	head, _, err := d.head(ctx, t)
	return head, err
}

// head is with the channel on which the server tells of the next change, if there is one.
func (d documents) head(ctx context.Context, t tenancy.ID) (head int64, channel string, err error) {
	err = d.s.do(ctx, t, reads, func(ctx context.Context, c *pgx.Conn, tag string) error {
		head, channel = 0, ""
		return each(ctx, c, func(scan func(...any) error) error {
			var got string
			if err := scan(&got, &head, &channel); err != nil {
				return err
			}
			return mine(tag, got)
		}, `SELECT tenant, head, channel FROM enigma.libraries WHERE tenant = $1`, tag)
	})
	return head, channel, err
}

// Await reads the head whenever the server tells of a change, and every so often in case it
// doesn't.
func (d documents) Await(ctx context.Context, t tenancy.ID, after int64) (int64, error) {
	for {
		told := d.s.ear.next()
		head, channel, err := d.head(ctx, t)
		if err != nil || head != after {
			return head, err
		}
		pause := pollEvery
		if d.s.hears(channel) {
			pause = checkEvery
		}
		wait := time.NewTimer(pause)
		select {
		case <-told:
		case <-wait.C:
		case <-d.s.ended:
			err = closedError()
		case <-ctx.Done():
			err = ctx.Err()
		}
		wait.Stop()
		if err != nil {
			return 0, err
		}
	}
}

// ear listens over a connection of its own, which is made when somebody first waits.
type ear struct {
	mu sync.Mutex
	// wanted is the channel to listen on, heard the one that is listened on.
	wanted, heard string
	running       bool
	// again ends what listens on another channel than the one wanted.
	again context.CancelFunc
	told  chan struct{}
}

// next is closed by the next that is heard, and when listening begins or ends: what came
// between isn't told.
func (e *ear) next() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.told == nil {
		e.told = make(chan struct{})
	}
	return e.told
}

func (e *ear) tell() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tellLocked()
}

func (e *ear) tellLocked() {
	if e.told != nil {
		close(e.told)
		e.told = nil
	}
}

// hears tells whether a channel is listened on, and sees to it that it is soon.
func (s *Store) hears(channel string) bool {
	e := &s.ear
	e.mu.Lock()
	defer e.mu.Unlock()
	if channel == "" {
		return false
	}
	if e.wanted != channel {
		e.wanted = channel
		if e.again != nil {
			e.again()
		}
	}
	if !e.running && !s.closed.Load() {
		e.running = true
		go s.listen()
	}
	return e.heard == channel
}

// listen goes on until Close, over as many connections as it takes.
func (s *Store) listen() {
	for {
		ctx, again := context.WithCancel(context.Background())
		s.ear.mu.Lock()
		channel := s.ear.wanted
		s.ear.again = again
		s.ear.mu.Unlock()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			select {
			case <-s.ended:
				again()
			case <-ctx.Done():
			}
		}()
		_ = s.listenOn(ctx, channel) // heads are polled until it works again
		again()
		<-ended
		s.ear.mu.Lock()
		changed := s.ear.wanted != channel
		if s.ear.heard != "" {
			s.ear.heard = ""
			s.ear.tellLocked()
		}
		s.ear.mu.Unlock()
		if changed && !s.closed.Load() {
			continue
		}
		select {
		case <-s.ended:
			return
		case <-time.After(probeEvery):
		}
	}
}

func (s *Store) listenOn(ctx context.Context, channel string) error {
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer s.drop(c)
	if _, err := c.Exec(ctx, "LISTEN "+pgx.Identifier{channel}.Sanitize()); err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	s.ear.mu.Lock()
	s.ear.heard = channel
	s.ear.tellLocked()
	s.ear.mu.Unlock()
	for {
		limited, cancel := context.WithTimeout(ctx, checkEvery)
		_, err := c.WaitForNotification(limited)
		cancel()
		if err == nil {
			s.ear.tell()
			continue
		}
		if limited.Err() == nil || ctx.Err() != nil {
			return err
		}
		// Nothing was told for long: is anybody there?
		alive, cancel := context.WithTimeout(ctx, s.timeout)
		err = c.Ping(alive)
		cancel()
		if err != nil {
			return err
		}
	}
}

// connect makes a connection beside the pool's, with the login of now.
func (s *Store) connect(ctx context.Context) (*pgx.Conn, error) {
	config := s.pool.Config()
	if config.BeforeConnect != nil {
		if err := config.BeforeConnect(ctx, config.ConnConfig); err != nil {
			return nil, err
		}
	}
	return pgx.ConnectConfig(ctx, config.ConnConfig)
}
