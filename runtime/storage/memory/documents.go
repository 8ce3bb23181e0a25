package memory

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// passageBytes is what a passage costs beside its text and vector.
const passageBytes = 160

// stagedFor is how long a version that nothing is added to waits to be published.
const stagedFor = 24 * time.Hour

type documents struct {
	now func() time.Time
	// max bounds the bytes of all tenants' passages.
	max int64

	mu        sync.RWMutex
	bytes     int64
	libraries map[string]*library
}

// library is what one tenant has.
type library struct {
	// version and head are the latest that were given; floor is where both began.
	version, head, floor int64
	// forgotten: changes before it can't be told.
	forgotten int64
	passages  int64
	docs      map[string]*published
	gone      map[string]tombstone
	staged    map[string]map[int64]*staging
	// changed is closed when head changes.
	changed chan struct{}
}

type published struct {
	storage.Document
	// source is the version in the store that it was loaded from; 0 if it wasn't.
	source   int64
	passages []storage.Passage
}

// staging is a version that nobody finds. Those of records that are loaded have the
// negative version of the store that they came from.
type staging struct {
	passages map[int]storage.Passage
	// vector is how long the vectors are.
	vector int
	latest time.Time
}

// tombstone tells of a removal. seq is 0 if there was nothing to remove.
type tombstone struct {
	seq, floor int64
	at         time.Time
}

func newDocuments(now func() time.Time, most int64) *documents {
	return &documents{now: now, max: most, libraries: map[string]*library{}}
}

// library needs the lock. It makes one if there is none.
func (d *documents) library(t tenancy.ID) *library {
	l := d.libraries[t.Identity()]
	if l == nil {
		l = &library{
			docs: map[string]*published{}, gone: map[string]tombstone{}, staged: map[string]map[int64]*staging{},
			changed: make(chan struct{}),
		}
		d.libraries[t.Identity()] = l
	}
	return l
}

// next is a new version. Numbers begin at the time in microseconds, so that those from before an erasure
// are old.
func (l *library) next(now time.Time) int64 {
	if l.version == 0 {
		l.floor = now.UnixMicro()
		l.version, l.forgotten = l.floor, l.floor+1
	}
	l.version++
	return l.version
}

// change is a new sequence number, with which those who wait are woken.
func (l *library) change() int64 {
	l.head = max(l.head, l.floor) + 1
	close(l.changed)
	l.changed = make(chan struct{})
	return l.head
}

// old tells whether a version can't be published any more.
func (l *library) old(doc string, version int64) bool {
	have := l.docs[doc]
	return version <= l.floor || version > l.version || version <= l.gone[doc].floor || have != nil && version < have.Version
}

func (l *library) isPublished(doc string, version int64) bool {
	have := l.docs[doc]
	return have != nil && have.Version == version
}

