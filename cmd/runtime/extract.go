package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/rag/extract"
)

// extractFile is for the server alone, which starts it for each file that it doesn't
// parse in its own process.
func extractFile(_ context.Context, args []string, stdout, _ io.Writer) int {
	return extract.Child(args, os.Stdin, stdout)
}

// extractMemory is what the pod gives whatever reads files, 0 if it doesn't say.
func extractMemory(value string) (int64, error) {
	if value == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("%s is %q; it must be a number of bytes", tenantconfig.EnvExtractMemory, value)
	}
	return n, nil
}

// cacheDir is dir if the pod has it, else none: it isn't made where there is no volume.
func cacheDir(dir string) string {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return ""
	}
	return dir
}
