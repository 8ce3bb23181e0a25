package image

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// triplets are what the folders of libraries are called where several architectures may live side by side.
var triplets = map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}

// libraries are the loader and all shared libraries that a program of the distribution needs, with the folders that
// they lie in. They go where the loader looks without a cache. What a program opens while it runs isn't found, nor what
// lies beside it (RPATH).
func libraries(program []byte) ([]file, error) {
	loader, wanted, err := needs(program)
	if err != nil {
		return nil, err
	}
	if loader == "" {
		return nil, errors.New("linked statically: it needs no libraries")
	}
	found := map[string][]byte{}
	if found[strings.TrimPrefix(loader, "/")], err = os.ReadFile(loader); err != nil {
		return nil, err
	}
	for len(wanted) > 0 {
		name := wanted[0]
		wanted = wanted[1:]
		place := filepath.Join("lib", triplets[runtime.GOARCH], name)
		if found[place] != nil || name == filepath.Base(loader) {
			continue
		}
		content, err := library(name)
		if err != nil {
			return nil, err
		}
		found[place] = content
		_, more, err := needs(content)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		wanted = append(wanted, more...)
	}
	return withFolders(found), nil
}

// needs reads which loader and which libraries a program or library asks for.
func needs(content []byte) (loader string, names []string, err error) {
	object, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		return "", nil, fmt.Errorf("not a Linux executable: %w", err)
	}
	for _, segment := range object.Progs {
		if segment.Type != elf.PT_INTERP {
			continue
		}
		text, err := io.ReadAll(segment.Open())
		if err != nil {
			return "", nil, fmt.Errorf("reading the loader's name: %w", err)
		}
		loader = strings.TrimRight(string(text), "\x00")
	}
	names, err = object.ImportedLibraries()
	if err != nil {
		return "", nil, fmt.Errorf("reading the libraries' names: %w", err)
	}
	return loader, names, nil
}

func library(name string) ([]byte, error) {
	triplet := triplets[runtime.GOARCH]
	for _, folder := range []string{"/lib/" + triplet, "/usr/lib/" + triplet, "/lib64", "/usr/lib64", "/lib", "/usr/lib"} {
		content, err := os.ReadFile(filepath.Join(folder, name))
		if err == nil {
			return content, nil
		}
	}
	return nil, fmt.Errorf("library %s is in none of this system's folders", name)
}

// withFolders puts each folder before what lies in it.
func withFolders(content map[string][]byte) []file {
	var files []file
	made := map[string]bool{".": true}
	var makeFolder func(folder string)
	makeFolder = func(folder string) {
		if !made[folder] {
			makeFolder(filepath.Dir(folder))
			made[folder] = true
			files = append(files, file{name: folder + "/", mode: 0o755})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(content)) {
		makeFolder(filepath.Dir(name))
		files = append(files, file{name: name, data: content[name], mode: 0o555})
	}
	return files
}
