package hack_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// room is one package, its path and its own imports relative to the module.
type room struct {
	Path    string
	Imports []string // by what is built
	Tests   []string // by its tests
	Deps    []string // all that is built into it
	Mention []string // address patterns of rule 8 in its sources
}

// A rule says why a room may not have what it has; "" if it may.
type roomRule struct {
	name   string
	broken func(r room) []string
}

// each makes a rule of a judgement over single imports; with tests, theirs too.
func each(tests bool, judge func(from, to string) string) func(room) []string {
	return func(r room) []string {
		imports := r.Imports
		if tests {
			imports = slices.Concat(r.Imports, r.Tests)
		}
		var broken []string
		for _, to := range slices.Compact(slices.Sorted(slices.Values(imports))) {
			if why := judge(r.Path, to); why != "" {
				broken = append(broken, fmt.Sprintf("%s imports %s: %s", r.Path, to, why))
			}
		}
		return broken
	}
}

// in tells whether a path is one of the folders or below it.
func in(path string, folders ...string) bool {
	return slices.ContainsFunc(folders, func(f string) bool { return path == f || strings.HasPrefix(path, f+"/") })
}

func kubernetes(path string) bool { return in(path, "k8s.io", "sigs.k8s.io") }

// standard tells whether an import is of the standard library: its first part has no dot.
func standard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".") && !ours(path)
}

func ours(path string) bool {
	return in(path, "api", "charts", "cmd", "config", "controllers", "hack", "test") || wing(path) == "runtime"
}

// wing is controllers or runtime; the standard library has a runtime of its own.
func wing(path string) string {
	switch {
	case in(path, "controllers"):
		return "controllers"
	case in(path, "runtime") && !in(path, "runtime/cgo", "runtime/coverage", "runtime/debug", "runtime/metrics", "runtime/pprof", "runtime/race", "runtime/trace") && path != "runtime":
		return "runtime"
	}
	return ""
}

var features = []string{"chat", "session", "rag", "tools", "speech", "openaiapi", "mcpapi", "playground"}

func feature(path string) string {
	for _, f := range features {
		if in(path, "runtime/"+f) {
			return f
		}
	}
	return ""
}

// drivers are by their parent; what a parent may import its drivers may too.
var (
	drivers = map[string][]string{
		"runtime/ai":             {"workersai", "openai", "embedded", "localspeech", "aifake"},
		"runtime/storage":        {"memory", "embedded", "valkey", "postgres", "cloudflare"},
		"controllers/cloudflare": {"cloudflarefake"},
	}
	parents = map[string][]string{
		"runtime/ai":             {"api/tenantconfig", "api/cloudflareapi", "runtime/tenancy"},
		"runtime/storage":        {"api/tenantconfig", "api/cloudflareapi", "api/statestore", "runtime/tenancy"},
		"controllers/cloudflare": {"api/cloudflareapi"},
	}
)

// driver splits a driver's path into its parent and its name.
func driver(path string) (parent, name string) {
	for p, names := range drivers {
		for _, n := range names {
			if in(path, p+"/"+n) {
				return p, n
			}
		}
	}
	return "", ""
}

// unfit are packages that nothing in production may import.
func unfit(path string) bool {
	if in(path, "hack", "test") || path == "testing" || path == "net/http/httptest" {
		return true
	}
	last := path[strings.LastIndex(path, "/")+1:]
	return ours(path) && (last == "testenv" || strings.HasSuffix(last, "fake") || strings.HasSuffix(last, "test"))
}

// Addresses that only the named rooms may know.
var addresses = []struct {
	pattern *regexp.Regexp
	rooms   []string
}{
	{regexp.MustCompile(`(api|gateway\.ai)\.cloudflare\.com`), []string{"controllers/cloudflare", "runtime/ai/workersai", "runtime/storage/cloudflare"}},
	{regexp.MustCompile(`"[^"]*/chat/completions`), []string{"runtime/ai", "runtime/openaiapi", "api"}},
}

