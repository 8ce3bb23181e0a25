package valkey

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	valkeygo "github.com/valkey-io/valkey-go"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

const (
	// One script of a Stage has so many passages, or bytes of them, so that none holds the
	// server up for long.
	stageAtOnce = 128
	stageBytes  = 512 << 10
	// countAtOnce is how many staged passages one script counts.
	countAtOnce = 1000
)

// What stage.lua and publish.lua answer.
const (
	refusedOld   = 1
	refusedShape = 2
	refusedFirst = 3
)

var (
	versionScript  = load("library", "version")
	stageScript    = load("library", "stage")
	publishScript  = load("library", "publish")
	removeScript   = load("library", "remove")
	countedScript  = load("counted")
	recordsScript  = load("records")
	passagesScript = load("passages")
	vectorsScript  = load("vectors")
)

type documents struct{ s *Store }

// libraryKeys are those of library.lua.
func (n *names) libraryKeys() []string {
	return []string{n.key("library"), n.key("documents"), n.key("published"), n.key("removed"), n.key("removals"), n.key("staged")}
}

// ofLibrary are the arguments of library.lua.
func (n *names) ofLibrary(doc string) []string { return []string{n.mark, n.prefix, doc, part(doc)} }

func (n *names) passages(doc string) string { return n.prefix + "passages:" + part(doc) }
func (n *names) vectors(doc string) string  { return n.prefix + "vectors:" + part(doc) }

func (d documents) NextVersion(ctx context.Context, t tenancy.ID) (int64, error) {
	if err := d.s.admit(ctx, t); err != nil {
		return 0, err
	}
	n := d.s.namesOf(t)
	reply, err := d.s.run(ctx, n, versionScript, n.libraryKeys(), n.ofLibrary("")...)
	if err != nil {
		return 0, err
	}
	return integer(&reply[0])
}

// integer reads one that a script gave as text.
func integer(m *valkeygo.ValkeyMessage) (int64, error) {
	text, err := m.ToString()
	if err != nil {
		return 0, unreadable(err)
	}
	x, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, unreadable(err)
	}
	return x, nil
}

// code reads what a script answered.
func code(m *valkeygo.ValkeyMessage) (int64, error) {
	x, err := m.AsInt64()
	if err != nil {
		return 0, unreadable(err)
	}
	return x, nil
}

// Stage sends passages that none was staged in place of in several scripts: until the last
// of them the version can't be published with all of them. Those that replace others go in
// one.
func (d documents) Stage(ctx context.Context, t tenancy.ID, doc string, version int64, passages []storage.Passage) error {
	if err := d.s.admit(ctx, t); err != nil {
		return err
	}
	if err := storage.CheckStaged(doc, version, passages); err != nil {
		return err
	}
	return d.s.stage(ctx, d.s.namesOf(t), doc, version, passages)
}

func (s *Store) stage(ctx context.Context, n *names, doc string, version int64, passages []storage.Passage) error {
	rest := slices.SortedFunc(slices.Values(passages), func(a, b storage.Passage) int { return cmp.Compare(a.N, b.N) })
	for begun := false; len(rest) > 0; begun = true {
		some, lowest := rest[:stageful(rest)], ""
		if !begun {
			lowest = strconv.Itoa(rest[0].N)
		}
		refused, err := s.stageSome(ctx, n, doc, version, lowest, some)
		if err == nil && refused == refusedFirst {
			some = rest
			_, err = s.stageSome(ctx, n, doc, version, "", some)
		}
		if err != nil {
			return err
		}
		rest = rest[len(some):]
	}
	return nil
}

// stageful is how many passages go into one script.
func stageful(passages []storage.Passage) int {
	size := 0
	for n, p := range passages {
		if size += len(p.Text) + 4*len(p.Vector); n > 0 && (n == stageAtOnce || size > stageBytes) {
			return n
		}
	}
	return len(passages)
}

func (s *Store) stageSome(ctx context.Context, n *names, doc string, version int64, lowest string, some []storage.Passage) (int64, error) {
	dimensions := len(some[0].Vector)
	args := append(n.ofLibrary(doc), strconv.FormatInt(version, 10), strconv.Itoa(dimensions), lowest)
	for _, p := range some {
		text, err := encodePassage(p)
		if err != nil {
			return 0, err
		}
		if args = append(args, strconv.Itoa(p.N), text); dimensions > 0 {
			args = append(args, string(storage.PackVector(p.Vector)))
		}
	}
	replies, err := s.runAllWithin(ctx, loadTimeout, n, stageScript, []call{{n.libraryKeys(), args}})
	if err != nil {
		return 0, err
	}
	refused, err := code(&replies[0][0])
	if err != nil {
		return 0, err
	}
	switch refused {
	case refusedOld:
		return refused, storage.ErrOldVersion
	case refusedShape:
		had, _ := replies[0][1].ToString()
		return refused, fmt.Errorf("%w: its first passages have vectors of %s dimensions", storage.ErrBadDocument, had)
	}
	return refused, nil
}

