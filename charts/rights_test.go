package charts_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
)

// The real operator, with the chart's arguments and as the chart's ServiceAccount, brings
// up a Tenant and lets it go, and is never told that something is forbidden.
func TestTheOperatorNeedsNoRightsThatTheChartDoesNotGive(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "operator")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../cmd/operator")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the operator: %v\n%s", err, out)
	}
	makeNamespaces(t, "enigma-system", "team-a")
	for name, install := range map[string]struct {
		namespace string
		args      []string
	}{
		"in the whole cluster": {"default", nil},
		"in one namespace":     {"team-a", []string{"--set", "watchNamespaces={team-a}"}},
	} {
		t.Run(name, func(t *testing.T) {
			objects := template(t, append(install.args, "--set", "crds.install=false,policies.enabled=false")...)
			for _, u := range objects {
				if err := server.Client.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(u), client.FieldOwner("test"), client.ForceOwnership); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() {
					if err := server.Client.Delete(context.WithoutCancel(t.Context()), u); err != nil {
						t.Error(err)
					}
				})
			}
			deployment := pick(t, objects, "Deployment")
			account, _, _ := unstructured.NestedString(deployment.Object, "spec", "template", "spec", "serviceAccountName")
			logs := runOperator(t, binary, localArguments(t, objects, arguments(t, deployment)), kubeconfigOf(t, account))
			liveAndLetGo(t, install.namespace, logs)
		})
	}
}

// localArguments are the chart's, but for what only a pod has: its mounted file, its
// ports, and the namespace that a Lease would be in.
func localArguments(t *testing.T, objects []*unstructured.Unstructured, args []any) []string {
	t.Helper()
	var local []string
	for _, a := range args {
		name, _, _ := strings.Cut(a.(string), "=")
		switch name {
		case "--class-file":
			text, _, _ := unstructured.NestedString(pick(t, objects, "ConfigMap").Object, "data", "class.yaml")
			file := filepath.Join(t.TempDir(), "class.yaml")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			local = append(local, name+"="+file)
		case "--metrics-bind-address", "--health-probe-bind-address":
			local = append(local, name+"=127.0.0.1:0")
		case "--leader-elect":
			local = append(local, name+"=false")
		default:
			local = append(local, a.(string))
		}
	}
	return local
}

// kubeconfigOf makes a file with which a program has the rights of a ServiceAccount.
func kubeconfigOf(t *testing.T, account string) string {
	t.Helper()
	config, err := clientcmd.Load(server.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	for _, user := range config.AuthInfos {
		user.Impersonate = "system:serviceaccount:enigma-system:" + account
		user.ImpersonateGroups = []string{"system:serviceaccounts", "system:authenticated"}
	}
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		t.Fatal(err)
	}
	return file
}

// runOperator runs it until the test ends and gives a file that its log goes to.
func runOperator(t *testing.T, binary string, args []string, kubeconfig string) string {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "operator.log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), binary, append(args, "--kubeconfig="+kubeconfig)...)
	cmd.Env = append(os.Environ(), "POD_NAMESPACE=enigma-system")
	cmd.Stdout, cmd.Stderr = file, file
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		err := cmd.Wait()
		log := readLog(t, file.Name())
		if err != nil {
			t.Errorf("the operator ended with %v:\n%s", err, tail(log))
		}
		if refusals := regexp.MustCompile(`(?i)[^\n]*forbidden[^\n]*`).FindAll(log, 3); len(refusals) > 0 {
			t.Errorf("the operator lacks rights:\n%s", bytes.Join(refusals, []byte("\n")))
		}
	})
	return file.Name()
}

func readLog(t *testing.T, file string) []byte {
	t.Helper()
	log, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func tail(log []byte) []byte { return log[max(0, len(log)-3000):] }

func liveAndLetGo(t *testing.T, namespace, logs string) {
	t.Helper()
	tenant := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
		"deletionProtection": false,
		"deletionPolicy":     "Delete",
		"exposure":           map[string]any{"hosts": []any{"rights.example"}, "ingressClassName": "nginx"},
	}}}
	tenant.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Tenant"))
	tenant.SetNamespace(namespace)
	tenant.SetName("rights")
	if err := server.Client.Create(t.Context(), tenant); err != nil {
		t.Fatal(err)
	}
	until(t, logs, "its Deployment is there and its status tells of it", func(ctx context.Context) (bool, error) {
		err := server.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "tenant-rights"}, &appsv1.Deployment{})
		if err != nil {
			return false, client.IgnoreNotFound(err)
		}
		if err := server.Client.Get(ctx, client.ObjectKeyFromObject(tenant), tenant); err != nil {
			return false, err
		}
		seen, _, _ := unstructured.NestedInt64(tenant.Object, "status", "observedGeneration")
		return seen == tenant.GetGeneration(), nil
	})
	if err := server.Client.Delete(t.Context(), tenant); err != nil {
		t.Fatal(err)
	}
	until(t, logs, "the Tenant is gone", func(ctx context.Context) (bool, error) {
		err := server.Client.Get(ctx, client.ObjectKeyFromObject(tenant), tenant)
		return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	})
}

func until(t *testing.T, logs, what string, done wait.ConditionWithContextFunc) {
	t.Helper()
	if err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, 40*time.Second, true, done); err != nil {
		t.Fatal(fmt.Errorf("waiting until %s: %w\n%s", what, err, tail(readLog(t, logs))))
	}
}
