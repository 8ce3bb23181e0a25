package main

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// borrowed are fields whose inside is described by Kubernetes itself.
var borrowed = []string{"resources", "tolerations", "namespaceSelector", "selector", "conditions", "podPatch"}

// writeReference renders the descriptions that `kubectl explain` prints as one page.
func writeReference(out string, crds []string) error {
	var page bytes.Buffer
	page.WriteString("# Resources\n\nGenerated from the schemas by `make generate`: what `kubectl explain` says, on one page. " +
		"A spec that breaks a rule is refused with the rule's sentence.\n")
	kinds := make([]*apiextensions.CustomResourceDefinition, 0, len(crds))
	for _, path := range crds {
		crd, err := readCRD(path)
		if err != nil {
			return err
		}
		kinds = append(kinds, crd)
	}
	order := []string{"Tenant", "TenantClass", "CloudflareAccount", "CloudflareBinding"}
	slices.SortFunc(kinds, func(a, b *apiextensions.CustomResourceDefinition) int {
		return cmp.Compare(slices.Index(order, a.Spec.Names.Kind), slices.Index(order, b.Spec.Names.Kind))
	})
	for _, crd := range kinds {
		renderKind(&page, crd)
	}
	return write(out, "docs/tenant.md", page.Bytes())
}

func renderKind(page *bytes.Buffer, crd *apiextensions.CustomResourceDefinition) {
	version := crd.Spec.Versions[0]
	root := *version.Schema.OpenAPIV3Schema
	names := crd.Spec.Names
	fmt.Fprintf(page, "\n## %s\n\n`%s/%s`, %s, short name `%s`. %s\n", names.Kind, crd.Spec.Group, version.Name,
		strings.ToLower(string(crd.Spec.Scope)), strings.Join(names.ShortNames, ", "), flow(root.Description))
	page.WriteString("\n| field | type | default | meaning |\n|---|---|---|---|\n")
	for _, part := range []string{"spec", "status"} {
		if s, ok := root.Properties[part]; ok {
			renderFields(page, part, s)
		}
	}
	page.WriteString("\nRules:\n\n")
	said := map[string]bool{}
	renderRules(page, root, said)
}

func renderFields(page *bytes.Buffer, path string, s apiextensions.JSONSchemaProps) {
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		p := s.Properties[name]
		field := path + "." + name
		required := ""
		if slices.Contains(s.Required, name) {
			required = "**required**"
		} else if p.Default != nil {
			required = "`" + string(p.Default.Raw) + "`"
		}
		fmt.Fprintf(page, "| `%s` | %s | %s | %s |\n", field, kindOf(p), cell(required), cell(flow(p.Description)))
		if slices.Contains(borrowed, name) {
			continue
		}
		renderFields(page, field, p)
		if p.Items != nil && p.Items.Schema != nil {
			renderFields(page, field+"[]", *p.Items.Schema)
		}
	}
}

func kindOf(s apiextensions.JSONSchemaProps) string {
	switch {
	case s.XIntOrString:
		return "quantity"
	case len(s.Enum) > 0:
		values := make([]string, len(s.Enum))
		for i, v := range s.Enum {
			values[i] = strings.Trim(string(v.Raw), `"`)
		}
		return strings.Join(values, ", ")
	case s.Type == "array" && s.Items != nil && s.Items.Schema != nil:
		return "list of " + kindOf(*s.Items.Schema)
	case s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil:
		return "map to " + kindOf(*s.AdditionalProperties.Schema)
	}
	return s.Type
}

// renderRules lists every sentence once, in the order of the fields.
func renderRules(page *bytes.Buffer, s apiextensions.JSONSchemaProps, said map[string]bool) {
	for _, v := range s.XValidations {
		if !said[v.Message] {
			said[v.Message] = true
			fmt.Fprintf(page, "- %s\n", v.Message)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		renderRules(page, s.Properties[name], said)
	}
	if s.Items != nil && s.Items.Schema != nil {
		renderRules(page, *s.Items.Schema, said)
	}
}

func flow(text string) string { return strings.Join(strings.Fields(text), " ") }

func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
