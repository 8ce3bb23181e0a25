package move

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

const (
	format = "crispy-enigma-snapshot"
	// version of the format. A snapshot is never read by a program older than its writer's
	// version; what a later one adds makes it the next. 2 added documents; those of 1 are
	// read as they are.
	version = 2
)

// header is a snapshot's first line.
type header struct {
	Format   string    `json:"format"`
	Version  int       `json:"version"`
	Tenant   string    `json:"tenant"`
	Identity string    `json:"identity"`
	Created  time.Time `json:"created"`
}

// line is each further one: a record, or, as the last, the trailer.
type line struct {
	storage.Record
	Trailer *trailer `json:"trailer,omitempty"`
}

// trailer tells what came before it. SHA256 is of all bytes before its own line.
type trailer struct {
	Counts Counts `json:"counts"`
	SHA256 string `json:"sha256"`
}

// Snapshot writes all that the tenant has as JSON, a line each. The last line alone makes
// it whole.
func Snapshot(ctx context.Context, w io.Writer, from storage.Portable, t tenancy.ID, pace Pace) (Counts, error) {
	var counts Counts
	sum := sha256.New()
	lines := json.NewEncoder(io.MultiWriter(w, sum))
	lines.SetEscapeHTML(false)
	put := func(v any) error {
		if err := lines.Encode(v); err != nil {
			return fmt.Errorf("writing a snapshot: %w", err)
		}
		return nil
	}
	if err := put(header{format, version, t.String(), t.Identity(), time.Now().UTC().Truncate(time.Second)}); err != nil {
		return counts, err
	}
	err := dump(ctx, from, t, "", &pace, func(r storage.Record, _ string) error {
		counts.add(r)
		pace.tell(counts)
		return put(line{Record: r})
	})
	if err != nil {
		return counts, err
	}
	return counts, put(line{Trailer: &trailer{counts, hex.EncodeToString(sum.Sum(nil))}})
}
