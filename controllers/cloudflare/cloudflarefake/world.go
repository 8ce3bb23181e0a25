package cloudflarefake

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
)

// Options say how late and how large a World is.
type Options struct {
	// Now is its clock; nil means time.Now.
	Now func() time.Time
	// ListLag is how late LIST, and Find where there is nothing better than LIST, show
	// what was made or deleted.
	ListLag time.Duration
	// Quotas are how many of a kind may exist; those that aren't named are Cloudflare's of
	// a paid account.
	Quotas map[cloudflare.Kind]int
	// SameNames lets several KV namespaces have one title, and several databases one name:
	// whoever relies on a refusal makes two.
	SameNames bool
}

// The figures are of Cloudflare's limits pages, 2026.
var quotas = map[cloudflare.Kind]int{
	cloudflare.KV: 1000, cloudflare.D1: 50_000, cloudflare.R2: 1_000_000,
	cloudflare.Vectorize: 50_000, cloudflare.AIGateway: 20, cloudflare.APIToken: 500,
}

// World is one account's contents. It is safe for concurrent use.
type World struct {
	opts Options

	mu     sync.Mutex
	things []*entry
	seq    int // things made
	calls  int
	log    []Op
	onCall func(Call) *Fault
	filled map[string]bool // buckets with objects, by the id of their entry

}

// entry is a thing, also one that is gone but that a list may still show.
type entry struct {
	cloudflare.Thing
	key     string // unique, of buckets with their jurisdiction
	value   string // of a token
	made    time.Time
	deleted *time.Time
}

// New makes an account in which nothing exists.
func New(opts Options) *World {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &World{opts: opts, filled: map[string]bool{}}
}

// Things are all that exist, by kind and age, whatever lists show.
func (w *World) Things() []cloudflare.Thing {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []cloudflare.Thing
	for _, kind := range cloudflare.Kinds {
		for _, e := range w.things {
			if e.Kind == kind && e.deleted == nil {
				all = append(all, shown(e))
			}
		}
	}
	return all
}

// Owned are the things that carry the owner's mark.
func (w *World) Owned(ownerID string) []cloudflare.Thing {
	return slices.DeleteFunc(w.Things(), func(t cloudflare.Thing) bool { return !cloudflare.OwnedBy(t.Name, ownerID) })
}

// Count is how many things of each kind carry the owner's mark; kinds with none are
// left out.
func (w *World) Count(ownerID string) map[cloudflare.Kind]int {
	count := map[cloudflare.Kind]int{}
	for _, t := range w.Owned(ownerID) {
		count[t.Kind]++
	}
	return count
}

// Plant puts a thing there that nobody of ours made; settings aren't checked. It gives
// the thing's id.
func (w *World) Plant(t cloudflare.Thing) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.add(t).ID
}

// Vanish deletes a thing behind everybody's back; it is false if there is none.
func (w *World) Vanish(kind cloudflare.Kind, id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.find(kind, id, "")
	if e == nil {
		return false
	}
	w.remove(e)
	return true
}

// Change changes the settings of a thing behind everybody's back; it is false if there
// is none.
func (w *World) Change(kind cloudflare.Kind, id string, change func(*cloudflare.Settings)) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.find(kind, id, "")
	if e == nil {
		return false
	}
	change(&e.Settings)
	return true
}

// Fill puts an object into a bucket, or takes all out.
func (w *World) Fill(bucket string, full bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e := w.find(cloudflare.R2, bucket, ""); e != nil {
		w.filled[e.key] = full
	}
}

// Valid tells whether the value is one of a token that exists and isn't expired.
func (w *World) Valid(value cloudflare.Secret) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.byValue(string(value)) != nil
}

func (w *World) byValue(value string) *entry {
	for _, e := range w.things {
		if value != "" && e.value == value && e.deleted == nil &&
			(e.Settings.ExpiresAt.IsZero() || w.opts.Now().Before(e.Settings.ExpiresAt)) {
			return e
		}
	}
	return nil
}

