package main

import (
	"bytes"
	"context"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/memory"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/storagetest"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

var lastLine = regexp.MustCompile(`drivers=(\d+) operations=(\d+) leaks=(\d+) lost=(\d+)\n$`)

// proof runs drivers and returns the numbers of the last line.
func proof(t *testing.T, operations int64, drivers []driver) (numbers []int64, text string, err error) {
	t.Helper()
	var out bytes.Buffer
	err = runAll(t.Context(), &out, options{operations: operations, seed: 1}, drivers)
	found := lastLine.FindStringSubmatch(out.String())
	if found == nil {
		t.Fatalf("no line that sums up: %s", out.String())
	}
	for _, n := range found[1:] {
		i, err := strconv.ParseInt(n, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, i)
	}
	return numbers, out.String(), err
}

func TestEveryDriverKeepsTenantsApart(t *testing.T) {
	const operations = 5000
	for _, d := range drivers {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			n, text, err := proof(t, operations, []driver{d})
			if err != nil || n[0] != 1 || n[1] < operations || n[2] != 0 || n[3] != 0 {
				t.Errorf("%v: %s", err, text)
			}
		})
	}
}

// TestAStoreThatJoinsNamesFails: keying by tenant + ":" + key, as so many do, isn't
// isolation, and a proof that lets it through would be none.
func TestAStoreThatJoinsNamesFails(t *testing.T) {
	n, text, err := proof(t, 5000, []driver{{"joined", func(testing.TB) storagetest.Isolation {
		s := memory.New(memory.Options{})
		return shared(joined{s, s.Windows()})
	}}})
	if !errors.Is(err, errNotProven) || n[0] != 1 || n[2] == 0 || !strings.Contains(text, "leak: tenant") {
		t.Errorf("%v: %s", err, text)
	}
}

func TestWhatDoesNotRunIsNotProven(t *testing.T) {
	broken := driver{"broken", func(t testing.TB) storagetest.Isolation {
		t.Fatal("no server here")
		return storagetest.Isolation{}
	}}
	n, text, err := proof(t, 100, []driver{broken})
	if !errors.Is(err, errNotProven) || n[0] != 0 || n[1] != 0 || !strings.Contains(text, "no server here") {
		t.Errorf("%v: %s", err, text)
	}
	if _, _, err := proof(t, 100, nil); !errors.Is(err, errNotProven) {
		t.Errorf("no driver at all: got %v", err)
	}
	away := driver{"away", func(testing.TB) storagetest.Isolation {
		return storagetest.Isolation{Open: func(context.Context, tenancy.ID) ([]storage.Store, error) {
			return nil, storage.ErrUnavailable
		}}
	}}
	if _, text, err = proof(t, 100, []driver{away}); !errors.Is(err, errNotProven) {
		t.Errorf("a store that is away: %v, %s", err, text)
	}
}

// joined is a store whose rate windows are keyed by tenant + ":" + key.
type joined struct {
	storage.Store
	windows storage.Windows
}

func (j joined) Windows() storage.Windows { return joinedWindows{j.windows} }

type joinedWindows struct{ storage.Windows }

// someone is the tenant under which all keys lie.
func someone() tenancy.ID {
	id, err := tenancy.NewID("someone", "someone")
	if err != nil {
		panic(err)
	}
	return id
}

func (j joinedWindows) Take(ctx context.Context, t tenancy.ID, key string, windows []storage.Window, now time.Time) (storage.Taken, error) {
	return j.Windows.Take(ctx, someone(), t.Identity()+":"+key, windows, now)
}

func (j joinedWindows) Return(ctx context.Context, t tenancy.ID, key string, windows []storage.Window, at time.Time) error {
	return j.Windows.Return(ctx, someone(), t.Identity()+":"+key, windows, at)
}
