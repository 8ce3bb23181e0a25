package valkey

import (
	"context"
	"strconv"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

var changesScript = load("changes")

// Changes gives a hundred at the most.
func (d documents) Changes(ctx context.Context, t tenancy.ID, since int64, limit int) ([]storage.Change, error) {
	if err := d.s.admit(ctx, t); err != nil {
		return nil, err
	}
	if limit < 1 {
		return nil, storage.ErrBadLimit
	}
	n := d.s.namesOf(t)
	reply, err := d.s.run(ctx, n, changesScript, []string{n.key("library"), n.key("published"), n.key("removed")},
		n.mark, strconv.FormatInt(since, 10), strconv.Itoa(min(limit, atOnce)), n.prefix+"document:")
	if err != nil {
		return nil, err
	}
	head, err := integer(&reply[0])
	if err != nil {
		return nil, err
	}
	oldest, err := integer(&reply[1])
	if err != nil {
		return nil, err
	}
	if since > head || since != 0 && since < oldest {
		return nil, storage.ErrChangesForgotten
	}
	var found []storage.Change
	for i := 2; i+2 < len(reply); i += 3 {
		var c storage.Change
		score, err := reply[i].AsFloat64()
		if err != nil {
			return nil, unreadable(err)
		}
		c.Seq = int64(score)
		if c.Doc, err = reply[i+1].ToString(); err != nil {
			return nil, unreadable(err)
		}
		if c.Document, err = d.s.document(n, c.Doc, &reply[i+2]); err != nil {
			return nil, err
		}
		found = append(found, c)
	}
	return found, nil
}