// encodePassage spells all but the number and the vector: the page and how long the
// headings are, in 8 bytes each, the headings and the text.
func encodePassage(p storage.Passage) (string, error) {
	var headings []byte
	if len(p.Headings) > 0 {
		var err error
		if headings, err = json.Marshal(p.Headings); err != nil {
			return "", fmt.Errorf("spelling headings: %w", err)
		}
	}
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 16+len(headings)+len(p.Text)), uint64(p.Page))
	b = binary.BigEndian.AppendUint64(b, uint64(len(headings)))
	return string(append(append(b, headings...), p.Text...)), nil
}

func decodePassage(text string) (p storage.Passage, err error) {
	if len(text) < 16 || uint64(number(text[8:])) > uint64(len(text)-16) {
		return p, unreadable(errShort)
	}
	end := 16 + int(number(text[8:]))
	p.Page, p.Text = int(number(text)), text[end:]
	if end > 16 {
		if err := json.Unmarshal([]byte(text[16:end]), &p.Headings); err != nil {
			return p, unreadable(err)
		}
	}
	return p, nil
}

func (d documents) Publish(ctx context.Context, t tenancy.ID, doc storage.Document) (storage.Document, error) {
	if err := d.s.admit(ctx, t); err != nil {
		return storage.Document{}, err
	}
	if err := storage.CheckDocument(doc); err != nil {
		return storage.Document{}, err
	}
	change, created, err := d.s.publish(ctx, d.s.namesOf(t), doc, doc.Version, doc.Updated, false)
	if err != nil {
		return storage.Document{}, err
	}
	if change == "" {
		return d.published(ctx, t, doc)
	}
	kept := doc
	kept.Updated = time.UnixMilli(doc.Updated.UnixMilli()).UTC()
	made, err := strconv.ParseInt(created, 10, 64)
	if err == nil {
		kept.Change, err = strconv.ParseInt(change, 10, 64)
	}
	if err != nil {
		return storage.Document{}, unreadable(err)
	}
	kept.Created = time.UnixMilli(made).UTC()
	return kept, nil
}

// published is the version that was published before.
func (d documents) published(ctx context.Context, t tenancy.ID, doc storage.Document) (storage.Document, error) {
	kept, there, err := d.Document(ctx, t, doc.ID)
	if err != nil {
		return storage.Document{}, err
	}
	if !there || kept.Version != doc.Version {
		return storage.Document{}, storage.ErrOldVersion // replaced or removed since
	}
	return kept, nil
}

// publish makes what is staged as a version the document's; dry, it only tells whether it
// would. The change is "" if it was published before. Where more is staged than is published, the passages are counted first, a few a
// script: those of a version only become more.
func (s *Store) publish(ctx context.Context, n *names, d storage.Document, stagedAs int64, made time.Time, dry bool) (change, created string, err error) {
	text, err := json.Marshal(about{d.Title, d.URL, d.Source, d.Metadata, d.ContentType, d.EmbeddingModel})
	if err != nil {
		return "", "", fmt.Errorf("spelling a document: %w", err)
	}
	how := ""
	if dry {
		how = "try"
	}
	for {
		args := append(n.ofLibrary(d.ID), strconv.FormatInt(stagedAs, 10), strconv.Itoa(d.Passages), milliText(made), milliText(d.Updated),
			strconv.FormatInt(d.Bytes, 10), string(text), how)
		reply, err := s.run(ctx, n, publishScript, n.libraryKeys(), args...)
		if err != nil {
			return "", "", err
		}
		refused, err := code(&reply[0])
		switch {
		case err != nil:
			return "", "", err
		case refused == refusedOld:
			return "", "", storage.ErrOldVersion
		case refused == refusedShape:
			return "", "", storage.ErrIncomplete
		case refused != refusedFirst:
			if len(reply) != 3 {
				return "", "", unreadable(errShort)
			}
			change, _ = reply[1].ToString()
			created, _ = reply[2].ToString()
			return change, created, nil
		}
		whole, err := s.counted(ctx, n, d, stagedAs)
		if err != nil {
			return "", "", err
		}
		if !whole {
			return "", "", storage.ErrIncomplete
		}
		if dry {
			return "", "", nil
		}
		how = "sure"
	}
}

func (s *Store) counted(ctx context.Context, n *names, d storage.Document, stagedAs int64) (bool, error) {
	key := n.passages(d.ID) + strconv.FormatInt(stagedAs, 10)
	for from := 0; from < d.Passages; from += countAtOnce {
		reply, err := s.run(ctx, n, countedScript, []string{key}, strconv.Itoa(from), strconv.Itoa(min(d.Passages, from+countAtOnce)))
		if err != nil {
			return false, err
		}
		if all, err := code(&reply[0]); err != nil || all == 0 {
			return false, err
		}
	}
	return true, nil
}

func (d documents) Remove(ctx context.Context, t tenancy.ID, doc string) (bool, error) {
	if err := d.s.admit(ctx, t); err != nil {
		return false, err
	}
	if err := storage.CheckDocID(doc); err != nil {
		return false, err
	}
	n := d.s.namesOf(t)
	// Told a little longer than is promised: clocks differ.
	told := strconv.FormatInt((storage.TombstonesKept + time.Hour).Milliseconds(), 10)
	reply, err := d.s.run(ctx, n, removeScript, n.libraryKeys(), append(n.ofLibrary(doc), told)...)
	if err != nil {
		return false, err
	}
	there, err := code(&reply[0])
	return there == 1, err
}
