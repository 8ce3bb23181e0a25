package tenancy_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

// kubelet writes a directory as a kubelet mounts a Secret: files are links into
// "..data", which is a link that is swapped whole.
type kubelet struct {
	dir      string
	versions int
}

func (k *kubelet) write(t testing.TB, files map[string]string) {
	t.Helper()
	k.versions++
	version := fmt.Sprintf("..v%d", k.versions)
	must(t, os.Mkdir(filepath.Join(k.dir, version), 0o755))
	for name, content := range files {
		must(t, os.WriteFile(filepath.Join(k.dir, version, name), []byte(content), 0o600))
	}
	old, _ := os.Readlink(filepath.Join(k.dir, "..data"))
	must(t, os.Symlink(version, filepath.Join(k.dir, "..data_tmp")))
	must(t, os.Rename(filepath.Join(k.dir, "..data_tmp"), filepath.Join(k.dir, "..data")))
	for name := range files {
		if _, err := os.Lstat(filepath.Join(k.dir, name)); err != nil {
			must(t, os.Symlink(filepath.Join("..data", name), filepath.Join(k.dir, name)))
		}
	}
	if old != "" {
		must(t, os.RemoveAll(filepath.Join(k.dir, old)))
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func document(t testing.TB, change func(*tenantconfig.Config)) string {
	t.Helper()
	c := newConfig("acme", withKey("default", acmeKey))
	c.Upstream = tenantconfig.Upstream{Type: tenantconfig.UpstreamOpenAI, BaseURL: "http://models/v1", CredentialsFile: tenantconfig.UpstreamTokenFile}
	c.Models.Chat = "small"
	change(c)
	b, err := json.Marshal(c)
	must(t, err)
	return string(b)
}

func unchanged(*tenantconfig.Config) {}

func mounted(t testing.TB) *kubelet {
	k := &kubelet{dir: t.TempDir()}
	k.write(t, map[string]string{"tenant.json": document(t, unchanged), "upstream-token": " sk-c4nary-1\n", "status-token": "st-c4nary\n"})
	return k
}

func TestLoad(t *testing.T) {
	tenant, err := tenancy.Load(mounted(t).dir)
	must(t, err)
	if tenant.ID.String() != "acme" || tenant.ID.Identity() != "cluster/team/production/acme" || tenant.Digest != tenantconfig.DigestOf(tenant.Config) {
		t.Errorf("loaded %+v", tenant)
	}
	if token, err := tenant.Secret("upstream-token"); err != nil || token != "sk-c4nary-1" {
		t.Errorf("upstream token %q, %v", token, err)
	}
	for _, name := range []string{"", "other", "../tenant.json", "/etc/hostname", "tenant.json", "..data"} {
		if s, err := tenant.Secret(name); !errors.Is(err, tenancy.ErrNoSecret) {
			t.Errorf("secret %q is %q, %v", name, s, err)
		}
	}
}

// A document that names a file which isn't read has a secret that no feature finds.
func TestEveryFileThatADocumentNamesIsRead(t *testing.T) {
	b, err := os.ReadFile("../../api/tenantconfig/testdata/v1/shared.json")
	must(t, err)
	c, err := tenantconfig.Parse(b)
	must(t, err)
	files := map[string]string{"tenant.json": "", "status-token": "x"}
	var name func(v reflect.Value)
	name = func(v reflect.Value) {
		for i := range v.NumField() {
			switch f := v.Field(i); {
			case f.Kind() == reflect.Struct && f.Type() != reflect.TypeFor[time.Time]():
				name(f)
			case f.Kind() == reflect.String && strings.HasSuffix(v.Type().Field(i).Name, "File"):
				f.SetString(fmt.Sprintf("named-%d", len(files)))
				files[f.String()] = "secret of " + f.String()
			}
		}
	}
	name(reflect.ValueOf(c).Elem())
	b, err = tenantconfig.Marshal(c)
	must(t, err)
	files["tenant.json"] = string(b)
	k := &kubelet{dir: t.TempDir()}
	k.write(t, files)
	tenant, err := tenancy.Load(k.dir)
	must(t, err)
	if len(files) < 8 {
		t.Fatalf("only %d files are named", len(files))
	}
	for file := range files {
		if got, err := tenant.Secret(file); strings.HasPrefix(file, "named-") && (err != nil || got != "secret of "+file) {
			t.Errorf("%s holds %q, %v", file, got, err)
		}
	}
}

func TestPrintingATenantShowsNoSecret(t *testing.T) {
	tenant, err := tenancy.Load(mounted(t).dir)
	must(t, err)
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "tenant", tenant)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "tenant", *tenant)
	text := log.String() + fmt.Sprintf("%v %+v %#v %+v", tenant, tenant, tenant, *tenant)
	if strings.Contains(text, "c4nary") {
		t.Errorf("printed: %s", text)
	}
}

func TestLoadRefuses(t *testing.T) {
	good := document(t, unchanged)
	for name, tc := range map[string]struct {
		files map[string]string
		want  string
	}{
		"no document":       {map[string]string{"upstream-token": "x"}, "tenant.json"},
		"no JSON":           {map[string]string{"tenant.json": "version: 1", "upstream-token": "x"}, "invalid character"},
		"a broken rule":     {map[string]string{"tenant.json": document(t, func(c *tenantconfig.Config) { c.Sessions.MaxMessages = 0 }), "upstream-token": "x"}, "sessions.maxMessages"},
		"no credential":     {map[string]string{"tenant.json": good}, "upstream.credentialsFile"},
		"empty credential":  {map[string]string{"tenant.json": good, "upstream-token": "\n"}, "upstream.credentialsFile"},
		"a huge credential": {map[string]string{"tenant.json": good, "upstream-token": strings.Repeat("x", 65<<10)}, "larger than"},
		"a huge document":   {map[string]string{"tenant.json": good + strings.Repeat(" ", 1<<20)}, "larger than"},
	} {
		t.Run(name, func(t *testing.T) {
			k := &kubelet{dir: t.TempDir()}
			k.write(t, tc.files)
			_, err := tenancy.Load(k.dir)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v doesn't say %q", err, tc.want)
			}
			var v tenantconfig.Violations
			if name == "a broken rule" && !errors.As(err, &v) {
				t.Errorf("%v holds no violations", err)
			}
		})
	}
}

