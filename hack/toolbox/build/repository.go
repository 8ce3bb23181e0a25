package build

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/mod/modfile"
)

// Root returns the repository's directory: the nearest one upwards from the working directory with a go.mod and a
// hack/tools folder.
func Root() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the repository: %w", err)
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if isDir(filepath.Join(dir, "hack", "tools")) {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no folder hack/tools in %s or above: run this inside the repository", start)
		}
	}
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// Version is the tool's version as its modfile requires it, "dev" for a tool of this repository.
func Version(root string, tool Tool) (string, error) {
	if tool.Module == "" {
		return "dev", nil
	}
	path := filepath.Join(root, "hack", "tools", tool.Modfile)
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("reading the version of %s: %w", tool.Name, err)
	}
	file, err := modfile.ParseLax(path, text, nil)
	if err != nil {
		return "", fmt.Errorf("reading the version of %s: %w", tool.Name, err)
	}
	for _, r := range file.Require {
		if r.Mod.Path == tool.Module {
			return r.Mod.Version, nil
		}
	}
	return "", fmt.Errorf("%s does not require %s, so the version of %s is unknown", path, tool.Module, tool.Name)
}

// Path is where the tool's binary lies once it is built.
func Path(root string, tool Tool) (string, error) {
	version, err := Version(root, tool)
	if err != nil {
		return "", err
	}
	return filepath.Join(root, ".cache", "bin", tool.Name+"-"+version), nil
}

// Link makes a directory of links, each named exactly like its tool, to binaries that are already built.
func Link(root, dir string, tools []Tool) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making the folder of tools: %w", err)
	}
	for _, tool := range tools {
		target, err := Path(root, tool)
		if err != nil {
			return err
		}
		link := filepath.Join(dir, tool.Name)
		if have, err := os.Readlink(link); err == nil && have == target {
			continue
		}
		// Renamed into place: a test that starts meanwhile never sees the name missing.
		next := fmt.Sprintf("%s.%d", link, os.Getpid())
		_ = os.Remove(next)
		if err := os.Symlink(target, next); err != nil {
			return fmt.Errorf("linking %s: %w", tool.Name, err)
		}
		if err := os.Rename(next, link); err != nil {
			return fmt.Errorf("linking %s: %w", tool.Name, err)
		}
	}
	return nil
}

// Complete tells whether dir has an executable of every name; if not, which is missing.
func Complete(dir string, names []string) (missing []string) {
	for _, name := range names {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
			missing = append(missing, name)
		}
	}
	return missing
}
