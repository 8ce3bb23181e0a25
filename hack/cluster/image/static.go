package image

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"runtime"
)

// checkStatic refuses a binary that could not start in an image that holds nothing but it.
func checkStatic(binary []byte) error {
	file, err := elf.NewFile(bytes.NewReader(binary))
	if err != nil {
		return fmt.Errorf("not a Linux executable: %w", err)
	}
	machine := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
	if want, known := machine[runtime.GOARCH]; known && file.Machine != want {
		return fmt.Errorf("built for %s, not for %s", file.Machine, want)
	}
	for _, segment := range file.Progs {
		if segment.Type == elf.PT_INTERP {
			return errors.New("linked dynamically: build it with CGO_ENABLED=0")
		}
	}
	return nil
}
