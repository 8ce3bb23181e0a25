package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

const (
	debianQueries = 1500
	debianShort   = 80 // bytes of a description below which it says too little
)

// errUnavailable marks a data set that this machine can't have.
var errUnavailable = errors.New("not to be had here")

// fetchDebian has apt load the English package descriptions of the machine's own
// sources into dir, which it fills and uses again; nothing of the machine's changes.
func fetchDebian(ctx context.Context, dir string, progress io.Writer) (file string, err error) {
	if _, err := exec.LookPath("apt-get"); err != nil {
		return "", fmt.Errorf("no apt-get: %w", errUnavailable)
	}
	// Apt takes a relative path to be below its own.
	if dir, err = filepath.Abs(dir); err != nil {
		return "", fmt.Errorf("finding room for apt: %w", err)
	}
	lists := filepath.Join(dir, "lists")
	if err := os.MkdirAll(filepath.Join(lists, "partial"), 0o750); err != nil {
		return "", fmt.Errorf("making room for apt: %w", err)
	}
	args := []string{"update", "-q"}
	for _, option := range []string{
		"Dir::State::Lists=" + lists, "Dir::Cache=" + dir, "APT::Sandbox::User=root",
		"Acquire::Languages=en", "Acquire::GzipIndexes=false",
		"Acquire::IndexTargets::deb::Packages::DefaultEnabled=false",
		"Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
	} {
		args = append(args, "-o", option)
	}
	cmd := exec.CommandContext(ctx, "apt-get", args...)
	cmd.Stdout, cmd.Stderr = progress, progress
	updated := cmd.Run()
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if file, err = largest(lists, "_Translation-en"); err != nil {
		return "", err
	}
	if file == "" {
		return "", fmt.Errorf("apt-get update brought no descriptions: %w", errors.Join(updated, errUnavailable))
	}
	return file, nil
}

// largest is the release's own file: those of its updates repeat it.
func largest(dir, suffix string) (file string, err error) {
	var size int64
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, suffix) {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Size() > size {
			file, size = path, info.Size()
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("looking for descriptions: %w", err)
	}
	return file, nil
}

// readDebian makes each long description a passage, once, and asks for some of them by
// the one line that their package is announced with. A line that announces several is
// answered by each of them.
func readDebian(r io.Reader) (*collection, error) {
	c := &collection{name: "debian"}
	var lines []string // announcing each passage
	seen := map[string]bool{}
	var short string
	var long strings.Builder
	flush := func() {
		text := strings.TrimSpace(long.String())
		long.Reset()
		if len(text) < debianShort || short == "" || seen[text] {
			return
		}
		seen[text] = true
		c.passages = append(c.passages, text)
		lines = append(lines, short)
	}
	in := bufio.NewScanner(r)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		line := in.Text()
		switch rest, ok := strings.CutPrefix(line, "Description-en: "); {
		case ok:
			short = rest
		case line == "":
			flush()
			short = ""
		case line == " .":
			long.WriteString("\n")
		case line[0] == ' ':
			long.WriteString(line[1:] + "\n")
		}
	}
	if err := in.Err(); err != nil {
		return nil, fmt.Errorf("reading descriptions: %w", err)
	}
	flush()
	if len(c.passages) < debianQueries {
		return nil, fmt.Errorf("only %d descriptions: %w", len(c.passages), errUnavailable)
	}
	chosen := rand.New(rand.NewPCG(1, 2)).Perm(len(lines))[:debianQueries]
	slices.Sort(chosen)
	announced := map[string]map[uint32]float64{}
	for i, line := range lines {
		if announced[line] == nil {
			announced[line] = map[uint32]float64{}
		}
		announced[line][uint32(i)] = 1
	}
	for _, i := range chosen {
		c.queries = append(c.queries, query{text: lines[i], gains: announced[lines[i]]})
	}
	c.about = fmt.Sprintf("%d package descriptions of Debian, %d of their one-line synopses as questions (through apt)", len(c.passages), len(c.queries))
	return c, nil
}
