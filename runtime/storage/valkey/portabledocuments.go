package valkey

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// stageLoaded stages the passages of records under the negative versions of the store that
// they come from, and refuses documents that couldn't be published then. Nobody finds what
// it leaves, and in a day it is gone.
func (s *Store) stageLoaded(ctx context.Context, n *names, records []storage.Record) error {
	for _, r := range records {
		if r.Passages == nil {
			continue
		}
		passages, err := r.Passages.Unpack()
		if err != nil {
			return err
		}
		err = s.stage(ctx, n, r.Passages.Doc, -r.Passages.Version, passages)
		if errors.Is(err, storage.ErrBadDocument) {
			err = fmt.Errorf("%w: passages of one version have vectors of different lengths", storage.ErrBadRecord)
		}
		if err != nil {
			return err
		}
	}
	return s.publishLoaded(ctx, n, records, true)
}

func (s *Store) publishLoaded(ctx context.Context, n *names, records []storage.Record, dry bool) error {
	for _, r := range records {
		if r.Document == nil {
			continue
		}
		if _, _, err := s.publish(ctx, n, *r.Document, -r.Document.Version, r.Document.Created, dry); err != nil {
			return fmt.Errorf("loading document: %w", err)
		}
	}
	return nil
}

func (d *dump) documents(place []byte) error {
	return storage.DumpDocuments(d.ctx, documents{d.s}, d.t, place, func(r storage.Record, next []byte) error {
		return d.give(r, partDocuments, string(next))
	})
}

// eraseDocuments removes what the indexes name, then those.
func (s *Store) eraseDocuments(ctx context.Context, t tenancy.ID, n *names) error {
	for _, index := range []string{"documents", "removals"} {
		for {
			docs, err := s.firstOf(ctx, n, n.key(index))
			if err != nil {
				return err
			}
			if len(docs) == 0 {
				break
			}
			for _, doc := range docs {
				if _, err := (documents{s}).Remove(ctx, t, doc); err != nil {
					return err
				}
			}
			keys, gone := []string{n.key(index)}, []string{"ZREM", n.key(index)}
			unlink := []string{"UNLINK"}
			for _, doc := range docs {
				keys, unlink, gone = append(keys, n.key("removal", doc)), append(unlink, n.key("removal", doc)), append(gone, doc)
			}
			if index == "documents" {
				continue // the removals are next
			}
			if _, err := s.do(ctx, n, keys, unlink, gone); err != nil {
				return err
			}
		}
	}
	if err := s.eraseStaged(ctx, n); err != nil {
		return err
	}
	keys := []string{n.key("documents"), n.key("published"), n.key("removed"), n.key("removals"), n.key("staged"), n.key("library")}
	_, err := s.do(ctx, n, keys, append([]string{"UNLINK"}, keys...))
	return err
}

// firstOf are up to a hundred members of an index.
func (s *Store) firstOf(ctx context.Context, n *names, index string) ([]string, error) {
	reply, err := s.do(ctx, n, []string{index}, []string{"ZRANGE", index, "0", strconv.Itoa(atOnce - 1)})
	if err != nil {
		return nil, err
	}
	found, err := reply[0].AsStrSlice()
	if err != nil {
		return nil, unreadable(err)
	}
	return found, nil
}

func (s *Store) eraseStaged(ctx context.Context, n *names) error {
	for {
		ends, err := s.firstOf(ctx, n, n.key("staged"))
		if err != nil || len(ends) == 0 {
			return err
		}
		keys := []string{}
		for _, end := range ends {
			doc, _, err := cutPart(end)
			if err != nil {
				return err
			}
			keys = append(keys, n.prefix+"passages:"+end, n.prefix+"vectors:"+end, n.key("versions", doc))
		}
		slices.Sort(keys)
		keys = slices.Compact(keys)
		_, err = s.do(ctx, n, append([]string{n.key("staged")}, keys...),
			append([]string{"UNLINK"}, keys...), append([]string{"ZREM", n.key("staged")}, ends...))
		if err != nil {
			return err
		}
	}
}

// eraseJobs removes jobs with their payloads.
func (s *Store) eraseJobs(ctx context.Context, n *names) error {
	for _, index := range []string{n.key("jobs"), n.key("endedjobs")} {
		for {
			ids, err := s.firstOf(ctx, n, index)
			if err != nil {
				return err
			}
			if len(ids) == 0 {
				break
			}
			keys, err := s.keysOfJobs(ctx, n, ids)
			if err != nil {
				return err
			}
			for some := range slices.Chunk(keys, 10*atOnce) {
				if _, err := s.do(ctx, n, some, append([]string{"UNLINK"}, some...)); err != nil {
					return err
				}
			}
			if _, err := s.do(ctx, n, []string{index}, append([]string{"ZREM", index}, ids...)); err != nil {
				return err
			}
		}
	}
	_, err := s.do(ctx, n, []string{n.key("queue")}, []string{"UNLINK", n.key("queue")})
	return err
}

// keysOfJobs are those of jobs and their payloads.
func (s *Store) keysOfJobs(ctx context.Context, n *names, ids []string) ([]string, error) {
	keys, commands := make([]string, len(ids)), make([][]string, len(ids))
	for i, id := range ids {
		keys[i] = n.key("job", id)
		commands[i] = []string{"HMGET", keys[i], "at", "pieces"}
	}
	reply, err := s.do(ctx, n, keys, commands...)
	if err != nil {
		return nil, err
	}
	for i := range reply {
		fields, err := reply[i].AsStrSlice()
		if err != nil || len(fields) != 2 {
			return nil, unreadable(errShort)
		}
		pieces, _ := strconv.Atoi(fields[1]) // none of a job that has run out
		for piece := range pieces {
			if strings.HasPrefix(fields[0], n.prefix) {
				keys = append(keys, fields[0]+strconv.Itoa(piece))
			}
		}
	}
	return keys, nil
}