func (d *documents) NextVersion(ctx context.Context, t tenancy.ID) (int64, error) {
	if err := admit(ctx, t); err != nil {
		return 0, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.library(t).next(d.now()), nil
}

func (d *documents) Stage(ctx context.Context, t tenancy.ID, doc string, version int64, passages []storage.Passage) error {
	if err := admit(ctx, t); err != nil {
		return err
	}
	if err := storage.CheckStaged(doc, version, passages); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.library(t)
	if l.isPublished(doc, version) {
		return nil
	}
	if l.old(doc, version) {
		return storage.ErrOldVersion
	}
	return d.stage(l, doc, version, passages)
}

// stage needs the lock.
func (d *documents) stage(l *library, doc string, version int64, passages []storage.Passage) error {
	if len(passages) == 0 {
		return nil
	}
	now := d.now()
	d.sweep(l, now)
	s := l.staged[doc][version]
	if s == nil {
		s = &staging{passages: map[int]storage.Passage{}, vector: len(passages[0].Vector)}
	}
	if s.vector != len(passages[0].Vector) {
		return fmt.Errorf("%w: its first passages have vectors of %d dimensions", storage.ErrBadDocument, s.vector)
	}
	grown := int64(0)
	for _, p := range passages {
		grown += sizeOf(p)
		if have, ok := s.passages[p.N]; ok {
			grown -= sizeOf(have)
		}
	}
	if grown > 0 && d.bytes+grown > d.max {
		return fmt.Errorf("%w: documents in memory have %d bytes at most; keep them on a volume or a server instead", storage.ErrUnavailable, d.max)
	}
	d.bytes += grown
	for _, p := range passages {
		s.passages[p.N] = clonePassage(p, true)
	}
	s.latest = now
	if l.staged[doc] == nil {
		l.staged[doc] = map[int64]*staging{}
	}
	l.staged[doc][version] = s
	return nil
}

// sweep drops versions that were left, and removals that needn't be told any more.
func (d *documents) sweep(l *library, now time.Time) {
	for doc, versions := range l.staged {
		for v, s := range versions {
			if now.Sub(s.latest) > stagedFor {
				d.unstage(l, doc, func(version int64) bool { return version == v })
			}
		}
	}
	for doc, g := range l.gone {
		if now.Sub(g.at) > storage.TombstonesKept {
			l.forgotten = max(l.forgotten, g.seq)
			delete(l.gone, doc)
		}
	}
}

// unstage drops the versions of doc that drop names.
func (d *documents) unstage(l *library, doc string, drop func(version int64) bool) {
	for version, s := range l.staged[doc] {
		if !drop(version) {
			continue
		}
		for _, p := range s.passages {
			d.bytes -= sizeOf(p)
		}
		delete(l.staged[doc], version)
	}
	if len(l.staged[doc]) == 0 {
		delete(l.staged, doc)
	}
}

func (d *documents) Publish(ctx context.Context, t tenancy.ID, doc storage.Document) (storage.Document, error) {
	if err := admit(ctx, t); err != nil {
		return storage.Document{}, err
	}
	if err := storage.CheckDocument(doc); err != nil {
		return storage.Document{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.library(t)
	if l.isPublished(doc.ID, doc.Version) {
		return cloneDocument(l.docs[doc.ID].Document), nil
	}
	if l.old(doc.ID, doc.Version) {
		return storage.Document{}, storage.ErrOldVersion
	}
	doc.Created = doc.Updated
	if have := l.docs[doc.ID]; have != nil {
		doc.Created = have.Created
	}
	if err := d.publish(l, doc, doc.Version); err != nil {
		return storage.Document{}, err
	}
	return cloneDocument(l.docs[doc.ID].Document), nil
}

// publish makes what is staged as a version the document's. It needs the lock.
func (d *documents) publish(l *library, doc storage.Document, stagedAs int64) error {
	s := l.staged[doc.ID][stagedAs]
	passages := make([]storage.Passage, 0, min(doc.Passages, storage.MaxStaged))
	for n := range doc.Passages {
		if s == nil || len(s.passages) < doc.Passages {
			return storage.ErrIncomplete
		}
		p, ok := s.passages[n]
		if !ok {
			return storage.ErrIncomplete
		}
		passages = append(passages, p)
	}
	d.drop(l, doc.ID)
	for _, p := range passages {
		d.bytes += sizeOf(p)
	}
	d.unstage(l, doc.ID, func(version int64) bool { return version <= doc.Version })
	doc.Change = l.change()
	doc.Created, doc.Updated = millis(doc.Created), millis(doc.Updated)
	made := &published{Document: cloneDocument(doc), passages: passages}
	if stagedAs < 0 {
		made.source = -stagedAs
	}
	l.docs[doc.ID] = made
	l.passages += int64(len(passages))
	delete(l.gone, doc.ID)
	return nil
}

// drop forgets the published version and tells whether there was one.
func (d *documents) drop(l *library, doc string) bool {
	have := l.docs[doc]
	if have == nil {
		return false
	}
	for _, p := range have.passages {
		d.bytes -= sizeOf(p)
	}
	l.passages -= int64(len(have.passages))
	delete(l.docs, doc)
	return true
}

func (d *documents) Remove(ctx context.Context, t tenancy.ID, doc string) (bool, error) {
	if err := admit(ctx, t); err != nil {
		return false, err
	}
	if err := storage.CheckDocID(doc); err != nil {
		return false, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.library(t)
	now := d.now()
	d.sweep(l, now)
	there := d.drop(l, doc)
	d.unstage(l, doc, func(int64) bool { return true })
	if l.version == 0 {
		return false, nil // nothing ever began
	}
	g := tombstone{seq: l.gone[doc].seq, floor: l.version, at: now}
	if there {
		g.seq = l.change()
	}
	l.gone[doc] = g
	return there, nil
}

// erase drops all that t has.
func (d *documents) erase(t tenancy.ID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.libraries[t.Identity()]
	if l == nil {
		return
	}
	for doc := range maps.Clone(l.staged) {
		d.unstage(l, doc, func(int64) bool { return true })
	}
	for doc := range maps.Clone(l.docs) {
		d.drop(l, doc)
	}
	delete(d.libraries, t.Identity())
	close(l.changed)
}

func sizeOf(p storage.Passage) int64 {
	n := passageBytes + len(p.Text) + 4*len(p.Vector)
	for _, h := range p.Headings {
		n += len(h) + 16
	}
	return int64(n)
}

func cloneDocument(d storage.Document) storage.Document {
	d.Metadata = maps.Clone(d.Metadata)
	return d
}

func clonePassage(p storage.Passage, vector bool) storage.Passage {
	p.Headings = slices.Clone(p.Headings)
	if vector {
		p.Vector = slices.Clone(p.Vector)
	} else {
		p.Vector = nil
	}
	return p
}

func compareIDs(a, b *published) int { return strings.Compare(a.ID, b.ID) }
