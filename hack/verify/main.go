package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"

	"github.com/crispy-enigma/crispy-enigma/hack/toolbox/build"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "verify:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 1 || args[0] != "generate" && args[0] != "check" {
		return errors.New("usage: go run ./hack/verify generate|check")
	}
	root, err := build.Root()
	if err != nil {
		return err
	}
	out, err := os.MkdirTemp("", "verify-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(out) }()
	if err := generate(ctx, root, out); err != nil {
		return err
	}
	differ, err := differences(root, out)
	if err != nil {
		return err
	}
	if args[0] == "generate" {
		return replace(root, out, differ)
	}
	if len(differ) > 0 {
		return fmt.Errorf("stale generated files:\n  %s\nrun `make generate` and commit the result", strings.Join(differ, "\n  "))
	}
	return nil
}

// owned are the folders in which every file is generated: one that no longer comes out
// is stale too.
var owned = []string{
	filepath.Join("charts", "crispy-enigma", "templates", "crds"),
	filepath.Join("charts", "crispy-enigma", "templates", "policies"),
}

// differences lists the files, relative to both folders, that are not the same in both.
func differences(root, out string) ([]string, error) {
	var differ []string
	err := filepath.WalkDir(out, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(out, path)
		if err != nil {
			return err
		}
		want, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		have, err := os.ReadFile(filepath.Join(root, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err != nil || !bytes.Equal(want, have) {
			differ = append(differ, name)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, dir := range owned {
		have, err := filepath.Glob(filepath.Join(root, dir, "*"))
		if err != nil {
			return nil, err
		}
		for _, path := range have {
			name := filepath.Join(dir, filepath.Base(path))
			if _, err := os.Stat(filepath.Join(out, name)); errors.Is(err, fs.ErrNotExist) {
				differ = append(differ, name)
			}
		}
	}
	slices.Sort(differ)
	return differ, nil
}

// replace brings the named files of root to what they are in out.
func replace(root, out string, names []string) error {
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(out, name))
		if errors.Is(err, fs.ErrNotExist) {
			if err := os.Remove(filepath.Join(root, name)); err != nil {
				return err
			}
			fmt.Println("removed", name)
			continue
		}
		if err != nil {
			return err
		}
		if err := write(root, name, text); err != nil {
			return err
		}
		fmt.Println("wrote", name)
	}
	return nil
}

func write(dir, name string, text []byte) error {
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o644)
}
