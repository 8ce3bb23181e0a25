package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"testing"
)

// Keeper stands for a test where none runs, so that the servers that tests use can be
// started by a command: it keeps what is to be ended, and the first failure. Its zero
// value is ready to use.
type Keeper struct {
	testing.TB // only for what it hides; none of its methods is called

	mu       sync.Mutex
	cleanups []func()
	err      error
}

// Helper is testing.TB's.
func (*Keeper) Helper() {}

// Name is testing.TB's.
func (*Keeper) Name() string { return "servers" }

// Log is testing.TB's.
func (*Keeper) Log(...any) {}

// Logf is testing.TB's.
func (*Keeper) Logf(string, ...any) {}

// Context is testing.TB's.
func (*Keeper) Context() context.Context { return context.Background() }

// Error is testing.TB's.
func (k *Keeper) Error(args ...any) { k.fail(fmt.Sprint(args...)) }

// Errorf is testing.TB's.
func (k *Keeper) Errorf(format string, args ...any) { k.fail(fmt.Sprintf(format, args...)) }

// Fatal is testing.TB's.
func (k *Keeper) Fatal(args ...any) {
	k.Error(args...)
	runtime.Goexit()
}

// Fatalf is testing.TB's.
func (k *Keeper) Fatalf(format string, args ...any) {
	k.Errorf(format, args...)
	runtime.Goexit()
}

func (k *Keeper) fail(text string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err == nil {
		k.err = errors.New(text)
	}
}

// Failed is testing.TB's.
func (k *Keeper) Failed() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.err != nil
}

// Cleanup is testing.TB's.
func (k *Keeper) Cleanup(f func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cleanups = append(k.cleanups, f)
}

// TempDir is testing.TB's.
func (k *Keeper) TempDir() string {
	dir, err := os.MkdirTemp("", "servers-")
	if err != nil {
		k.Fatalf("making a directory: %v", err)
	}
	k.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			k.Errorf("removing %s: %v", dir, err)
		}
	})
	return dir
}

// Try runs what may Fatal, on a goroutine of its own as Fatal needs.
func (k *Keeper) Try(f func()) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.err
}

// End does what Cleanup was given, last first.
func (k *Keeper) End() {
	for {
		k.mu.Lock()
		n := len(k.cleanups)
		if n == 0 {
			k.mu.Unlock()
			return
		}
		last := k.cleanups[n-1]
		k.cleanups = k.cleanups[:n-1]
		k.mu.Unlock()
		_ = k.Try(last)
	}
}
