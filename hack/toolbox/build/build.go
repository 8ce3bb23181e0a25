package build

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Builder builds tools of one repository and tells on Out how far it is.
type Builder struct {
	Root string
	Out  io.Writer
	// Every is the longest silence while a tool compiles; zero means ten seconds.
	Every time.Duration
}

// Ensure builds those of the tools that are missing or stale, one after the other.
func (b Builder) Ensure(ctx context.Context, tools []Tool) error {
	var stale []Tool
	for _, tool := range tools {
		fresh, err := b.fresh(tool)
		if err != nil {
			return err
		}
		if !fresh {
			stale = append(stale, tool)
		}
	}
	for i, tool := range stale {
		if err := b.build(ctx, tool, fmt.Sprintf("[%d/%d]", i+1, len(stale))); err != nil {
			return err
		}
	}
	return nil
}

// say tells how far the build is; that nobody listens is no reason to stop it.
func (b Builder) say(format string, args ...any) {
	_, _ = fmt.Fprintf(b.Out, format, args...)
}

func (b Builder) fresh(tool Tool) (bool, error) {
	path, err := Path(b.Root, tool)
	if err != nil {
		return false, err
	}
	want, err := b.stamp(tool)
	if err != nil {
		return false, err
	}
	if len(Complete(filepath.Dir(path), []string{filepath.Base(path)})) > 0 {
		return false, nil
	}
	have, err := os.ReadFile(path + ".stamp")
	return err == nil && string(have) == want, nil
}

// stamp covers all that a tool is made of: the pinned modules, the flags, the compiler and, for a program of this
// repository, its source.
func (b Builder) stamp(tool Tool) (string, error) {
	version, err := Version(b.Root, tool)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	_, _ = fmt.Fprintln(sum, tool.Package, tool.Ldflags(version), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	var files []string
	if tool.Modfile != "" {
		files = append(files, filepath.Join(b.Root, "hack", "tools", tool.Modfile))
	}
	if strings.HasPrefix(tool.Package, "./") {
		sources, err := filepath.Glob(filepath.Join(b.Root, tool.Package, "*.go"))
		if err != nil || len(sources) == 0 {
			return "", fmt.Errorf("no Go files in %s", tool.Package)
		}
		files = append(files, sources...)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("reading what %s is built from: %w", tool.Name, err)
		}
		_, _ = fmt.Fprintf(sum, "%s %d\n", filepath.Base(file), len(text))
		sum.Write(text)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

func (b Builder) build(ctx context.Context, tool Tool, place string) error {
	path, err := Path(b.Root, tool)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("making the folder of tools: %w", err)
	}
	unlock, err := b.lock(filepath.Join(filepath.Dir(path), tool.Name+".lock"), tool.Name)
	if err != nil {
		return err
	}
	defer unlock()
	// Who held the lock may have built it.
	if fresh, err := b.fresh(tool); err != nil || fresh {
		return err
	}
	if err := b.compile(ctx, tool, path, place); err != nil {
		return err
	}
	dropOlder(path, tool.Name)
	return nil
}

// lock waits for another build of the same tool instead of competing with it for the processors.
func (b Builder) lock(path, name string) (func(), error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the build of %s: %w", name, err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err != nil {
		b.say("%s is being built by another process; waiting for it\n", name)
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("locking the build of %s: %w", name, err)
	}
	return func() { _ = file.Close() }, nil
}

func (b Builder) compile(ctx context.Context, tool Tool, path, place string) error {
	version, err := Version(b.Root, tool)
	if err != nil {
		return err
	}
	stamp, err := b.stamp(tool)
	if err != nil {
		return err
	}
	b.say("%s building %s %s\n", place, tool.Name, version)
	start := time.Now()
	next := path + ".next"
	args := []string{"build", "-v", "-buildvcs=false", "-ldflags", tool.Ldflags(version), "-o", next}
	if tool.Modfile != "" {
		args = append(args, "-modfile=hack/tools/"+tool.Modfile)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, tool.Package)...)
	cmd.Dir = b.Root
	// One setting of each flag that divides the Go build cache, whatever the caller's environment says.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	watched := &progress{}
	cmd.Stdout, cmd.Stderr = watched, watched
	stop := b.report(watched, tool.Name, place, start)
	err = cmd.Run()
	stop()
	if err != nil {
		return fmt.Errorf("building %s: %w\n%s", tool.Name, err, watched.tail())
	}
	if err := os.Rename(next, path); err != nil {
		return fmt.Errorf("building %s: %w", tool.Name, err)
	}
	if err := os.WriteFile(path+".stamp", []byte(stamp), 0o600); err != nil {
		return fmt.Errorf("building %s: %w", tool.Name, err)
	}
	count, _ := watched.now()
	b.say("%s built %s %s in %.1fs (%d packages compiled)\n", place, tool.Name, version, time.Since(start).Seconds(), count)
	return nil
}

// dropOlder removes binaries of other versions: each is around 100 MB.
func dropOlder(path, name string) {
	others, _ := filepath.Glob(filepath.Join(filepath.Dir(path), name+"-v[0-9]*"))
	for _, other := range others {
		if strings.TrimSuffix(other, ".stamp") != path {
			_ = os.Remove(other)
		}
	}
}

// report prints a line at each tick until stop is called.
func (b Builder) report(watched *progress, name, place string, start time.Time) (stop func()) {
	every := b.Every
	if every == 0 {
		every = 10 * time.Second
	}
	done, finished := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(finished)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				count, last := watched.now()
				b.say("%s %s: %.0fs, %d packages compiled, now %s\n", place, name, time.Since(start).Seconds(), count, last)
			}
		}
	}()
	return func() { close(done); <-finished }
}

// lastLines returns at most n lines from the end of text.
func lastLines(text []byte, n int) string {
	lines := bytes.Split(bytes.TrimRight(text, "\n"), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-n):], []byte("\n")))
}
