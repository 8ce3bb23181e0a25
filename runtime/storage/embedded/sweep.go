package embedded

import (
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

// What is dropped: nobody finds it any more, and it is deleted a little at a time, also
// after a crash.
const (
	droppedPart = iota
	droppedPayload
)

const (
	// sweepAtOnce is how many passages, sweepPieces how many pieces of a payload a
	// transaction deletes: a chat waits for no more.
	sweepAtOnce = 256
	sweepPieces = 4
)

// dropParts lets go of the parts for which a condition holds.
func (t *tx) dropParts(where string, args ...any) error {
	_, err := t.do(`INSERT INTO dropped (kind, id) SELECT 0, id FROM parts WHERE `+where, args...)
	if err == nil {
		t.dropping = true
		_, err = t.do(`DELETE FROM parts WHERE `+where, args...)
	}
	return err
}

// dropPassages deletes those with ids in [from, end).
func (t *tx) dropPassages(from, end int64) error {
	_, err := t.do(`DELETE FROM vectors WHERE id >= ? AND id < ?`, from, end)
	if err == nil {
		_, err = t.do(`DELETE FROM passages WHERE id >= ? AND id < ?`, from, end)
	}
	return err
}

// sweep deletes a little of what was dropped. When nothing is left, dropping says so.
func (t *tx) sweep() error {
	var kind, id int64
	there, err := t.one([]any{&kind, &id}, `SELECT kind, id FROM dropped LIMIT 1`)
	if err != nil {
		return err
	}
	if !there {
		t.dropping = false
		return nil
	}
	most, bits, rows := sweepAtOnce, partBits, `passages`
	if kind == droppedPayload {
		most, bits, rows = sweepPieces, pieceBits, `payloads`
	}
	first, end := id<<bits, (id+1)<<bits
	var n, last int64
	if _, err := t.one([]any{&n, &last}, `SELECT count(*), coalesce(max(id), 0) FROM (SELECT id FROM `+rows+` WHERE id >= ? AND id < ? ORDER BY id LIMIT ?)`,
		first, end, most); err != nil {
		return err
	}
	if kind == droppedPayload {
		_, err = t.do(`DELETE FROM payloads WHERE id >= ? AND id <= ?`, first, last)
	} else {
		err = t.dropPassages(first, last+1)
	}
	if err == nil && n < int64(most) {
		_, err = t.do(`DELETE FROM dropped WHERE kind = ? AND id = ?`, kind, id)
	}
	return err
}

// pruneDocuments lets go of versions that were left and of removals that needn't be told
// any more.
func (t *tx) pruneDocuments(now time.Time) error {
	left := now.Add(-stagedFor).UnixMilli()
	if err := t.dropParts(`latest < ? AND id NOT IN (SELECT part FROM documents)`, left); err != nil {
		return err
	}
	old := now.Add(-storage.TombstonesKept).UnixMilli()
	_, err := t.do(`UPDATE libraries SET forgotten = max(forgotten, (SELECT max(change) FROM removals r WHERE r.tenant = libraries.tenant AND r.at < ?1))
		WHERE tenant IN (SELECT tenant FROM removals WHERE at < ?1)`, old)
	if err == nil {
		_, err = t.do(`DELETE FROM removals WHERE at < ?`, old)
	}
	return err
}

// eraseAtOnce is how many documents or jobs a transaction erases.
const eraseAtOnce = 500

// eraseSome erases some of a tenant's documents and jobs, and tells whether there may be
// more.
func (t *tx) eraseSome(tenant string) (more bool, err error) {
	documents, err := t.do(`DELETE FROM documents WHERE id IN (SELECT id FROM documents WHERE tenant = ? LIMIT ?)`, tenant, eraseAtOnce)
	if err != nil {
		return false, err
	}
	// A part that a document still has waits for its turn.
	if err := t.dropParts(`tenant = ? AND id NOT IN (SELECT part FROM documents WHERE tenant = ?)`, tenant, tenant); err != nil {
		return false, err
	}
	// The payload of one that has ended may be dropped already.
	if _, err := t.do(`INSERT OR IGNORE INTO dropped (kind, id) SELECT 1, number FROM jobs WHERE tenant = ? AND size > 0 ORDER BY number LIMIT ?`, tenant, eraseAtOnce); err != nil {
		return false, err
	}
	jobs, err := t.do(`DELETE FROM jobs WHERE number IN (SELECT number FROM jobs WHERE tenant = ? AND size > 0 ORDER BY number LIMIT ?)`, tenant, eraseAtOnce)
	if err != nil {
		return false, err
	}
	empty, err := t.do(`DELETE FROM jobs WHERE number IN (SELECT number FROM jobs WHERE tenant = ? AND size = 0 LIMIT ?)`, tenant, eraseAtOnce)
	if err != nil {
		return false, err
	}
	if documents+jobs+empty > 0 {
		return true, nil
	}
	if _, err := t.do(`DELETE FROM removals WHERE tenant = ?`, tenant); err != nil {
		return false, err
	}
	_, err = t.do(`DELETE FROM libraries WHERE tenant = ?`, tenant)
	return false, err
}
