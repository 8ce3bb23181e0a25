package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const templates = "charts/crispy-enigma/templates"

// copyToChart writes the chart's copies: the fresh CRDs and permissions of out, and the
// hand-written policies and users' roles of root.
func copyToChart(root, out string, crds []string) error {
	for _, path := range crds {
		if err := copyTemplate(path, out, filepath.Join(templates, "crds", filepath.Base(path)), "if .Values.crds.install", keep); err != nil {
			return err
		}
	}
	policies, err := filepath.Glob(filepath.Join(root, "config", "policies", "*-deletion.yaml"))
	if err != nil {
		return err
	}
	for _, path := range policies {
		when := "if and .Values.policies.enabled (not .Values.watchNamespaces)"
		if err := copyTemplate(path, out, filepath.Join(templates, "policies", filepath.Base(path)), when, labelled); err != nil {
			return err
		}
	}
	for _, name := range []string{"tenant-editor.yaml", "tenant-viewer.yaml"} {
		when := "if and .Values.rbac.userRoles (not .Values.watchNamespaces)"
		if err := copyTemplate(filepath.Join(root, "config", "rbac", name), out, filepath.Join(templates, name), when, labelled); err != nil {
			return err
		}
	}
	return copyRules(out)
}

func copyTemplate(from, out, to, when string, edit func([]byte) ([]byte, error)) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	text = bytes.TrimPrefix(text, []byte("---\n"))
	// A description may speak of {{name}}; Helm must print it, not run it.
	text = bytes.ReplaceAll(text, []byte("{{"), []byte(`{{ "{{" }}`))
	if text, err = edit(text); err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	return write(out, to, fmt.Appendf(nil, "{{- %s }}\n%s{{- end }}\n", when, text))
}

// keep lets the CRD, and with it every Tenant, outlive the release.
func keep(crd []byte) ([]byte, error) {
	const annotations = "metadata:\n  annotations:\n"
	if bytes.Count(crd, []byte(annotations)) != 1 {
		return nil, fmt.Errorf("expected %q once", annotations)
	}
	return bytes.Replace(crd, []byte(annotations),
		[]byte("metadata:\n  labels:\n    {{- include \"crispy-enigma.labels\" . | nindent 4 }}\n  annotations:\n    helm.sh/resource-policy: keep\n"), 1), nil
}

func labelled(text []byte) ([]byte, error) {
	const name = "metadata:\n  name: "
	documents := bytes.Count(text, []byte("\nkind: "))
	if n := bytes.Count(text, []byte("\n"+name)); n != documents {
		return nil, fmt.Errorf("expected each document's metadata to begin with its name")
	}
	const labels = "    {{- include \"crispy-enigma.labels\" . | nindent 4 }}\n"
	if bytes.Contains(text, []byte("\n  labels:\n")) {
		return bytes.ReplaceAll(text, []byte("\n  labels:\n"), []byte("\n  labels:\n"+labels)), nil
	}
	return bytes.ReplaceAll(text, []byte("\n"+name), []byte("\nmetadata:\n  labels:\n"+labels+"  name: ")), nil
}

// copyRules makes the operator's rules a named template: a ClusterRole includes it, or,
// in a namespaced install, one Role a namespace.
func copyRules(out string) error {
	role, err := os.ReadFile(filepath.Join(out, "config", "rbac", "role.yaml"))
	if err != nil {
		return err
	}
	_, rules, found := strings.Cut(string(role), "\nrules:\n")
	if !found || strings.Contains(rules, "\n---") {
		return fmt.Errorf("config/rbac/role.yaml: expected one role with rules")
	}
	text := "{{- define \"crispy-enigma.operatorRules\" -}}\n" + rules + "{{- end }}\n"
	return write(out, filepath.Join(templates, "_operator-rules.tpl"), []byte(text))
}
