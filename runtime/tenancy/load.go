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
	t, err := loadOnce(dir)
	// A kubelet removes the old files right after it swapped the link to them, maybe
	// between two of our reads; the next try sees the new ones.
	for try := 0; try < 3 && errors.Is(err, fs.ErrNotExist); try++ {
		t, err = loadOnce(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("loading %s: %w", filepath.Join(dir, tenantconfig.DocumentFile), err)
	}
	return t, nil
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
	for _, name := range []string{tenantconfig.StatusTokenFile, c.Upstream.CredentialsFile} {
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

// openVersion pins one version of the directory. In a mounted Secret "..data" is a link
// to the version in force. Nothing that is read through a Root lies outside of it.
func openVersion(dir string) (*os.Root, error) {
	root, err := os.OpenRoot(filepath.Join(dir, "..data"))
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
