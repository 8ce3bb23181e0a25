package build

import (
	"bytes"
	"strings"
	"sync"
)

// progress counts the packages that go build -v names, one a line, and keeps all else it says for an error's text.
type progress struct {
	mu       sync.Mutex
	partial  []byte
	packages int
	last     string
	said     []byte
}

func (p *progress) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.partial = append(p.partial, text...)
	for {
		line, rest, whole := bytes.Cut(p.partial, []byte("\n"))
		if !whole {
			return len(text), nil
		}
		p.take(string(line))
		p.partial = rest
	}
}

func (p *progress) take(line string) {
	if strings.HasPrefix(line, "go: downloading ") {
		p.last = "downloading " + strings.TrimPrefix(line, "go: downloading ")
		return
	}
	if line != "" && !strings.ContainsAny(line, " \t:#") {
		p.packages++
		p.last = line
		return
	}
	p.said = append(append(p.said, line...), '\n')
}

func (p *progress) now() (packages int, last string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last == "" {
		return p.packages, "loading packages"
	}
	return p.packages, p.last
}

func (p *progress) tail() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return lastLines(append(p.said, p.partial...), 20)
}
