package embedded

import (
	"context"
	"strconv"
	"strings"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// HistoryFromFile is History as if the session were none of the recent ones.
func HistoryFromFile(ctx context.Context, s *Store, t tenancy.ID, o storage.Owner, id string, page storage.Page) ([]storage.Message, error) {
	if page.Limit < 1 {
		return nil, storage.ErrBadLimit
	}
	return s.reader.history(ctx, t, o, id, page)
}

// HistoryFromMemory is History as the recent sessions alone tell it; ok is false if they
// don't.
func HistoryFromMemory(s *Store, t tenancy.ID, o storage.Owner, id string, page storage.Page) (found []storage.Message, ok bool) {
	return s.recent.history(recentName{t.Identity(), o.Caller, id}, page)
}

// RecentBytes is what the recent sessions take, counted anew.
func RecentBytes(s *Store) int {
	s.recent.mu.Lock()
	defer s.recent.mu.Unlock()
	total := 0
	for _, generation := range []map[recentName]*recentSession{s.recent.young, s.recent.old} {
		for _, r := range generation {
			total += sessionBytes
			for _, m := range r.messages {
				total += messageBytes + len(m.Content)
			}
		}
	}
	return total
}

// RecentMost is what they may take.
const RecentMost = recentBytes + recentSessionBytes

// SchemaOf is what makes a file of a version.
func SchemaOf(version int) string {
	return strings.Join(migrations[:version], "") + "PRAGMA user_version=" + strconv.Itoa(version)
}