var roomRules = []roomRule{
	{"1 the wings meet only in api", each(true, func(from, to string) string {
		switch a, b := wing(from), wing(to); {
		case a != "" && b != "" && a != b:
			return "what both wings need belongs into api/tenantconfig or api/cloudflareapi"
		case in(from, "api") && (b != "" || in(to, "cmd")):
			return "api promises; it knows nobody who keeps the promise"
		case a != "" && in(to, "cmd"):
			return "cmd wires the wings, not the reverse"
		}
		return ""
	})},
	{"2 api stands alone", each(false, func(from, to string) string {
		switch {
		case from == "api/v1alpha1" && !standard(to) && !in(to, "k8s.io/api", "k8s.io/apimachinery"):
			return "api/v1alpha1 imports k8s.io/api, k8s.io/apimachinery and the standard library alone"
		case in(from, "api/tenantconfig", "api/cloudflareapi", "api/statestore") && !standard(to):
			return "the runtime's image carries this package: the standard library alone"
		}
		return ""
	})},
	{"3 no Kubernetes in the runtime", func(r room) []string {
		broken := each(true, func(from, to string) string {
			if wing(from) == "runtime" && (kubernetes(to) || to == "api/v1alpha1") {
				return "the tenant's image carries no Kubernetes; the operator renders what is needed into api/tenantconfig"
			}
			return ""
		})(r)
		if r.Path == "cmd/runtime" {
			for _, d := range r.Deps {
				if kubernetes(d) {
					broken = append(broken, fmt.Sprintf("cmd/runtime is built with %s: the tenant's image carries no Kubernetes", d))
				}
			}
		}
		return broken
	}},
	{"4 features don't know each other", each(true, func(from, to string) string {
		if a, b := feature(from), feature(to); a != "" && b != "" && a != b {
			return "say what " + a + " wants in runtime/" + a + "/needs.go and let runtime/server give it"
		}
		return ""
	})},
	{"5 a driver knows only its parent", each(false, func(from, to string) string {
		parent, name := driver(from)
		if parent == "" || !ours(to) || in(to, parent+"/"+name) || in(to, parents[parent]...) {
			return ""
		}
		if _, other := driver(to); in(to, parent) && other == "" {
			return ""
		}
		return "a driver imports " + parent + " and what that may, nothing else of ours"
	})},
	{"6 what children look like is pure", each(false, func(from, to string) string {
		if !in(from, "controllers/tenant/resources") {
			return ""
		}
		impure := []string{"context", "crypto/rand", "database/sql", "io/ioutil", "log", "math/rand", "net/http", "os", "sync", "syscall",
			"sigs.k8s.io/controller-runtime", "k8s.io/utils/clock", "k8s.io/klog", "controllers"}
		if in(to, "controllers/tenant/resources") || in(to, "k8s.io/client-go/applyconfigurations") {
			return ""
		}
		if in(to, impure...) || in(to, "k8s.io/client-go") {
			return "the same inputs must give the same objects: no client, clock, context, chance"
		}
		return ""
	})},
	{"7 production knows no test help", each(false, func(from, to string) string {
		if !unfit(from) && unfit(to) {
			return "this is for developers and tests"
		}
		return ""
	})},
	{"8 one door outside", func(r room) []string {
		broken := each(false, func(from, to string) string {
			if parent, name := driver(to); parent == "runtime/ai" && !in(from, "runtime/ai", "runtime/server") && !unfit(from) {
				return "models are called through runtime/ai's interfaces; runtime/server chooses " + name
			}
			return ""
		})(r)
		for _, a := range addresses {
			for _, m := range r.Mention {
				if a.pattern.MatchString(m) && !in(r.Path, a.rooms...) && !unfit(r.Path) {
					broken = append(broken, fmt.Sprintf("%s holds %s, which is for %s alone", r.Path, m, strings.Join(a.rooms, ", ")))
				}
			}
		}
		return broken
	}},
}

func TestRooms(t *testing.T) {
	rooms := readRooms(t)
	if len(rooms) < 25 {
		t.Fatalf("only %d packages found", len(rooms))
	}
	for _, rule := range roomRules {
		t.Run(rule.name, func(t *testing.T) {
			for _, r := range rooms {
				for _, broken := range rule.broken(r) {
					t.Error(broken)
				}
			}
		})
	}
	t.Run("no Go file lies in the halls", func(t *testing.T) {
		for _, r := range rooms {
			if r.Path == "runtime" || r.Path == "." {
				t.Errorf("%q holds Go files; each belongs into a room", r.Path)
			}
		}
	})
}

// readRooms asks the go command once for every package of the module.
func readRooms(t *testing.T) []room {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Dir,GoFiles,Imports,TestImports,XTestImports,Deps", "./...")
	cmd.Dir = root
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, errs.String())
	}
	prefix := module(t) + "/"
	short := func(paths []string) []string {
		all := make([]string, len(paths))
		for i, p := range paths {
			all[i] = strings.TrimPrefix(p, prefix)
		}
		return all
	}
	var rooms []room
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath, Dir                                   string
			GoFiles, Imports, TestImports, XTestImports, Deps []string
		}
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return rooms
		} else if err != nil {
			t.Fatal(err)
		}
		rooms = append(rooms, room{
			Path: strings.TrimPrefix(p.ImportPath, prefix), Imports: short(p.Imports), Deps: short(p.Deps),
			Tests: short(slices.Concat(p.TestImports, p.XTestImports)), Mention: mentions(t, p.Dir, p.GoFiles),
		})
	}
}

