//go:build !amd64

package vectorindex

func variants() []variant { return []variant{{"portable", portable}} }