// find is the thing of an id that exists. A bucket is looked for in the jurisdiction, or
// in all of them if none is said.
func (w *World) find(kind cloudflare.Kind, id, jurisdiction string) *entry {
	for _, e := range w.things {
		if e.Kind == kind && e.ID == id && e.deleted == nil &&
			(kind != cloudflare.R2 || jurisdiction == "" || place(jurisdiction) == place(e.Settings.Jurisdiction)) {
			return e
		}
	}
	return nil
}

func place(jurisdiction string) string {
	if jurisdiction == "default" {
		return ""
	}
	return jurisdiction
}

func (w *World) add(t cloudflare.Thing) *entry {
	w.seq++
	t = clone(t)
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", t.Kind, w.seq))
	id := hex.EncodeToString(sum[:16])
	switch {
	case t.Kind.NameIsID():
		t.ID = t.Name
	case t.ID != "":
	case t.Kind == cloudflare.D1:
		t.ID = id[:8] + "-" + id[8:12] + "-" + id[12:16] + "-" + id[16:20] + "-" + id[20:]
	default:
		t.ID = id
	}
	e := &entry{Thing: t, key: fmt.Sprint(t.Kind, " ", w.seq), made: w.opts.Now()}
	e.CreatedAt = e.made
	switch {
	case t.Kind == cloudflare.APIToken:
		e.value = "cfat_c4nary" + hex.EncodeToString(sum[16:]) + "0123456789"
	case t.Kind == cloudflare.Vectorize && e.Settings.MetadataIndexes == nil:
		e.Settings.MetadataIndexes = map[string]string{}
	case t.Kind == cloudflare.D1 && e.Settings.ReadReplication == "":
		e.Settings.ReadReplication = "disabled"
	case t.Kind == cloudflare.R2 && e.Settings.StorageClass == "":
		e.Settings.StorageClass = "Standard"
	}
	w.things = append(w.things, e)
	return e
}

func (w *World) remove(e *entry) {
	now := w.opts.Now()
	e.deleted = &now
	delete(w.filled, e.key)
	if w.opts.ListLag == 0 {
		w.things = slices.DeleteFunc(w.things, func(o *entry) bool { return o == e })
	}
}

// listed are the entries of a kind that LIST shows now. What no list will ever show
// again is forgotten.
func (w *World) listed(kind cloudflare.Kind) []*entry {
	now := w.opts.Now()
	w.things = slices.DeleteFunc(w.things, func(e *entry) bool {
		return e.deleted != nil && now.Sub(*e.deleted) >= w.opts.ListLag
	})
	var all []*entry
	for _, e := range w.things {
		if e.Kind == kind && now.Sub(e.made) >= w.opts.ListLag {
			all = append(all, e)
		}
	}
	return all
}

func (w *World) count(kind cloudflare.Kind) int {
	n := 0
	for _, e := range w.things {
		if e.Kind == kind && e.deleted == nil {
			n++
		}
	}
	return n
}

func (w *World) quota(kind cloudflare.Kind) int {
	if q, ok := w.opts.Quotas[kind]; ok {
		return q
	}
	return quotas[kind]
}

// shown is a thing as Get gives it: without its secret.
func shown(e *entry) cloudflare.Thing {
	t := clone(e.Thing)
	t.Secret = ""
	return t
}

// summary is a thing as LIST gives it.
func summary(e *entry) cloudflare.Thing {
	t := shown(e)
	t.Settings.MetadataIndexes, t.Settings.ReadReplication = nil, ""
	return t
}

func clone(t cloudflare.Thing) cloudflare.Thing {
	t.Settings.MetadataIndexes = maps.Clone(t.Settings.MetadataIndexes)
	if g := t.Settings.Gateway; g != nil {
		copied := *g
		copied.Rest = slices.Clone(g.Rest)
		t.Settings.Gateway = &copied
	}
	t.Settings.Policies = slices.Clone(t.Settings.Policies)
	for i, p := range t.Settings.Policies {
		t.Settings.Policies[i].Permissions = slices.Clone(p.Permissions)
	}
	t.Settings.LocationHint = strings.ToLower(t.Settings.LocationHint)
	return t
}
