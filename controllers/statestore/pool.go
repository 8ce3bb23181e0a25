package statestore

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"time"
)

// idle is how long a server that nobody asks for keeps its connections.
const idle = 10 * time.Minute

// Rest is a good Pool.Rest: short beside how often a Tenant is looked at.
const Rest = 5 * time.Second

// Pool opens every server once. The zero value is ready to use.
type Pool struct {
	// Rest is how long a server that didn't answer lets nobody in without being asked: all
	// its tenants would wait for it, one after the other. 0 asks each time.
	Rest time.Duration

	mu   sync.Mutex
	open map[[sha256.Size]byte]*opened
}

type opened struct {
	Server
	rest  time.Duration
	asked time.Time

	mu    sync.Mutex
	away  error
	since time.Time
}

// Admit implements Server.
func (o *opened) Admit(ctx context.Context, tag string, l Login) error {
	o.mu.Lock()
	away, since := o.away, o.since
	o.mu.Unlock()
	if away != nil && time.Since(since) < o.rest {
		return away
	}
	err := o.Server.Admit(ctx, tag, l)
	o.mu.Lock()
	defer o.mu.Unlock()
	var answer *Error
	if o.away = nil; errors.As(err, &answer) && answer.Away {
		o.away, o.since = err, time.Now()
	}
	return err
}

// Open gives the server of an address; it makes no connection yet. With own the login is a
// tenant's, in a server that it has to itself: it erases that tenant's data, and makes no
// others.
func (p *Pool) Open(a *Address, own bool) (Server, error) {
	mark := byte(0)
	if own {
		mark = 1
	}
	key := sha256.Sum256(append([]byte(a.kind+"\x00"+a.raw+"\x00"+string(a.ca)), mark))
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for k, o := range p.open {
		if k != key && now.Sub(o.asked) > idle {
			o.Close()
			delete(p.open, k)
		}
	}
	if o := p.open[key]; o != nil {
		o.asked = now
		return o, nil
	}
	var s Server
	if a.kind == Postgres {
		var err error
		if s, err = newPostgres(a, own); err != nil {
			return nil, err
		}
	} else {
		s = newValkey(a)
	}
	if p.open == nil {
		p.open = map[[sha256.Size]byte]*opened{}
	}
	o := &opened{Server: s, rest: p.Rest, asked: now}
	p.open[key] = o
	return o, nil
}

// Close lets go of all connections.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k, o := range p.open {
		o.Close()
		delete(p.open, k)
	}
}
