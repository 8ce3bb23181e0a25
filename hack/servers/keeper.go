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

func (*Keeper) Helper()                  {}
func (*Keeper) Name() string             { return "servers" }
func (*Keeper) Log(...any)               {}
func (*Keeper) Logf(string, ...any)      {}
func (*Keeper) Context() context.Context { return context.Background() }

func (k *Keeper) Error(args ...any)                 { k.fail(fmt.Sprint(args...)) }
func (k *Keeper) Errorf(format string, args ...any) { k.fail(fmt.Sprintf(format, args...)) }

func (k *Keeper) Fatal(args ...any) {
	k.Error(args...)
	runtime.Goexit()
}

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

func (k *Keeper) Failed() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.err != nil
}

func (k *Keeper) Cleanup(f func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cleanups = append(k.cleanups, f)
}

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
