package storagetest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

// laneDocument is what a right store holds of a document. A move gives it another version,
// which isn't known until it is read: 0.
type laneDocument struct {
	version  int64
	passages []storage.Passage
}

type laneJob struct {
	id, payload string
}

// documentOperations are drawn where the driver keeps documents.
func (l *lane) documentOperations() (ops []func(), weights []int) {
	if l.home().Documents() == nil || l.home().Jobs() == nil {
		return nil, nil
	}
	return []func(){l.publish, l.readDocument, l.removeDocument, l.listDocuments, l.addJob, l.doJob, l.readJobs, l.publishesAtOnce},
		[]int{40, 60, 12, 8, 20, 20, 10, 2}
}

// doc is one of a few ids that spell each other, so that most are replaced often.
func (l *lane) doc() string {
	for {
		if name := l.name(); storage.CheckDocID(name) == nil {
			return name
		}
	}
}

func (l *lane) texts() []storage.Passage {
	all := make([]storage.Passage, 1+l.rand.IntN(4))
	for i := range all {
		text := l.text()
		all[i] = storage.Passage{N: i, Text: text, Headings: []string{text}, Vector: []float32{float32(l.made), float32(i), 1}}
	}
	return all
}

// replace stages and publishes a document.
func (l *lane) replace(s storage.Store, doc string, all []storage.Passage) (storage.Document, error) {
	version, err := s.Documents().NextVersion(l.ctx, l.id)
	if err == nil {
		err = s.Documents().Stage(l.ctx, l.id, doc, version, all)
	}
	l.run.did(2)
	if err != nil {
		return storage.Document{}, err
	}
	l.run.did(1)
	return s.Documents().Publish(l.ctx, l.id, storage.Document{ID: doc, Version: version, Title: all[0].Text, Passages: len(all), Updated: l.now})
}

func (l *lane) publish() {
	doc, all := l.doc(), l.texts()
	d, err := l.replace(l.store(), doc, all)
	if !l.works("Publish", err) {
		return
	}
	if d.Version <= l.library[doc].version || d.Change <= l.changed {
		l.deviates(lost, "document %q: version %d, change %d after %d, %d", doc, d.Version, d.Change, l.library[doc].version, l.changed)
		return
	}
	l.library[doc], l.changed = laneDocument{d.Version, all}, d.Change
}

func (l *lane) readDocument() { l.compareDocument(l.store(), l.doc()) }

// compareDocument holds a document and all its passages against the model.
func (l *lane) compareDocument(from storage.Store, doc string) {
	d, there, err := from.Documents().Document(l.ctx, l.id, doc)
	l.run.did(1)
	if !l.works("Document", err) {
		return
	}
	want, is := l.library[doc]
	switch {
	case there && !l.mine(d.Title):
		l.deviates(leak, "document %q is titled %q", doc, d.Title)
		return
	case there != is || is && (d.Passages != len(want.passages) || want.version != 0 && d.Version != want.version):
		l.deviates(lost, "document %q: got %+v, there %v; want version %d with %d passages, there %v", doc, d, there, want.version, len(want.passages), is)
		return
	case !is:
		return
	}
	want.version = d.Version
	l.library[doc] = want
	got, err := from.Documents().Passages(l.ctx, l.id, doc, d.Version, 0, 100, true)
	l.run.did(1)
	if !l.works("Passages", err) {
		return
	}
	keys := []storage.PassageKey{{Doc: doc, Version: d.Version, N: l.rand.IntN(len(want.passages))}}
	vectors, err := from.Documents().Vectors(l.ctx, l.id, keys)
	l.run.did(1)
	if !l.works("Vectors", err) || !l.samePassages(doc, got, want.passages) {
		return
	}
	if !slices.Equal(vectors[0], want.passages[keys[0].N].Vector) {
		l.deviates(lost, "document %q: passage %d has the vector %v", doc, keys[0].N, vectors[0])
	}
}

func (l *lane) samePassages(doc string, got, want []storage.Passage) bool {
	for _, p := range got {
		if !l.mine(p.Text) {
			l.deviates(leak, "document %q holds %q", doc, p.Text)
			return false
		}
	}
	if !slices.EqualFunc(got, want, func(a, b storage.Passage) bool {
		return a.N == b.N && a.Text == b.Text && slices.Equal(a.Headings, b.Headings) && slices.Equal(a.Vector, b.Vector)
	}) {
		l.deviates(lost, "document %q: got %v, want %v", doc, got, want)
		return false
	}
	return true
}

func (l *lane) removeDocument() {
	doc := l.doc()
	there, err := l.store().Documents().Remove(l.ctx, l.id, doc)
	l.run.did(1)
	if !l.works("Remove", err) {
		return
	}
	if _, is := l.library[doc]; there != is {
		l.deviates(lost, "removing document %q: was there %v, want %v", doc, there, is)
		return
	}
	delete(l.library, doc)
}

