package main

import (
	"context"
	"io"
	"os"

	"github.com/crispy-enigma/crispy-enigma/runtime/rag/extract"
)

// extractFile is for the server alone, which starts it for each file that it doesn't
// parse in its own process.
func extractFile(_ context.Context, args []string, stdout, _ io.Writer) int {
	return extract.Child(args, os.Stdin, stdout)
}
