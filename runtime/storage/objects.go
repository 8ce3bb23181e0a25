package storage

import (
	"context"
	"errors"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// MaxObjectKey is how long an object's key is in bytes.
const MaxObjectKey = 512

var (
	// ErrNoObject: there is no object under this key.
	ErrNoObject = errors.New("no such object")
	// ErrBadObjectKey: a key that some store couldn't keep apart from another.
	ErrBadObjectKey = errors.New("an object's key is UTF-8 of 1 to 512 bytes, without control characters and without empty or dot segments")
	// ErrBadSize: the reader gave other than the promised number of bytes.
	ErrBadSize = errors.New("an object of another size than was told")
)

// CheckObjectKey gives ErrBadObjectKey.
func CheckObjectKey(key string) error {
	if key == "" || len(key) > MaxObjectKey || !utf8.ValidString(key) || strings.ContainsFunc(key, unicode.IsControl) {
		return ErrBadObjectKey
	}
	for part := range strings.SplitSeq(key, "/") {
		if part == "" || part == "." || part == ".." {
			return ErrBadObjectKey
		}
	}
	return nil
}

// Objects keeps whole files, as they were uploaded.
type Objects interface {
	// Put keeps an object under a key, see ErrBadObjectKey, replacing what was there. size
	// is how many bytes r gives: if it gives others, or fails, what was there stays.
	Put(ctx context.Context, t tenancy.ID, key string, size int64, r io.Reader) error
	// Get opens an object; ErrNoObject if there is none. The caller closes it.
	Get(ctx context.Context, t tenancy.ID, key string) (io.ReadCloser, error)
	// Delete removes an object; an unknown one is no error.
	Delete(ctx context.Context, t tenancy.ID, key string) error
	// Keys lists up to limit keys that begin with prefix and come after after, in the order
	// of their bytes. A page of less than 1 is ErrBadLimit.
	Keys(ctx context.Context, t tenancy.ID, prefix, after string, limit int) ([]string, error)
}
