package speech

import (
	"io"

	"github.com/crispy-enigma/crispy-enigma/runtime/ai"
)

// Pieces is how a stream is cut.
var Pieces = pieces

// Join reads pieces as one file.
func Join(first ai.Audio, more ...ai.Audio) ([]byte, error) {
	p := join(first, len(more) > 0)
	all, err := io.ReadAll(p)
	for _, next := range more {
		if err == nil {
			err = p.follow(next)
		}
		if err == nil {
			var part []byte
			part, err = io.ReadAll(p)
			all = append(all, part...)
		}
	}
	return all, err
}
