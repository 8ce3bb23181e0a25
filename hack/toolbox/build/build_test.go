package build_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/hack/toolbox/build"
)

// repository is a folder that looks like this project to the builder, with one program of its own.
func repository(t *testing.T, source string) (string, build.Tool) {
	t.Helper()
	root := t.TempDir()
	write(t, filepath.Join(root, "go.mod"), "module example.test/here\n\ngo 1.26.0\n")
	write(t, filepath.Join(root, "hack", "tools", "x.mod"), "module example.test/here\n\nrequire example.test/tool v1.2.3\n")
	write(t, filepath.Join(root, "hello", "main.go"), source)
	return root, build.Tool{Name: "hello", Package: "./hello", Ldflags: func(string) string { return "-s -w" }}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

const hello = "package main\n\nfunc main() { println(\"one\") }\n"

func TestBuildsOnceAndAgainOnlyAfterAChange(t *testing.T) {
	root, tool := repository(t, hello)
	ensure := func() string {
		var out bytes.Buffer
		if err := (build.Builder{Root: root, Out: &out}).Ensure(t.Context(), []build.Tool{tool}); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	if out := ensure(); !strings.Contains(out, "[1/1] building hello dev") || !strings.Contains(out, "[1/1] built hello dev") {
		t.Errorf("first build said %q, want its start and its end", out)
	}
	if out := ensure(); out != "" {
		t.Errorf("second build said %q, want nothing: the binary is there", out)
	}
	write(t, filepath.Join(root, "hello", "main.go"), strings.Replace(hello, "one", "two", 1))
	if out := ensure(); !strings.Contains(out, "built hello") {
		t.Errorf("after a change of the source the build said %q, want a build", out)
	}
	path, err := build.Path(root, tool)
	if err != nil {
		t.Fatal(err)
	}
	said, err := exec.CommandContext(t.Context(), path).CombinedOutput()
	if err != nil || string(said) != "two\n" {
		t.Errorf("the binary said %q, %v; want the changed text", said, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if out := ensure(); !strings.Contains(out, "built hello") {
		t.Errorf("with the binary gone the build said %q, want a build", out)
	}
}

func TestLongBuildIsNotSilent(t *testing.T) {
	root, tool := repository(t, hello)
	var out bytes.Buffer
	if err := (build.Builder{Root: root, Out: &out, Every: time.Millisecond}).Ensure(t.Context(), []build.Tool{tool}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "packages compiled, now ") {
		t.Errorf("said %q, want lines while it compiles", out.String())
	}
}

func TestFailedBuildTellsTheCompilersWords(t *testing.T) {
	root, tool := repository(t, "package main\n\nfunc main() { undefinedThing() }\n")
	err := build.Builder{Root: root, Out: &bytes.Buffer{}}.Ensure(t.Context(), []build.Tool{tool})
	if err == nil || !strings.Contains(err.Error(), "building hello") || !strings.Contains(err.Error(), "undefined: undefinedThing") {
		t.Errorf("got %v, want the tool's name and the compiler's message", err)
	}
	path, _ := build.Path(root, tool)
	if _, err := os.Stat(path); err == nil {
		t.Error("a failed build left a binary")
	}
}

func TestCancelledBuildEnds(t *testing.T) {
	root, tool := repository(t, hello)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (build.Builder{Root: root, Out: &bytes.Buffer{}}).Ensure(ctx, []build.Tool{tool}); err == nil {
		t.Error("a cancelled build returned no error")
	}
}

func TestVersionIsWhatTheModfileRequires(t *testing.T) {
	root, _ := repository(t, hello)
	tool := build.Tool{Name: "tool", Modfile: "x.mod", Module: "example.test/tool"}
	if path, err := build.Path(root, tool); err != nil || filepath.Base(path) != "tool-v1.2.3" {
		t.Errorf("got %q, %v; want tool-v1.2.3", path, err)
	}
	tool.Module = "example.test/absent"
	if _, err := build.Path(root, tool); err == nil || !strings.Contains(err.Error(), "does not require example.test/absent") {
		t.Errorf("got %v, want an error that names the module", err)
	}
}

// Every entry of the catalog must agree with its file in hack/tools, or a build fails only when someone needs it.
func TestCatalogAgreesWithTheModfiles(t *testing.T) {
	root, err := build.Root()
	if err != nil {
		t.Fatal(err)
	}
	for _, tool := range build.Catalog {
		if _, err := build.Version(root, tool); err != nil {
			t.Errorf("%s: %v", tool.Name, err)
		}
	}
	kubelet, err := build.Find("kubelet")
	if err != nil {
		t.Fatal(err)
	}
	if got := kubelet[0].Ldflags("v1.37.2"); !strings.Contains(got, "gitVersion=v1.37.2 ") || !strings.Contains(got, "gitMinor=37") {
		t.Errorf("ldflags %q do not carry the version", got)
	}
}

func TestFindRefusesAnUnknownName(t *testing.T) {
	if _, err := build.Find("etcd", "kubeclt"); err == nil || !strings.Contains(err.Error(), `"kubeclt"`) {
		t.Errorf("got %v, want an error that names kubeclt", err)
	}
	tools, err := build.Find("kubectl", "envtest")
	if err != nil || len(tools) != len(build.Envtest) {
		t.Errorf("got %d tools, %v; want each of envtest once", len(tools), err)
	}
}

func TestLinkedFolderIsComplete(t *testing.T) {
	root, tool := repository(t, hello)
	if err := (build.Builder{Root: root, Out: &bytes.Buffer{}}).Ensure(t.Context(), []build.Tool{tool}); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(root, "assets")
	for range 2 {
		if err := build.Link(root, dir, []build.Tool{tool}); err != nil {
			t.Fatal(err)
		}
	}
	if missing := build.Complete(dir, []string{"hello", "other"}); len(missing) != 1 || missing[0] != "other" {
		t.Errorf("missing %v, want only other", missing)
	}
}
