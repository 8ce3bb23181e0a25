package storage

import (
	"context"
	"encoding/binary"

	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// dumpPage is how many documents or passages are read at once.
const dumpPage = 256

// docPlace is a place in a dump of documents: after the passages below next of a version,
// or, with version 0, after the document.
type docPlace struct {
	doc     string
	version int64
	next    int
}

func (p docPlace) bytes() []byte {
	return append(binary.AppendVarint(binary.AppendVarint(nil, p.version), int64(p.next)), p.doc...)
}

func parseDocPlace(b []byte) (p docPlace, err error) {
	version, n := binary.Varint(b)
	if n <= 0 {
		return p, ErrBadCursor
	}
	next, m := binary.Varint(b[n:])
	if m <= 0 {
		return p, ErrBadCursor
	}
	return docPlace{string(b[n+m:]), version, int(next)}, nil
}

// DumpDocuments is the part of Portable.Dump that gives documents: each after its
// passages, in the order of ids, from a place on that it gave with a record; nil is the
// beginning. One that is replaced meanwhile is given anew, whole.
func DumpDocuments(ctx context.Context, d Documents, t tenancy.ID, place []byte, yield func(r Record, place []byte) error) error {
	dump := docDump{ctx, d, t, yield}
	cursor := ""
	if len(place) > 0 {
		at, err := parseDocPlace(place)
		if err != nil {
			return err
		}
		if at.version != 0 {
			if err := dump.rest(at); err != nil {
				return err
			}
		}
		cursor = DocCursor(t, at.doc)
	}
	for {
		page, next, err := d.List(ctx, t, dumpPage, cursor)
		if err != nil {
			return err
		}
		for _, doc := range page {
			if err := dump.document(doc, 0); err != nil {
				return err
			}
		}
		if cursor = next; cursor == "" {
			return nil
		}
	}
}

type docDump struct {
	ctx   context.Context
	docs  Documents
	t     tenancy.ID
	yield func(Record, []byte) error
}

// rest gives what is left of a document of which some passages were given.
func (d docDump) rest(at docPlace) error {
	doc, there, err := d.docs.Document(d.ctx, d.t, at.doc)
	if err != nil || !there {
		return err
	}
	if doc.Version != at.version {
		at.next = 0
	}
	return d.document(doc, at.next)
}

func (d docDump) document(doc Document, from int) error {
	for from < doc.Passages {
		page, err := d.docs.Passages(d.ctx, d.t, doc.ID, doc.Version, from, dumpPage, true)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			return d.rest(docPlace{doc: doc.ID})
		}
		for read := len(page); len(page) > 0; {
			n := recordful(page)
			if n == len(page) && n < read && from+n < doc.Passages {
				break // what is read next begins here: records are the same from wherever a dump goes on
			}
			from += n
			r := Record{Passages: NewPassagesRecord(doc.ID, doc.Version, page[:n])}
			if err := d.yield(r, docPlace{doc.ID, doc.Version, from}.bytes()); err != nil {
				return err
			}
			page = page[n:]
		}
	}
	return d.yield(Record{Document: &doc}, docPlace{doc: doc.ID}.bytes())
}

// recordful is how many passages go into one record, 1 at the least.
func recordful(page []Passage) int {
	size := 0
	for n, p := range page {
		size += len(p.Text) + 4*len(p.Vector)
		if size > PassagesBytes && n > 0 {
			return n
		}
	}
	return len(page)
}
