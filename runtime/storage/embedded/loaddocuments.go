package embedded

import (
	"errors"
	"fmt"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

// loadPassages stages passages under the negative version of the store that they come
// from, which no other staging has.
func (t *tx) loadPassages(tenant string, r *storage.PassagesRecord, now time.Time) (refused, err error) {
	passages, err := r.Unpack()
	if err != nil {
		return err, nil
	}
	rows, err := pack(passages)
	if err != nil {
		return nil, err
	}
	refused, err = t.stage(tenant, r.Doc, -r.Version, rows, now)
	if errors.Is(refused, storage.ErrBadDocument) {
		refused = fmt.Errorf("%w: passages of one version have vectors of different lengths", storage.ErrBadRecord)
	}
	return refused, err
}

// loadDocument publishes what was staged so, as the newest version of this store. The very
// same that was loaded before is let be.
func (t *tx) loadDocument(tenant string, d storage.Document, now time.Time) (refused, err error) {
	at, err := t.standing(tenant, d.ID)
	if err != nil {
		return nil, err
	}
	source := d.Version
	if at.source == source && at.updated == d.Updated.UnixMilli() && at.passages == int64(d.Passages) {
		return nil, t.dropParts(`tenant = ? AND doc = ? AND version = ?`, tenant, d.ID, -source)
	}
	if d.Version, err = t.nextVersion(tenant, now); err != nil {
		return nil, err
	}
	refused, err = t.publish(tenant, &d, -source, at)
	if refused != nil {
		refused = fmt.Errorf("loading document: %w", refused)
	}
	return refused, err
}
