package move

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// journalFile lies beside the file that is moved.
const journalFile = "moved.json"

// Journal remembers how far a move has come, and that it is done.
type Journal struct {
	path string
	entry
}

type entry struct {
	Version int `json:"version"`
	// Identity of the tenant whose data is moved.
	Identity string `json:"identity"`
	// To names the store that it is moved to.
	To string `json:"to"`
	// Position in the dump after which nothing is moved yet.
	Position string    `json:"position,omitempty"`
	Counts   Counts    `json:"counts"`
	Done     bool      `json:"done,omitempty"`
	At       time.Time `json:"at"`
}

// ErrJournal: the journal is no journal of this tenant, so nobody knows whether moving
// again would bring old data back over new.
var ErrJournal = errors.New("the journal of an earlier move can't be used; if nothing was served from the shared store since, remove it and the move begins anew")

// OpenJournal reads what an earlier move left in dir. One to another store counts for
// nothing: the move begins anew.
func OpenJournal(dir string, t tenancy.ID, to string) (*Journal, error) {
	j := &Journal{filepath.Join(dir, journalFile), entry{Version: 1, Identity: t.Identity(), To: to}}
	text, err := os.ReadFile(j.path)
	if errors.Is(err, fs.ErrNotExist) {
		return j, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the journal: %w", err)
	}
	var have entry
	if err := json.Unmarshal(text, &have); err != nil || have.Version != 1 || have.Identity != t.Identity() {
		return nil, fmt.Errorf("reading %s: %w", j.path, ErrJournal)
	}
	if have.To == to {
		j.entry = have
	}
	return j, nil
}

// save is on the disk when it returns: what it says is done isn't done again.
func (j *Journal) save(position string, c Counts, done bool) (err error) {
	j.Position, j.Counts, j.Done, j.At = position, c, done, time.Now().UTC().Truncate(time.Second)
	text, err := json.Marshal(j.entry)
	if err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	next := j.path + ".next"
	if err := errors.Join(write(next, text), os.Rename(next, j.path), sync(filepath.Dir(j.path))); err != nil {
		return fmt.Errorf("writing the journal, without which the move could not be told from one that is done; make room on the volume: %w", err)
	}
	return nil
}

func write(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	return errors.Join(err, f.Sync(), f.Close())
}

func sync(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Reopened tells that the file in dir is in use again: what it holds from now on wasn't
// moved, whatever was before.
func Reopened(dir string) error {
	path := filepath.Join(dir, journalFile)
	// A volume that can't be written has mostly none.
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("removing the journal of a move, which would keep what is written from now on from being moved: %w", err)
	}
	return nil
}
