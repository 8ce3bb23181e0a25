package statestore

import (
	"crypto/sha256"
	"sync"
	"time"
)

// idle is how long a server that nobody asks for keeps its connections.
const idle = 10 * time.Minute

// Pool opens every server once. The zero value is ready to use.
type Pool struct {
	mu   sync.Mutex
	open map[[sha256.Size]byte]*opened
}

type opened struct {
	Server
	asked time.Time
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
	p.open[key] = &opened{s, now}
	return s, nil
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
