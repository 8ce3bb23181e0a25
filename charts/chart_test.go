// Package charts_test renders and installs the chart with the real Helm against a real
// API server.
package charts_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/hack/apiserver"
)

var (
	server   *apiserver.Server
	helmPath string
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		code, err := run(m)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return code
	}())
}

func run(m *testing.M) (int, error) {
	toolbox := exec.CommandContext(context.Background(), "go", "run", "../hack/toolbox", "path", "helm")
	toolbox.Stderr = os.Stderr
	out, err := toolbox.Output()
	if err != nil {
		return 0, fmt.Errorf("finding helm: %w", err)
	}
	helmPath = strings.TrimSpace(string(out))
	if server, err = apiserver.Start(context.Background()); err != nil {
		return 0, err
	}
	code := m.Run()
	return code, server.Stop()
}

func helm(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), helmPath, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("helm %s: %w\n%s", strings.Join(args, " "), err, errs.String())
	}
	return out.String(), nil
}

func template(t *testing.T, args ...string) []*unstructured.Unstructured {
	t.Helper()
	manifest, err := helm(t, append([]string{"template", "enigma", "crispy-enigma", "-n", "enigma-system"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := apiserver.Decode([]byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

func kinds(objects []*unstructured.Unstructured) []string {
	var all []string
	for _, u := range objects {
		all = append(all, u.GetKind())
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func pick(t *testing.T, objects []*unstructured.Unstructured, kind string) *unstructured.Unstructured {
	t.Helper()
	for _, u := range objects {
		if u.GetKind() == kind {
			return u
		}
	}
	t.Fatalf("no %s is rendered", kind)
	return nil
}

func TestLint(t *testing.T) {
	if _, err := helm(t, "lint", "--strict", "crispy-enigma"); err != nil {
		t.Error(err)
	}
}

func TestRenderedObjectsAreAcceptedByTheServer(t *testing.T) {
	makeNamespaces(t, "enigma-system", "team-a", "team-b")
	digest := "sha256:" + strings.Repeat("0a", 32)
	for name, args := range map[string][]string{
		"defaults":              nil,
		"highly available":      {"--set", "replicas=3,priorityClassName=system-cluster-critical,podLabels.team=x"},
		"by digest":             {"--set", "image.digest=" + digest + ",runtimeImage.digest=" + digest, "--set-json", `imagePullSecrets=[{"name":"s"}]`},
		"bare":                  {"--set", "crds.install=false,policies.enabled=false,rbac.userRoles=false,tenantClass.create=false,metrics.enabled=false"},
		"bounded class":         {"--set-json", `tenantClass.spec={"maxReplicas":3,"models":{"allowed":["llama3.2"]}}`},
		"monitored":             {"--set", "metrics.serviceMonitor.enabled=true"},
		"namespaced":            {"--set", "watchNamespaces={team-a,team-b}"},
		"namespaced, one's own": {"--set", "watchNamespaces={enigma-system},ownerID=me,tenantClass.create=false"},
	} {
		t.Run(name, func(t *testing.T) {
			objects := template(t, args...)
			for _, u := range objects {
				err := server.Client.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(u.DeepCopy()),
					client.FieldOwner("test"), client.ForceOwnership, client.DryRunAll)
				if err != nil {
					t.Errorf("%s %s: %v", u.GetKind(), u.GetName(), err)
				}
			}
			podRunsRestricted(t, pick(t, objects, "Deployment"))
		})
	}
}

// makeNamespaces makes namespaces in which the restricted Pod Security Standard holds.
func makeNamespaces(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		n := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}}}
		if err := server.Client.Create(t.Context(), n); client.IgnoreAlreadyExists(err) != nil {
			t.Fatal(err)
		}
	}
}

func podRunsRestricted(t *testing.T, deployment *unstructured.Unstructured) {
	t.Helper()
	pod, _, _ := unstructured.NestedMap(deployment.Object, "spec", "template")
	u := &unstructured.Unstructured{Object: pod}
	u.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Pod"))
	u.SetNamespace(deployment.GetNamespace())
	u.SetName("operator")
	unstructured.RemoveNestedField(u.Object, "spec", "priorityClassName") // that class is kept to kube-system
	if err := server.Client.Create(t.Context(), u, client.DryRunAll); err != nil {
		t.Errorf("the operator's pod: %v", err)
	}
}

func TestANamespacedInstallAsksForNothingOfClusterScope(t *testing.T) {
	objects := template(t, "--set", "watchNamespaces={team-a,team-b}", "--set", "tenantClass.spec.maxReplicas=2")
	for _, u := range objects {
		mapping, err := server.Client.RESTMapper().RESTMapping(u.GroupVersionKind().GroupKind(), u.GroupVersionKind().Version)
		if err != nil {
			t.Fatal(err)
		}
		if mapping.Scope.Name() == meta.RESTScopeNameRoot && u.GetKind() != "CustomResourceDefinition" {
			t.Errorf("%s %s is of cluster scope", u.GetKind(), u.GetName())
		}
	}
	args := fmt.Sprint(arguments(t, pick(t, objects, "Deployment")))
	for _, want := range []string{"--namespaces=team-a,team-b", "--owner-id=enigma-system-enigma", "--class-file=/etc/crispy-enigma/class.yaml", "--metrics-bind-address=127.0.0.1:8443"} {
		if !strings.Contains(args, want) {
			t.Errorf("the operator runs with %s, without %s", args, want)
		}
	}
	file, _, _ := unstructured.NestedString(pick(t, objects, "ConfigMap").Object, "data", "class.yaml")
	class := &v1alpha1.TenantClass{}
	if err := yaml.UnmarshalStrict([]byte(file), class); err != nil {
		t.Fatal(err)
	}
	if class.Name != "default" || !class.Spec.Default || class.Spec.MaxReplicas == nil || *class.Spec.MaxReplicas != 2 {
		t.Errorf("the class file says %+v", class)
	}
}

func arguments(t *testing.T, deployment *unstructured.Unstructured) []any {
	t.Helper()
	containers, _, err := unstructured.NestedSlice(deployment.Object, "spec", "template", "spec", "containers")
	if err != nil || len(containers) != 1 {
		t.Fatalf("%d containers (%v)", len(containers), err)
	}
	args, _, err := unstructured.NestedSlice(containers[0].(map[string]any), "args")
	if err != nil {
		t.Fatal(err)
	}
	return args
}

func TestOnlyWhatIsAskedForIsRendered(t *testing.T) {
	everything := []string{"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "Deployment", "Role", "RoleBinding", "Service",
		"ServiceAccount", "TenantClass", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
	for set, want := range map[string][]string{
		"replicas=1":                everything,
		"replicas=2":                append(slices.Clone(everything), "PodDisruptionBudget"),
		"crds.install=false":        without(everything, "CustomResourceDefinition"),
		"policies.enabled=false":    without(everything, "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"),
		"tenantClass.create=false":  without(everything, "TenantClass"),
		"metrics.enabled=false":     without(everything, "Service"),
		"watchNamespaces={default}": {"ConfigMap", "CustomResourceDefinition", "Deployment", "Role", "RoleBinding", "ServiceAccount"},
	} {
		slices.Sort(want)
		if got := kinds(template(t, "--set", set)); !slices.Equal(got, want) {
			t.Errorf("%s renders\n%v, want\n%v", set, got, want)
		}
	}
	if args := fmt.Sprint(arguments(t, pick(t, template(t, "--set", "cloudflare.observeEvery=2m"), "Deployment"))); !strings.Contains(args, "--observe-every=2m") {
		t.Errorf("the operator runs with %s, without --observe-every=2m", args)
	}
	monitor := template(t, "--set", "metrics.serviceMonitor.enabled=true", "--api-versions", "monitoring.coreos.com/v1")
	pick(t, monitor, "ServiceMonitor")
}

func without(all []string, gone ...string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(gone, s) })
}

func TestBadValuesAreRefusedByName(t *testing.T) {
	for set, field := range map[string]string{
		"replica=2":   "replica",
		"replicas=-1": "/replicas",
		"replicas=2,leaderElection.enabled=false": "/replicas",
		"image.digest=latest":                     "/image/digest",
		"image.pullPolicy=Sometimes":              "/image/pullPolicy",
		"image.repository=":                       "/image/repository",
		"watchNamespaces={Team}":                  "/watchNamespaces/0",
		"watchNamespaces={a,a}":                   "/watchNamespaces",
		"ownerID=a/b":                             "/ownerID",
		"logLevel=loud":                           "/logLevel",
		"metrics.port=80":                         "/metrics/port",
		"metrics.serviceMonitor.interval=often":   "/metrics/serviceMonitor/interval",
		"tenantClass.name=Default":                "/tenantClass/name",
		"cloudflare.observeEvery=often":           "/cloudflare/observeEvery",
	} {
		_, err := helm(t, "template", "enigma", "crispy-enigma", "--set", set)
		if err == nil {
			t.Errorf("%s is accepted", set)
		} else if !strings.Contains(err.Error(), field) {
			t.Errorf("%s is refused without naming %s: %v", set, field, err)
		}
	}
}

// Every value has a comment: values.yaml is the chart's reference.
func TestEveryValueIsExplained(t *testing.T) {
	text, err := os.ReadFile("crispy-enigma/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	values := 0
	for i, line := range lines {
		trimmed := strings.TrimSpace(line)
		name, value, ok := strings.Cut(trimmed, ":")
		if !ok || strings.HasPrefix(trimmed, "#") || value == "" {
			continue // a comment, or a group whose members are explained
		}
		if name == "requests" || name == "limits" {
			continue // explained together
		}
		values++
		if i == 0 || !strings.HasPrefix(strings.TrimSpace(lines[i-1]), "#") {
			t.Errorf("line %d: %s has no comment", i+1, name)
		}
	}
	if values < 25 {
		t.Errorf("only %d values found", values)
	}
}
