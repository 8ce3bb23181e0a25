package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

const (
	// One statement of a Stage has so many passages, or bytes of them.
	stageAtOnce = 250
	stageBytes  = 4 << 20
	// stagedFor is how long a version that nothing is added to waits to be published.
	stagedFor = 24 * time.Hour
)

// What enigma.stage and enigma.publish refuse.
const (
	refusedOld   = 1
	refusedShape = 2
)

type documents struct{ s *Store }

func (d documents) NextVersion(ctx context.Context, t tenancy.ID) (version int64, err error) {
	err = d.s.do(ctx, t, repeats, func(ctx context.Context, c *pgx.Conn, tag string) error {
		var got string
		if err := c.QueryRow(ctx, `SELECT tenant, version FROM enigma.next_version($1)`, tag).Scan(&got, &version); err != nil {
			return err
		}
		return mine(tag, got)
	})
	return version, err
}

// Stage is one transaction of several statements, so that none is a message of a gigabyte.
func (d documents) Stage(ctx context.Context, t tenancy.ID, doc string, version int64, passages []storage.Passage) error {
	if err := d.s.admit(ctx, t); err != nil {
		return err
	}
	if err := storage.CheckStaged(doc, version, passages); err != nil {
		return err
	}
	if len(passages) == 0 {
		return nil
	}
	return d.s.doLong(ctx, t, repeats, func(ctx context.Context, c *pgx.Conn, tag string) error {
		batch := &pgx.Batch{}
		if err := queueStage(batch, tag, doc, version, d.s.now(), passages); err != nil {
			return err
		}
		return c.SendBatch(ctx, batch).Close()
	})
}

// queueStage adds the statements that stage passages. What they refuse, they refuse before
// anything is written.
func queueStage(batch *pgx.Batch, tag, doc string, version int64, now time.Time, passages []storage.Passage) error {
	for len(passages) > 0 {
		some := passages[:stageful(passages)]
		passages = passages[len(some):]
		n := len(some)
		numbers, pages := make([]int32, n), make([]int32, n)
		texts, headings, vectors := make([][]byte, n), make([][]byte, n), make([][]byte, n)
		for i, p := range some {
			numbers[i], pages[i], texts[i], headings[i] = int32(p.N), int32(min(p.Page, maxPage)), []byte(p.Text), []byte{}
			vectors[i] = storage.PackVector(p.Vector)
			if len(p.Headings) > 0 {
				b, err := json.Marshal(p.Headings)
				if err != nil {
					return fmt.Errorf("spelling headings: %w", err)
				}
				headings[i] = b
			}
		}
		batch.Queue(`SELECT tenant, refused, had FROM enigma.stage($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
			tag, []byte(doc), version, now.UnixMilli(), len(some[0].Vector), numbers, pages, texts, headings, vectors).
			QueryRow(func(row pgx.Row) error {
				var got string
				var refused, had int
				if err := row.Scan(&got, &refused, &had); err != nil {
					return err
				}
				switch refused {
				case refusedOld:
					return storage.ErrOldVersion
				case refusedShape:
					return fmt.Errorf("%w: its first passages have vectors of %d dimensions", storage.ErrBadDocument, had)
				}
				return mine(tag, got)
			})
	}
	return nil
}

// maxPage is the greatest that a row holds.
const maxPage = 1<<31 - 1

// stageful is how many passages go into one statement.
func stageful(passages []storage.Passage) int {
	size := 0
	for n, p := range passages {
		if size += len(p.Text) + 4*len(p.Vector); n > 0 && (n == stageAtOnce || size > stageBytes) {
			return n
		}
	}
	return len(passages)
}

func (d documents) Publish(ctx context.Context, t tenancy.ID, doc storage.Document) (kept storage.Document, err error) {
	if err := d.s.admit(ctx, t); err != nil {
		return kept, err
	}
	if err := storage.CheckDocument(doc); err != nil {
		return kept, err
	}
	err = d.s.doLong(ctx, t, repeats, func(ctx context.Context, c *pgx.Conn, tag string) error {
		batch := &pgx.Batch{}
		if err := queuePublish(batch, tag, doc, doc.Version, doc.Updated); err != nil {
			return err
		}
		// Until the transaction ends nobody else publishes.
		batch.Queue(oneDocument, tag, []byte(doc.ID)).QueryRow(func(row pgx.Row) (err error) {
			kept, err = scanDocument(row.Scan, tag)
			return err
		})
		return c.SendBatch(ctx, batch).Close()
	})
	if err != nil {
		return storage.Document{}, err
	}
	d.s.sweepSoon(t)
	return kept, nil
}

// queuePublish adds the statement that publishes what is staged as a version.
func queuePublish(batch *pgx.Batch, tag string, d storage.Document, stagedAs int64, created time.Time) error {
	text, err := json.Marshal(about{d.Title, d.URL, d.Source, d.Metadata, d.ContentType, d.EmbeddingModel})
	if err != nil {
		return fmt.Errorf("spelling a document: %w", err)
	}
	batch.Queue(`SELECT tenant, refused FROM enigma.publish($1, $2, $3, $4, $5, $6, $7, $8)`,
		tag, []byte(d.ID), stagedAs, d.Passages, created.UnixMilli(), d.Updated.UnixMilli(), d.Bytes, text).
		QueryRow(func(row pgx.Row) error {
			var got string
			var refused int
			if err := row.Scan(&got, &refused); err != nil {
				return err
			}
			switch refused {
			case refusedOld:
				return storage.ErrOldVersion
			case refusedShape:
				return storage.ErrIncomplete
			}
			return mine(tag, got)
		})
	return nil
}

func (d documents) Remove(ctx context.Context, t tenancy.ID, doc string) (there bool, err error) {
	if err := d.s.admit(ctx, t); err != nil {
		return false, err
	}
	if err := storage.CheckDocID(doc); err != nil {
		return false, err
	}
	err = d.s.doLong(ctx, t, repeats, func(ctx context.Context, c *pgx.Conn, tag string) error {
		var got string
		err := c.QueryRow(ctx, `SELECT tenant, was_there FROM enigma.remove_document($1, $2, $3)`, tag, []byte(doc), d.s.now().UnixMilli()).Scan(&got, &there)
		if err != nil {
			return err
		}
		return mine(tag, got)
	})
	if err != nil {
		return false, err
	}
	d.s.sweepSoon(t)
	return there, nil
}

// sweepAtOnce is how many passages one transaction deletes.
const sweepAtOnce = 1000

// sweepSoon deletes what was dropped, in the background. What it leaves, for whatever
// reason, the next one or the next Expire deletes.
func (s *Store) sweepSoon(t tenancy.ID) {
	s.unswept.Store(true)
	if s.closed.Load() || !s.sweeping.CompareAndSwap(false, true) {
		return
	}
	go func() {
		defer s.sweeping.Store(false)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		go func() {
			select {
			case <-s.ended:
				cancel()
			case <-ctx.Done():
			}
		}()
		for s.unswept.Swap(false) {
			if s.sweep(ctx, t) != nil {
				return
			}
		}
	}()
}

func (s *Store) sweep(ctx context.Context, t tenancy.ID) error {
	for more := true; more; {
		err := s.doLong(ctx, t, repeats, func(ctx context.Context, c *pgx.Conn, tag string) error {
			return c.QueryRow(ctx, `SELECT enigma.sweep($1, $2)`, tag, sweepAtOnce).Scan(&more)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
