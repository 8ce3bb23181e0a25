package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// component is one program of the cluster.
type component struct {
	name  string
	path  string
	args  []string
	place place
	ended chan error // its first end; only the first matters to who waits for it to become ready
}

// start runs the program and, once it has ended, runs it again after a second, as an init system would: a cluster that
// lost a component comes back by itself. It ends with ctx or with PID 1.
func (p place) start(ctx context.Context, name, path string, args ...string) (*component, error) {
	c := &component{name: name, path: path, args: args, place: p, ended: make(chan error, 1)}
	cmd, err := c.launch(ctx)
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			if cmd != nil {
				err = cmd.Wait()
			}
			log.Printf("%s ended: %v", name, err)
			select {
			case c.ended <- fmt.Errorf("%s ended: %w", name, orExit0(err)):
			default:
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Second):
			}
			if cmd, err = c.launch(ctx); err != nil {
				cmd = nil
			}
		}
	}()
	return c, nil
}

// keep returns the named variables of our environment.
func keep(names ...string) []string {
	var env []string
	for _, name := range names {
		if value, set := os.LookupEnv(name); set {
			env = append(env, name+"="+value)
		}
	}
	return env
}

func orExit0(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

func (c *component) launch(ctx context.Context) (*exec.Cmd, error) {
	out, err := os.OpenFile(c.place.log(c.name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", c.name, err)
	}
	defer func() { _ = out.Close() }()
	cmd := exec.CommandContext(ctx, c.path, c.args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Dir = c.place.Dir
	// Nothing of the developer's environment: a proxy setting would lead webhooks astray, ETCD_* configures etcd.
	cmd.Env = keep("PATH", "HOME")
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", c.name, err)
	}
	return cmd, nil
}

// startupLimit is generous: on a machine that also compiles, a start that takes 5 s idle has taken 30.
const startupLimit = 3 * time.Minute

// await waits until check returns nil. A component that ends, or is not ready in time, is an error with the end of its
// log.
func (c *component) await(ctx context.Context, check func(context.Context) error) error {
	if err := poll(ctx, c.ended, check); err != nil {
		return c.withLog(fmt.Errorf("%s did not become ready: %w", c.name, err))
	}
	return nil
}

// poll asks check every 50 ms until it returns nil, something is received from ended, or startupLimit is over.
func poll(ctx context.Context, ended <-chan error, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startupLimit)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case err := <-ended:
			return err
		case <-ctx.Done():
			return fmt.Errorf("after %s: %w", startupLimit, err)
		case <-tick.C:
		}
	}
}

func (c *component) withLog(err error) error {
	path := c.place.log(c.name)
	return fmt.Errorf("%w\nthe last lines of %s:\n%s", err, path, tail(path))
}

// tail returns the last twenty lines of a file.
func tail(path string) []byte {
	text, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return []byte(err.Error())
	}
	text = bytes.TrimRight(text, "\n")
	all := bytes.Split(text, []byte("\n"))
	return bytes.Join(all[max(0, len(all)-20):], []byte("\n"))
}
