package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"testing"
)

// keeper stands for a test where none runs, so that the servers that tests use can be
// started by a command: it keeps what is to be ended, and the first failure.
type keeper struct {
	testing.TB // only for what it hides; none of its methods is called

	mu       sync.Mutex
	cleanups []func()
	err      error
}

func (*keeper) Helper()                  {}
func (*keeper) Name() string             { return "isolation" }
func (*keeper) Log(...any)               {}
func (*keeper) Logf(string, ...any)      {}
func (*keeper) Context() context.Context { return context.Background() }

func (k *keeper) Error(args ...any)                 { k.fail(fmt.Sprint(args...)) }
func (k *keeper) Errorf(format string, args ...any) { k.fail(fmt.Sprintf(format, args...)) }

func (k *keeper) Fatal(args ...any) {
	k.Error(args...)
	runtime.Goexit()
}

func (k *keeper) Fatalf(format string, args ...any) {
	k.Errorf(format, args...)
	runtime.Goexit()
}

func (k *keeper) fail(text string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err == nil {
		k.err = errors.New(text)
	}
}

func (k *keeper) Failed() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.err != nil
}

func (k *keeper) Cleanup(f func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cleanups = append(k.cleanups, f)
}

func (k *keeper) TempDir() string {
	dir, err := os.MkdirTemp("", "isolation-")
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

// try runs what may Fatal, on a goroutine of its own as Fatal needs.
func (k *keeper) try(f func()) error {
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

// end does what Cleanup was given, last first.
func (k *keeper) end() {
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
		_ = k.try(last)
	}
}
