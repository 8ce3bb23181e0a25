package binding

import (
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
)

// memory is what this process knows of things beside what the API says. It saves calls;
// nothing is wrong without it, and nothing is made or deleted because of it.
type memory struct {
	mu sync.Mutex
	// lookedAt is when the thing was last seen as it shall be.
	lookedAt map[types.UID]time.Time
	// things as our last effect left them.
	things map[types.UID]remembered
	// indexes that were made and that Cloudflare may not show yet.
	indexes map[types.UID]map[index]made
	// done are the changes that were accepted a while ago.
	done map[types.UID]map[change]time.Time
}

// change is one that can be told from others.
type change struct {
	verb              cloudflare.Verb
	id, property, why string
}

type remembered struct {
	thing cloudflare.Thing
	at    time.Time
}

type index struct{ id, property string }

type made struct {
	kind string
	at   time.Time
}

const (
	// fresh is how long our own effect stands for a look. Where thousands are made at once
	// the next step's turn comes minutes later, and a look before it would cost as much as
	// the step; what somebody changes meanwhile the next list or poll shows.
	fresh = 10 * time.Minute
	// indexLag is how long a metadata index may take to be shown.
	indexLag = 2 * time.Minute
	// repeatedWithin is how soon after a change the same one shows that it had no effect,
	// or that somebody undoes it: it may come again at most as often as a list.
	repeatedWithin = 10 * time.Minute
)

func (m *memory) looked(uid types.UID, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.lookedAt == nil {
		m.lookedAt = map[types.UID]time.Time{}
	}
	m.lookedAt[uid] = at
}

// since is when the thing was looked at; otherwise, unless it wasn't by this process.
func (m *memory) since(uid types.UID, otherwise time.Time) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	if at, ok := m.lookedAt[uid]; ok {
		return at
	}
	if m.lookedAt == nil {
		m.lookedAt = map[types.UID]time.Time{}
	}
	m.lookedAt[uid] = otherwise
	return otherwise
}

// know keeps a thing as an effect of ours left it, without its secret.
func (m *memory) know(uid types.UID, thing cloudflare.Thing, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	thing.Secret = ""
	if m.things == nil {
		m.things = map[types.UID]remembered{}
	}
	m.things[uid] = remembered{thing, at}
}

func (m *memory) unknow(uid types.UID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.things, uid)
}

// known is what our last effect left, if that was a moment ago. It stands for one look.
func (m *memory) known(uid types.UID, id string, now time.Time) (cloudflare.Thing, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.things[uid]
	delete(m.things, uid)
	if !ok || r.thing.ID != id || now.Sub(r.at) > fresh {
		return cloudflare.Thing{}, false
	}
	return r.thing, true
}

func (m *memory) forget(uid types.UID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.lookedAt, uid)
	delete(m.things, uid)
	delete(m.indexes, uid)
	delete(m.done, uid)
}

// repeats notes a change that was accepted, and tells whether it was a while ago, too.
func (m *memory) repeats(uid types.UID, step cloudflare.Step, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.done == nil {
		m.done = map[types.UID]map[change]time.Time{}
	}
	if m.done[uid] == nil {
		m.done[uid] = map[change]time.Time{}
	}
	maps.DeleteFunc(m.done[uid], func(_ change, at time.Time) bool { return now.Sub(at) > repeatedWithin })
	c := change{step.Verb, step.ID, step.Property, step.Why}
	_, again := m.done[uid][c]
	m.done[uid][c] = now
	return again
}

// changed notes what a step did to a thing.
func (m *memory) changed(uid types.UID, had, answered cloudflare.Thing, step cloudflare.Step, now time.Time) {
	switch step.Verb {
	case cloudflare.Update:
		if answered.ID == had.ID {
			m.know(uid, answered, now)
		}
	case cloudflare.CreateIndex:
		m.note(uid, index{had.ID, step.Property}, made{step.Type, now})
		m.know(uid, had, now)
	}
}

func (m *memory) note(uid types.UID, i index, what made) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.indexes == nil {
		m.indexes = map[types.UID]map[index]made{}
	}
	if m.indexes[uid] == nil {
		m.indexes[uid] = map[index]made{}
	}
	m.indexes[uid][i] = what
}

// building gives the thing with the metadata indexes that were made a moment ago and
// that Cloudflare doesn't show yet, and names those.
func (m *memory) building(uid types.UID, thing cloudflare.Thing, now time.Time) (cloudflare.Thing, []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if thing.Settings.MetadataIndexes == nil {
		return thing, nil
	}
	all := maps.Clone(thing.Settings.MetadataIndexes)
	var names []string
	for i, done := range m.indexes[uid] {
		if i.id != thing.ID {
			continue
		}
		if _, shown := all[i.property]; shown || now.Sub(done.at) > indexLag {
			delete(m.indexes[uid], i)
			continue
		}
		all[i.property] = done.kind
		names = append(names, i.property)
	}
	thing.Settings.MetadataIndexes = all
	slices.Sort(names)
	return thing, names
}
