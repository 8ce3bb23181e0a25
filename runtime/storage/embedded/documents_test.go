package embedded_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/embedded"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/storagetest"
)

func TestDocuments(t *testing.T) {
	t.Parallel()
	storagetest.RunDocuments(t, func(t *testing.T) storagetest.DocumentBed {
		var passed atomic.Int64
		return storagetest.DocumentBed{
			Store: open(t, t.TempDir(), embedded.Options{Now: func() time.Time { return time.Now().Add(time.Duration(passed.Load())) }}),
			Pass:  func(d time.Duration) { passed.Add(int64(d)) },
		}
	})
}

func TestJobs(t *testing.T) {
	t.Parallel()
	storagetest.RunJobs(t, func(t *testing.T) storage.Store { return open(t, t.TempDir(), embedded.Options{}) })
}