// listDocuments compares totals, list and head of one replica with the model.
func (l *lane) listDocuments() {
	from := l.store()
	documents, passages, err := from.Documents().Totals(l.ctx, l.id)
	l.run.did(1)
	if !l.works("Totals", err) {
		return
	}
	want := 0
	for _, d := range l.library {
		want += len(d.passages)
	}
	if !l.counts("documents", documents, int64(len(l.library))) || !l.counts("passages", passages, int64(want)) {
		return
	}
	last, n := "", 0
	for cursor := ""; ; {
		page, next, err := from.Documents().List(l.ctx, l.id, 1+l.rand.IntN(5), cursor)
		l.run.did(1)
		if !l.works("List of documents", err) {
			return
		}
		for _, d := range page {
			if !l.mine(d.Title) {
				l.deviates(leak, "document %q is titled %q", d.ID, d.Title)
				return
			}
			if _, is := l.library[d.ID]; !is || d.ID <= last {
				l.deviates(lost, "document %q is listed after %q", d.ID, last)
				return
			}
			last = d.ID
		}
		if n += len(page); next == "" {
			break
		}
		cursor = next
	}
	l.counts("documents listed", int64(n), int64(len(l.library)))
}

// publishesAtOnce: one document is replaced from all sides; the newest stays, whole.
func (l *lane) publishesAtOnce() {
	doc := l.doc()
	var texts [atOnce][]storage.Passage
	for i := range texts {
		texts[i] = l.texts()
	}
	var kept [atOnce]storage.Document
	if !l.burst(func(i int, s storage.Store) (err error) {
		kept[i], err = l.replace(s, doc, texts[i])
		return notOld(err)
	}) {
		return
	}
	for i, d := range kept {
		if d.Version > l.library[doc].version {
			l.library[doc] = laneDocument{d.Version, texts[i]}
		}
		l.changed = max(l.changed, d.Change)
	}
	l.compareDocument(l.store(), doc)
}

// notOld forgives that a newer version was faster.
func notOld(err error) error {
	if errors.Is(err, storage.ErrOldVersion) {
		return nil
	}
	return err
}

func (l *lane) addJob() {
	if len(l.queue) > 50 {
		return
	}
	j := laneJob{uuid.NewSHA1(uuid.NameSpaceOID, fmt.Append(nil, l.made)).String(), l.text()}
	err := l.store().Jobs().Add(l.ctx, l.id, storage.Job{ID: j.id, Kind: "lane", Caller: j.payload, Created: l.now}, []byte(j.payload))
	l.run.did(1)
	if l.works("Add of a job", err) {
		l.queue = append(l.queue, j)
	}
}

// doJob takes the first job, which must be the one that waits longest, and ends it.
func (l *lane) doJob() {
	s := l.store()
	got, there, err := s.Jobs().Take(l.ctx, l.id, "worker", []string{"lane"}, l.now, l.now.Add(time.Hour))
	l.run.did(1)
	if !l.works("Take of a job", err) {
		return
	}
	switch {
	case there && !l.mine(got.Caller):
		l.deviates(leak, "took the job %+v", got)
		return
	case there != (len(l.queue) > 0) || there && (got.ID != l.queue[0].id || got.Attempts != 1):
		l.deviates(lost, "took the job %+v, there %v, of %v", got, there, l.queue)
		return
	case !there:
		return
	}
	payload, err := s.Jobs().Payload(l.ctx, l.id, got.ID)
	if err == nil {
		got.State = []string{storage.JobDone, storage.JobFailed}[l.rand.IntN(2)]
		err = s.Jobs().Update(l.ctx, l.id, "worker", got, l.now, l.now)
	}
	l.run.did(2)
	if !l.works("ending a job", err) {
		return
	}
	if string(payload) != l.queue[0].payload {
		l.deviates(lost, "job %s has the payload %q, want %q", got.ID, payload, l.queue[0].payload)
		return
	}
	l.queue = l.queue[1:]
}

func (l *lane) readJobs() {
	open, err := l.store().Jobs().Open(l.ctx, l.id)
	l.run.did(1)
	if l.works("Open", err) {
		l.counts("open jobs", int64(open), int64(len(l.queue)))
	}
}

// readLibrary compares all documents and the jobs with the model.
func (l *lane) readLibrary() {
	if ops, _ := l.documentOperations(); ops == nil {
		return
	}
	for _, read := range []func(){l.listDocuments, l.readJobs} {
		if !l.ended {
			read()
		}
	}
	for doc := range l.library {
		if !l.ended {
			l.compareDocument(l.store(), doc)
		}
	}
}

// movedLibrary: documents have new versions after a move, and jobs aren't moved.
func (l *lane) movedLibrary() {
	for doc, d := range l.library {
		d.version = 0
		l.library[doc] = d
	}
	l.queue = nil
}
