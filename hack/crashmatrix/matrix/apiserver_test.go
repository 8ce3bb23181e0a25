package matrix_test

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crispy-enigma/crispy-enigma/hack/apiserver"
	"github.com/crispy-enigma/crispy-enigma/hack/crashmatrix/matrix"
)

// The API server in memory stands for the real one only if what breaks on one breaks on
// the other: a slice of the matrix is run on both.
func TestTheRealAPIServerAgrees(t *testing.T) {
	scheme, err := matrix.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	server, err := apiserver.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	}()
	var clients []client.WithWatch
	for i := range workers {
		c, err := client.NewWithWatch(server.Config, client.Options{Scheme: scheme})
		if err != nil {
			t.Fatal(err)
		}
		ns := &corev1.Namespace{}
		ns.Name = fmt.Sprintf("world-%d", i)
		if err := c.Create(t.Context(), ns); err != nil {
			t.Fatal(err)
		}
		clients = append(clients, c)
	}
	points, err := matrix.Record(t.Context(), matrix.Ours)
	if err != nil {
		t.Fatal(err)
	}
	slice := append(thin(matrix.Singles(points), 149), thin(matrix.Pairs(points, matrix.PairDepth), 251)...)
	slice = append(slice, thin(matrix.Deletions(points), 109)...)
	r, err := matrix.RunOn(t.Context(), matrix.Ours, clients, slice)
	report(t, "real API server", r, err)
}
