package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/cmd/internal/memory"
	"github.com/crispy-enigma/crispy-enigma/runtime/move"
	"github.com/crispy-enigma/crispy-enigma/runtime/server"
	"github.com/crispy-enigma/crispy-enigma/runtime/telemetry"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// commands do something else than serving, and end.
var commands = map[string]func(ctx context.Context, args []string, stdout, stderr io.Writer) int{
	"move":     moveState,
	"snapshot": takeSnapshot,
	"restore":  takeIn,
	"extract":  extractFile,
}

func configDirFlag(flags *flag.FlagSet) *string {
	return flags.String("config-dir", cmp.Or(os.Getenv(tenantconfig.EnvDir), tenantconfig.Dir), "directory of the tenant's document and the secrets beside it")
}

// job is a command with its tenant.
type job struct {
	tenant *tenancy.Tenant
	logger *slog.Logger
}

// begin reads the flags, to which it adds its own, and the document. The status is the
// program's if ok is false.
func begin(flags *flag.FlagSet, args []string, stderr io.Writer) (j job, status int, ok bool) {
	flags.SetOutput(stderr)
	dir := configDirFlag(flags)
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return j, 0, false
	} else if err != nil {
		return j, 2, false
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(stderr, "%s takes flags alone, and not %q\n", flags.Name(), flags.Arg(0))
		return j, 2, false
	}
	tenant, err := tenancy.Load(*dir)
	if err != nil {
		complain(stderr, *dir, err)
		return j, 2, false
	}
	memory.Limit()
	return job{tenant, telemetry.NewLogger(stderr, slog.LevelInfo)}, 0, true
}

// pace tells how far it is in the log.
func (j job) pace() move.Pace {
	return move.Pace{
		Progress: func(c move.Counts) { j.logger.Info("under way", counted(c)...) },
		Waiting:  func(err error) { j.logger.Warn("the store is away: waiting for it", "error", err) },
	}
}

func (j job) keeper(address string) server.Keeper {
	port := strconv.Itoa(j.tenant.Config.Server.MetricsPort)
	return server.Keeper{Tenant: j.tenant, Address: cmp.Or(address, net.JoinHostPort("127.0.0.1", port)), Logger: j.logger}
}

// end logs the outcome and gives the program's status.
func (j job) end(what string, c move.Counts, err error) int {
	if err != nil {
		j.logger.Error(what+" failed", append(counted(c), "error", err)...)
		return 1
	}
	j.logger.Info(what+" done", counted(c)...)
	return 0
}

func counted(c move.Counts) []any {
	return []any{"records", c.Records(), "sessions", c.Sessions, "messages", c.Messages, "budgets", c.Budgets, "usage", c.Usage, "audit", c.Audit, "documents", c.Documents, "passages", c.Passages}
}

func moveState(ctx context.Context, args []string, _, stderr io.Writer) int {
	j, status, ok := begin(flag.NewFlagSet("runtime move", flag.ContinueOnError), args, stderr)
	if !ok {
		return status
	}
	c, err := server.Move(ctx, j.tenant, j.logger, j.pace())
	return j.end("move", c, err)
}

func takeSnapshot(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("runtime snapshot", flag.ContinueOnError)
	out := flags.String("out", "-", "write to this file, which may not exist yet; - is the standard output")
	address := addressFlag(flags)
	j, status, ok := begin(flags, args, stderr)
	if !ok {
		return status
	}
	if *out == "-" {
		c, err := j.keeper(*address).Snapshot(ctx, stdout, j.pace())
		return j.end("snapshot", c, err)
	}
	c, err := intoFile(*out, func(w io.Writer) (move.Counts, error) { return j.keeper(*address).Snapshot(ctx, w, j.pace()) })
	return j.end("snapshot", c, err)
}

func addressFlag(flags *flag.FlagSet) *string {
	return flags.String("metrics-address", "", "where the server that has the state listens for metrics, instead of the document's port on loopback")
}

// intoFile gives a file its name once it is whole and on the disk. Only its owner may
// read it: it holds what users said.
func intoFile(path string, fill func(io.Writer) (move.Counts, error)) (c move.Counts, err error) {
	if _, err := os.Lstat(path); err == nil {
		return c, fmt.Errorf("%s is there already; name another file, or remove it", path)
	}
	// CreateTemp makes it for its owner alone.
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return c, fmt.Errorf("making a file for the snapshot: %w", err)
	}
	c, err = fill(f)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return c, errors.Join(err, os.Remove(f.Name()))
	}
	return c, nil
}

func takeIn(ctx context.Context, args []string, _, stderr io.Writer) int {
	flags := flag.NewFlagSet("runtime restore", flag.ContinueOnError)
	in := flags.String("in", "-", "read this file; - is the standard input")
	as := flags.String("as", "", "this tenant's id, to take in the snapshot of another")
	skip := flags.Int64("skip", 0, "leave out this many records, which an earlier try has taken in")
	address := addressFlag(flags)
	j, status, ok := begin(flags, args, stderr)
	if !ok {
		return status
	}
	if *skip < 0 {
		fmt.Fprintln(stderr, "-skip must be 0 or more")
		return 2
	}
	source := os.Stdin
	if *in != "-" {
		f, err := os.Open(*in)
		if err != nil {
			return j.end("restore", move.Counts{}, err)
		}
		defer func() { _ = f.Close() }()
		source = f
	}
	c, err := j.keeper(*address).Restore(ctx, source, move.Taking{As: *as, Skip: *skip, Pace: j.pace()})
	if err != nil && c.Records() > 0 {
		j.logger.Warn("part of the snapshot is taken in; go on from there with the flag", "flag", "-skip "+strconv.FormatInt(c.Records(), 10))
	}
	return j.end("restore", c, err)
}

// complain lists what is wrong with the document, a line each.
func complain(w io.Writer, dir string, err error) {
	violations, ok := errors.AsType[tenantconfig.Violations](err)
	if !ok {
		fmt.Fprintf(w, "the tenant document in %s can't be used: %v\n", dir, err)
		return
	}
	fmt.Fprintf(w, "the tenant document in %s breaks %d rules:\n", dir, len(violations))
	for _, v := range violations {
		fmt.Fprintln(w, " ", v)
	}
}
