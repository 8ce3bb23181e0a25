package alive_test

import (
	"bytes"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/hack/alive"
)

func TestRunFindsAPlantedSecretAndCutsItOut(t *testing.T) {
	var out bytes.Buffer
	planted := "key=ce_" + alive.Canary + "_1"
	found, err := alive.Run(&out, "echo", time.Minute, exec.CommandContext(t.Context(), "sh", "-c", "echo fine; echo '"+planted+"' >&2"))
	if err != nil {
		t.Fatal(err)
	}
	if found != 1 {
		t.Errorf("found %d lines with a secret, want 1", found)
	}
	if strings.Contains(out.String(), alive.Canary) || !strings.Contains(out.String(), "fine") {
		t.Errorf("output is %q", out.String())
	}
}

func TestRunPassesTheExitCodeOn(t *testing.T) {
	var exit *exec.ExitError
	if _, err := alive.Run(&bytes.Buffer{}, "sh", time.Minute, exec.CommandContext(t.Context(), "sh", "-c", "exit 3")); !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("got %v, want exit code 3", err)
	}
}

func TestRunSpeaksForASilentCommand(t *testing.T) {
	var out bytes.Buffer
	if _, err := alive.Run(&out, "quiet one", 20*time.Millisecond, exec.CommandContext(t.Context(), "sh", "-c", "sleep 0.3")); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "quiet one: still running") {
		t.Errorf("output is %q", out.String())
	}
}