var comment = regexp.MustCompile(`(?m)^\s*//.*$`)

// mentions finds rule 8's addresses in the code, not in what comments say of them.
func mentions(t *testing.T, dir string, files []string) []string {
	t.Helper()
	var found []string
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(dir, f))
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range addresses {
			found = append(found, a.pattern.FindAllString(comment.ReplaceAllString(string(text), ""), -1)...)
		}
	}
	return found
}

// A guard that lets everything pass looks like a house in order.
func TestRoomRulesCatchWhatTheyAreFor(t *testing.T) {
	for name, planted := range map[string]room{
		"1 controllers → runtime":          {Path: "controllers/tenant", Imports: []string{"runtime/tenancy"}},
		"1 runtime's tests → controllers":  {Path: "runtime/server", Tests: []string{"controllers/tenant/resources"}},
		"1 api → runtime":                  {Path: "api/tenantconfig", Imports: []string{"runtime/tenancy"}},
		"2 v1alpha1 → client-go":           {Path: "api/v1alpha1", Imports: []string{"k8s.io/client-go/rest"}},
		"2 seam → a library":               {Path: "api/tenantconfig", Imports: []string{"github.com/google/uuid"}},
		"3 runtime → apimachinery":         {Path: "runtime/limits", Imports: []string{"k8s.io/apimachinery/pkg/api/resource"}},
		"3 runtime → the resources":        {Path: "runtime/tenancy", Imports: []string{"api/v1alpha1"}},
		"3 runtime's binary":               {Path: "cmd/runtime", Deps: []string{"sigs.k8s.io/yaml"}},
		"4 chat → rag":                     {Path: "runtime/chat", Imports: []string{"runtime/rag"}},
		"4 chat's test → tools/http":       {Path: "runtime/chat", Tests: []string{"runtime/tools/http"}},
		"5 driver → driver":                {Path: "runtime/ai/workersai", Imports: []string{"runtime/ai/openai"}},
		"5 driver → another parent":        {Path: "runtime/storage/valkey", Imports: []string{"runtime/ai"}},
		"6 resources → context":            {Path: "controllers/tenant/resources", Imports: []string{"context"}},
		"6 resources → client":             {Path: "controllers/tenant/resources", Imports: []string{"k8s.io/client-go/kubernetes"}},
		"7 production → fake":              {Path: "runtime/server", Imports: []string{"runtime/ai/aifake"}},
		"7 production → suite":             {Path: "runtime/storage/memory", Imports: []string{"runtime/storage/storagetest"}},
		"7 production → hack":              {Path: "cmd/operator", Imports: []string{"hack/toolbox/build"}},
		"7 production → httptest":          {Path: "runtime/chat", Imports: []string{"net/http/httptest"}},
		"8 a feature → a driver":           {Path: "runtime/chat", Imports: []string{"runtime/ai/openai"}},
		"8 a feature calls Cloudflare":     {Path: "runtime/chat", Mention: []string{"api.cloudflare.com"}},
		"8 the operator calls a model":     {Path: "controllers/tenant", Mention: []string{`"/v1/chat/completions`}},
		"8 the other gateway, by the door": {Path: "cmd/operator", Mention: []string{"gateway.ai.cloudflare.com"}},
	} {
		number, _, _ := strings.Cut(name, " ")
		caught := false
		for _, rule := range roomRules {
			if strings.HasPrefix(rule.name, number+" ") {
				caught = len(rule.broken(planted)) > 0
			}
		}
		if !caught {
			t.Errorf("%s is not caught", name)
		}
	}
	for name, lawful := range map[string]room{
		"drivers share what lies beside them": {Path: "runtime/ai/openai", Imports: []string{"runtime/ai", "runtime/ai/chatwire", "runtime/tenancy", "runtime/debug", "net/http"}},
		"the wiring knows all":                {Path: "runtime/server", Imports: []string{"runtime/chat", "runtime/ai/openai", "runtime/storage/embedded"}},
		"tests use suites and fakes":          {Path: "runtime/storage/memory", Tests: []string{"runtime/storage/storagetest", "testing"}},
		"the operator talks of the runtime":   {Path: "cmd/operator", Imports: []string{"controllers", "runtime", "runtime/debug", "config/crd"}},
		"apply configurations are pure":       {Path: "controllers/tenant/resources", Imports: []string{"k8s.io/client-go/applyconfigurations/core/v1", "time"}},
	} {
		for _, rule := range roomRules {
			if broken := rule.broken(lawful); len(broken) > 0 {
				t.Errorf("%s: %s", name, strings.Join(broken, "; "))
			}
		}
	}
}
