package tenancy

import (
	"errors"
	"strings"
)

// ID names a tenant. It is an explicit parameter of every storage, cache, model and
// metric call; there is no way to make one from a request but through Identify.
// The zero ID is no tenant, and every driver refuses it.
type ID struct {
	public   string
	identity string
}

// NewID makes an ID from a document's tenant id and storage identity.
func NewID(public, identity string) (ID, error) {
	if public == "" || identity == "" {
		return ID{}, errors.New("a tenant needs an id and a storage identity")
	}
	if strings.ContainsRune(identity, 0) {
		return ID{}, errors.New("a storage identity can't contain NUL")
	}
	return ID{public: public, identity: identity}, nil
}

// String is the public tenant id, as clients and logs see it.
func (id ID) String() string { return id.public }

// Identity is what stored keys carry: unique over clusters, namespaces and
// environments that may share one store.
func (id ID) Identity() string { return id.identity }

// IsZero tells whether id names no tenant.
func (id ID) IsZero() bool { return id.identity == "" }
