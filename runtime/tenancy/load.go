package tenancy

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
)

// maxSecret is the largest secret file in bytes.
const maxSecret = 64 << 10

// Load reads the document and the secrets beside it from dir, all of one version even
// while a kubelet swaps them. A document that breaks rules gives
// tenantconfig.Violations (errors.As).
func Load(dir string) (*Tenant, error) {
	for range 5 {
		before := versionOf(dir)
		t, err := loadOnce(dir)
		// A kubelet removes the old files right after it swapped the link to them, maybe
		// between two of our reads: a file could seem to be missing.
		if versionOf(dir) != before {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("loading %s: %w", filepath.Join(dir, tenantconfig.DocumentFile), err)
		}
		return t, nil
	}
	return nil, fmt.Errorf("loading %s: %w", filepath.Join(dir, tenantconfig.DocumentFile), ErrChanging)
}

// ErrChanging: the directory was changed again each time before it was read.
var ErrChanging = errors.New("it keeps changing while it is read")

// versionOf names the version in force of a mounted Secret, nothing for a plain
// directory.
func versionOf(dir string) string {
	version, err := os.Readlink(filepath.Join(dir, versionLink))
	if err != nil {
		return ""
	}
	return version
}

func loadOnce(dir string) (*Tenant, error) {
	root, err := openVersion(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	document, err := readFile(root, tenantconfig.DocumentFile, tenantconfig.MaxBytes)
	if err != nil {
		return nil, err
	}
	c, err := tenantconfig.Parse(document)
	if err != nil {
		return nil, err
	}
	if v := tenantconfig.Validate(c); len(v) > 0 {
		return nil, fmt.Errorf("checking the tenant document: %w", v)
	}
	files := map[string]string{}
	for _, name := range secretFiles(c) {
		if name == "" {
			continue
		}
		content, err := readFile(root, name, maxSecret)
		if errors.Is(err, fs.ErrNotExist) {
			continue // NewTenant says which field misses it, if one does
		}
		if err != nil {
			return nil, err
		}
		files[name] = string(content)
	}
	t, err := NewTenant(c, files)
	if err != nil {
		return nil, err
	}
	t.dir = dir
	return t, nil
}

// secretFiles are the files beside a document that it or the mount's contract names; an
// empty name is none.
func secretFiles(c *tenantconfig.Config) []string {
	names := []string{
		tenantconfig.StatusTokenFile, c.Upstream.CredentialsFile, c.Cloudflare.CredentialsFile,
		c.State.Server.URLFile, c.State.Server.CAFile, c.State.LimitsServer.URLFile, c.State.LimitsServer.CAFile,
	}
	for _, tool := range c.Tools.HTTP {
		for _, header := range tool.SecretHeaders {
			names = append(names, header.ValueFile)
		}
	}
	for _, server := range c.Tools.MCP {
		names = append(names, server.TokenFile)
	}
	return names
}

// versionLink is, in a mounted Secret, a link to the directory of the version in force.
const versionLink = "..data"

// openVersion pins one version of the directory. Nothing that is read through a Root
// lies outside of it.
func openVersion(dir string) (*os.Root, error) {
	root, err := os.OpenRoot(filepath.Join(dir, versionLink))
	if errors.Is(err, fs.ErrNotExist) {
		root, err = os.OpenRoot(dir)
	}
	return root, err
}

func readFile(root *os.Root, name string, limit int64) ([]byte, error) {
	info, err := root.Stat(name)
	if err != nil {
		return nil, err
	}
	// Opening a pipe would wait for its writer.
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("reading %s: not a regular file", name)
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("reading %s: larger than %d bytes", name, limit)
	}
	return b, nil
}