func TestLoadStaysInsideItsDirectory(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(outside, []byte("outside"), 0o600))
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "tenant.json"), []byte(document(t, unchanged)), 0o600))
	must(t, os.Symlink(outside, filepath.Join(dir, "upstream-token")))
	if _, err := tenancy.Load(dir); err == nil {
		t.Error("a link out of the directory was followed")
	}
	must(t, os.Remove(filepath.Join(dir, "upstream-token")))
	must(t, syscall.Mkfifo(filepath.Join(dir, "upstream-token"), 0o600))
	if _, err := tenancy.Load(dir); err == nil || !strings.Contains(err.Error(), "regular") {
		t.Errorf("a pipe: %v", err)
	}
}

// watched runs Watch and gives what it tells.
func watched(t *testing.T, dir string) (<-chan *tenancy.Tenant, <-chan error) {
	have, err := tenancy.Load(dir)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	changes, refusals, ended := make(chan *tenancy.Tenant, 16), make(chan error, 16), make(chan struct{})
	go func() {
		defer close(ended)
		tenancy.Watch(ctx, have, func(t *tenancy.Tenant) { changes <- t }, func(err error) { refusals <- err })
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return changes, refusals
}

func next[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(10 * time.Second):
		t.Fatalf("no %s came", what)
		panic("unreachable")
	}
}

func TestWatch(t *testing.T) {
	k := mounted(t)
	changes, refusals := watched(t, k.dir)
	files := func(doc, token string) map[string]string {
		return map[string]string{"tenant.json": doc, "upstream-token": token, "status-token": "st"}
	}
	limited := document(t, func(c *tenantconfig.Config) { c.Limits.MessageChars = 5 })

	start := time.Now()
	k.write(t, files(limited, "sk-1"))
	if got := next(t, "change", changes); got.Config.Limits.MessageChars != 5 {
		t.Errorf("limit is %d", got.Config.Limits.MessageChars)
	}
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("a change took %v: only the poll saw it", took)
	}

	k.write(t, files(limited, "sk-2"))
	if token, err := next(t, "changed secret", changes).Secret("upstream-token"); err != nil || token != "sk-2" {
		t.Errorf("token %q, %v", token, err)
	}

	k.write(t, files(document(t, func(c *tenantconfig.Config) { c.Auth.Keys[0].Name = "A/B" }), "sk-2"))
	err := next(t, "refusal", refusals)
	if !strings.Contains(err.Error(), "auth.keys[0].name") || strings.Contains(err.Error(), "sk-2") {
		t.Errorf("refused with %v", err)
	}

	// Back to what is in force: it must be told, because the refusal was.
	k.write(t, files(limited, "sk-2"))
	if got := next(t, "recovery", changes); got.Config.Limits.MessageChars != 5 {
		t.Errorf("limit is %d", got.Config.Limits.MessageChars)
	}

	must(t, os.RemoveAll(filepath.Join(k.dir, "..data")))
	_ = next(t, "refusal of a missing document", refusals)
	if n := len(changes) + len(refusals); n != 0 {
		t.Errorf("%d more were told", n)
	}
}

func TestWatchTellsWhatChangedBeforeIt(t *testing.T) {
	k := mounted(t)
	have, err := tenancy.Load(k.dir)
	must(t, err)
	k.write(t, map[string]string{"tenant.json": document(t, func(c *tenantconfig.Config) { c.Models.Chat = "large" }), "upstream-token": "x"})
	ctx, cancel := context.WithCancel(context.Background())
	model := ""
	tenancy.Watch(ctx, have, func(t *tenancy.Tenant) { model = t.Config.Models.Chat; cancel() }, func(err error) { t.Error(err); cancel() })
	if model != "large" {
		t.Errorf("model is %q", model)
	}
}

// However the swaps fall between the reads, document and token are of one version.
func TestLoadNeverMixesVersions(t *testing.T) {
	k := &kubelet{dir: t.TempDir()}
	version := func(i int) map[string]string {
		return map[string]string{
			"tenant.json":    document(t, func(c *tenantconfig.Config) { c.Models.Chat = fmt.Sprint("model-", i) }),
			"upstream-token": fmt.Sprint("token-", i),
		}
	}
	k.write(t, version(0))
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for i := 1; ; i++ {
			select {
			case <-stop:
				return
			default:
				k.write(t, version(i))
			}
		}
	}()
	defer func() { close(stop); <-ended }()
	loaded := 0
	for range 200 {
		tenant, err := tenancy.Load(k.dir)
		if errors.Is(err, tenancy.ErrChanging) {
			continue // five swaps within five reads: told, never mixed
		}
		must(t, err)
		token, err := tenant.Secret("upstream-token")
		must(t, err)
		if strings.TrimPrefix(tenant.Config.Models.Chat, "model-") != strings.TrimPrefix(token, "token-") {
			t.Fatalf("%s with %s", tenant.Config.Models.Chat, token)
		}
		loaded++
	}
	if loaded == 0 {
		t.Error("no load succeeded, so nothing was compared")
	}
}
