// Package distro installs what the project needs of the Linux distribution: Debian's
// packages, by apt-get, with root.
//
// It promises to say what is missing and why before it installs anything, and to start
// no daemon on the host. It refuses to guess on other distributions: it names the
// packages and stops.
package distro

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// Requirement is a program of the distribution and why it is needed.
type Requirement struct {
	Package string
	// File is a name looked for on PATH, or an absolute path.
	File string
	// Why completes "FILE, which …".
	Why string
}

// Missing returns the requirements that are not met, where found tells whether a file is
// there.
func Missing(requirements []Requirement, found func(file string) bool) []Requirement {
	var absent []Requirement
	for _, r := range requirements {
		if !found(r.File) {
			absent = append(absent, r)
		}
	}
	return absent
}

// OnThisMachine tells whether a requirement's file is there.
func OnThisMachine(file string) bool {
	if strings.HasPrefix(file, "/") {
		_, err := os.Stat(file)
		return err == nil
	}
	_, err := exec.LookPath(file)
	return err == nil
}

// Ensure installs what is missing.
func Ensure(ctx context.Context, out io.Writer, requirements []Requirement) error {
	absent := Missing(requirements, OnThisMachine)
	if len(absent) == 0 {
		return nil
	}
	var packages []string
	for _, r := range absent {
		_, _ = fmt.Fprintf(out, "missing: %s, which %s (package %s)\n", r.File, r.Why, r.Package)
		if len(packages) == 0 || packages[len(packages)-1] != r.Package {
			packages = append(packages, r.Package)
		}
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("this is no Debian or Ubuntu (no apt-get): install %s and try again", strings.Join(packages, ", "))
	}
	if os.Geteuid() != 0 {
		return errors.New("installing " + strings.Join(packages, ", ") + " takes root: run the same command with sudo -E env PATH=\"$PATH\", or install them by hand")
	}
	if err := install(ctx, out, packages); err != nil {
		return err
	}
	if absent = Missing(requirements, OnThisMachine); len(absent) > 0 {
		return fmt.Errorf("package %s is installed but has no %s: install a newer one by hand and try again", absent[0].Package, absent[0].File)
	}
	return nil
}

func install(ctx context.Context, out io.Writer, packages []string) error {
	_, _ = fmt.Fprintf(out, "installing %s with apt-get\n", strings.Join(packages, " "))
	restore, err := forbidServices()
	if err != nil {
		return err
	}
	defer restore()
	for _, args := range [][]string{{"update", "-q"}, append([]string{"install", "-q", "-y", "--no-install-recommends"}, packages...)} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("running apt-get %s: %w", strings.Join(args, " "), err)
		}
	}
	return nil
}

// forbidServices keeps the packages from starting daemons on the host (containerd's would): the cluster starts its own.
func forbidServices() (restore func(), err error) {
	const policy = "/usr/sbin/policy-rc.d"
	if _, err := os.Stat(policy); err == nil {
		return func() {}, nil // the machine has a policy of its own
	}
	if err := os.WriteFile(policy, []byte("#!/bin/sh\nexit 101\n"), 0o755); err != nil {
		return nil, fmt.Errorf("keeping packages from starting services: %w", err)
	}
	return func() { _ = os.Remove(policy) }, nil
}
