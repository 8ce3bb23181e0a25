package v1alpha1_test

import (
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// generated is every CRD of config/crd by kind.
func generated() map[string]*apiextensions.CustomResourceDefinition {
	files, err := filepath.Glob(filepath.Join("..", "..", "config", "crd", "ai.*.yaml"))
	if err != nil {
		panic(err)
	}
	crds := map[string]*apiextensions.CustomResourceDefinition{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			panic(err)
		}
		crd := &apiextensions.CustomResourceDefinition{}
		if err := yaml.UnmarshalStrict(text, crd); err != nil {
			panic(fmt.Errorf("%s: %w", f, err))
		}
		crds[crd.Spec.Names.Kind] = crd
	}
	return crds
}

type field struct {
	path     string
	schema   apiextensions.JSONSchemaProps
	required bool
}

// fields walks a schema, parents first.
func fields(path string, s apiextensions.JSONSchemaProps) iter.Seq[field] {
	return func(yield func(field) bool) { walk(path, s, true, yield) }
}

func walk(path string, s apiextensions.JSONSchemaProps, required bool, yield func(field) bool) bool {
	if !yield(field{path, s, required}) {
		return false
	}
	for name, p := range s.Properties {
		if !walk(path+"."+name, p, slices.Contains(s.Required, name), yield) {
			return false
		}
	}
	if s.Items != nil && s.Items.Schema != nil && !walk(path+"[]", *s.Items.Schema, true, yield) {
		return false
	}
	if s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil {
		return walk(path+"{}", *s.AdditionalProperties.Schema, true, yield)
	}
	return true
}

// borrowed are the parts whose types and descriptions are Kubernetes' own.
var borrowed = regexp.MustCompile(`resources\.|tolerations\[\]\.|[sS]elector\.|conditions\[\]\.|podPatch\.`)

// measured says which unit a number counts.
var measured = regexp.MustCompile(`(?i)second|day|character|byte|token|request|message|percent|pods|US dollar|revision|metadata\.generation|1[KMG]i|[0-9][hs]\b|temperature|CPU|claim|volume|dimensions|passages|from 0 to 1\b|above 0 to 1\b|weight|cosine|how often|retries`)

var _ = Describe("Every field", func() {
	for kind, crd := range generated() {
		root := *crd.Spec.Versions[0].Schema.OpenAPIV3Schema
		It("of "+kind+" has a description, with its default and its unit", func() {
			for f := range fields(kind, root) {
				if borrowed.MatchString(f.path) || f.path == kind+".metadata" || strings.HasSuffix(f.path, "[]") || strings.HasSuffix(f.path, "{}") {
					continue
				}
				about := strings.Join(strings.Fields(f.schema.Description), " ")
				Expect(len(about)).To(BeNumerically(">", 10), "%s has no description: kubectl explain would show nothing", f.path)
				if !strings.HasPrefix(f.path, kind+".spec.") {
					continue
				}
				scalar := f.schema.Type != "object"
				if scalar && !f.required {
					Expect(about).To(ContainSubstring("Default:"), "%s is optional and doesn't say what it is when omitted", f.path)
				}
				if d := f.schema.Default; d != nil && scalar && f.schema.Type != "array" {
					Expect(about).To(ContainSubstring("Default: "+strings.Trim(string(d.Raw), `"`)), "%s says another default than its schema has", f.path)
				}
				if f.schema.Type == "integer" || f.schema.Type == "number" || f.schema.XIntOrString {
					Expect(about).To(MatchRegexp(measured.String()), "%s doesn't say what its number counts", f.path)
				}
			}
		})
	}
})

// A sentence that no test provokes may never be said, or be said of the wrong thing.
var _ = Describe("Every CEL rule", func() {
	said := map[string][]string{"Tenant": {badName, keepsVolume, keepsServer}}
	for kind, tables := range map[string][][]rule{
		"Tenant":      {identityRules, modelRules, accessRules, limitRules, podRules, stateRules, cloudflareRules, documentRules, toolRules, speechRules},
		"TenantClass": {classRules}, "CloudflareAccount": {accountRules}, "CloudflareBinding": {bindingRules},
	} {
		for _, r := range slices.Concat(tables...) {
			said[kind] = append(said[kind], r.says)
		}
	}
	for _, c := range tenantChanges {
		said["Tenant"] = append(said["Tenant"], c.says)
	}
	for _, c := range bindingChanges {
		said["CloudflareBinding"] = append(said["CloudflareBinding"], c.says)
	}
	for _, c := range accountChanges {
		said["CloudflareAccount"] = append(said["CloudflareAccount"], c.says)
	}
	// Types shared by two kinds are judged once, under the kind in brackets.
	shared := map[string]string{"TenantClass": "Tenant"}
	for kind, crd := range generated() {
		root := *crd.Spec.Versions[0].Schema.OpenAPIV3Schema
		It("of "+kind+" has a refused case above", func() {
			provoked := func(kind, message string) bool {
				return slices.ContainsFunc(said[kind], func(s string) bool { return strings.Contains(message, s) })
			}
			for f := range fields("", root) {
				for _, v := range f.schema.XValidations {
					Expect(v.Message).NotTo(BeEmpty(), "%s: rule %s says nothing", f.path, v.Rule)
					seen := provoked(kind, v.Message) || strings.HasPrefix(f.path, ".spec.state") && provoked(shared[kind], v.Message)
					Expect(seen).To(BeTrue(), "%s: no refused case provokes %q", f.path, v.Message)
				}
			}
		})
	}
})

var _ = Describe("kubectl get", func() {
	It("shows what a person asks first, and more with -o wide", func() {
		columns := map[string]string{}
		for kind, crd := range generated() {
			var narrow, wide []string
			for _, c := range crd.Spec.Versions[0].AdditionalPrinterColumns {
				if c.Priority == 0 {
					narrow = append(narrow, strings.ToUpper(c.Name))
				} else {
					wide = append(wide, strings.ToUpper(c.Name))
				}
			}
			columns[kind] = strings.Join(narrow, " ") + " | " + strings.Join(wide, " ")
		}
		Expect(columns).To(Equal(map[string]string{
			"Tenant":            "READY REASON ENDPOINT MODEL AGE | TENANT-ID CLASS STATE TOKENS-TODAY IMAGE MESSAGE",
			"TenantClass":       "DEFAULT IMAGE AGE | ",
			"CloudflareAccount": "READY REASON ACCOUNT ACTUATION OWNED AGE | MESSAGE",
			"CloudflareBinding": "TYPE READY REASON ID ACCOUNT AGE | MESSAGE",
		}))
	})
	It("takes the short names and the category", func() {
		names := map[string]string{}
		for kind, crd := range generated() {
			names[kind] = strings.Join(append(crd.Spec.Names.ShortNames, crd.Spec.Names.Categories...), " ") + " " + string(crd.Spec.Scope)
		}
		Expect(names).To(Equal(map[string]string{
			"Tenant": "ait enigma Namespaced", "TenantClass": "aitc enigma Cluster",
			"CloudflareAccount": "cfa enigma Namespaced", "CloudflareBinding": "cfb enigma Namespaced",
		}))
	})
})
