package fakecloudflare

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Object is one that exists, whatever lists say.
type Object struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
	// Settings is what a GET shows of it.
	Settings any `json:"settings,omitempty"`
}

// Snapshot is what an account has, without the root token.
type Snapshot struct {
	// Objects are by kind: kv, d1, r2, vectorize, gateways, tokens.
	Objects map[string][]Object `json:"objects"`
}

// Count is how many of a kind there are.
func (s Snapshot) Count(kind string) int { return len(s.Objects[kind]) }

// Total is how many of all kinds there are.
func (s Snapshot) Total() int {
	n := 0
	for _, list := range s.Objects {
		n += len(list)
	}
	return n
}

// Duplicates are the names that two of a kind have, as kind/name.
func (s Snapshot) Duplicates() []string {
	var twice []string
	for kind, list := range s.Objects {
		seen := map[string]int{}
		for _, o := range list {
			if seen[o.Name]++; seen[o.Name] == 2 {
				twice = append(twice, kind+"/"+o.Name)
			}
		}
	}
	slices.Sort(twice)
	return twice
}

// State is what the account has now.
func (s *Server) State(id string) Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	snap := Snapshot{Objects: map[string][]Object{}}
	a := s.accounts[id]
	if a == nil {
		return snap
	}
	now := s.now()
	collect(snap, "kv", &a.KV, func(i *item[kvNamespace]) Object {
		return Object{ID: i.Key, Name: i.Value.Title, Settings: i.Value.shown()}
	})
	collect(snap, "d1", &a.D1, func(i *item[d1Database]) Object {
		return Object{ID: i.Key, Name: i.Value.Name, Settings: i.Value.shown(i)}
	})
	collect(snap, "r2", &a.R2, func(i *item[r2Bucket]) Object {
		shown := i.Value.shown(i.Created)
		shown["objects"] = len(i.Value.Objects)
		return Object{ID: i.Value.Name, Name: i.Value.Name, Settings: shown}
	})
	collect(snap, "vectorize", &a.Vectorize, func(i *item[vectorIndex]) Object {
		i.Value.settle(now)
		shown := i.Value.shown(i.Created)
		shown["metadataIndexes"], shown["vectors"] = slices.Clone(i.Value.Metadata), len(i.Value.Vectors)
		return Object{ID: i.Key, Name: i.Key, Settings: shown}
	})
	c := &call{s: s, acct: a}
	collect(snap, "gateways", &a.Gateways, func(i *item[gateway]) Object {
		return Object{ID: i.Key, Name: i.Key, Settings: i.Value.shown(c, i.Created)}
	})
	collect(snap, "tokens", &a.Tokens, func(i *item[token]) Object {
		return Object{ID: i.Key, Name: i.Value.Name, Settings: i.Value.shown(now)}
	})
	snap.Objects["tokens"] = slices.DeleteFunc(snap.Objects["tokens"], func(o Object) bool { return o.ID == a.Root })
	return snap
}

func collect[T any](snap Snapshot, kind string, from *shelf[T], show func(*item[T]) Object) {
	list := []Object{}
	for _, i := range from.all() {
		o := show(i)
		o.Created = i.Created
		list = append(list, o)
	}
	snap.Objects[kind] = list
}

// Save writes the state file. It does nothing without one.
func (s *Server) Save(ctx context.Context) error {
	if s.opts.StateFile == "" {
		return nil
	}
	s.mu.Lock()
	var list []*account
	for _, id := range s.order {
		a := s.accounts[id]
		for _, i := range a.D1.all() {
			if err := i.Value.freeze(ctx); err != nil {
				s.mu.Unlock()
				return fmt.Errorf("saving the database %s: %w", i.Value.Name, err)
			}
		}
		list = append(list, a)
	}
	text, err := json.Marshal(list)
	s.mu.Unlock()
	if err != nil {
		return fmt.Errorf("saving the state: %w", err)
	}
	// A reader sees the old file or the new one, never a half.
	temp, err := os.CreateTemp(filepath.Dir(s.opts.StateFile), ".state-*")
	if err != nil {
		return fmt.Errorf("saving the state: %w", err)
	}
	_, err = temp.Write(text)
	if err = errors.Join(err, temp.Close()); err == nil {
		err = os.Rename(temp.Name(), s.opts.StateFile)
	}
	if err != nil {
		return fmt.Errorf("saving the state: %w", errors.Join(err, os.Remove(temp.Name())))
	}
	return nil
}

func (s *Server) load() error {
	if s.opts.StateFile == "" {
		return nil
	}
	text, err := os.ReadFile(s.opts.StateFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the state: %w", err)
	}
	var list []*account
	if err := json.Unmarshal(text, &list); err != nil {
		return fmt.Errorf("reading the state in %s: %w", s.opts.StateFile, err)
	}
	for _, a := range list {
		if !accountID.MatchString(a.ID) {
			return fmt.Errorf("reading the state in %s: it holds no accounts", s.opts.StateFile)
		}
		for _, i := range a.D1.Items {
			i.Value.mu = &sync.Mutex{}
		}
		s.accounts[a.ID] = a
		s.order = append(s.order, a.ID)
		s.open(Account{ID: a.ID})
	}
	return nil
}
