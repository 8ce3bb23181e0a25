package manifest

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/config/crd"
)

// rules are what the API server holds against the objects of one kind.
type rules struct {
	structural *schema.Structural
	openapi    validation.SchemaValidator
	cel        *cel.Validator
}

// loadRules reads the rules of a kind from its generated CustomResourceDefinition.
func loadRules(plural string) (*rules, error) {
	b, err := crd.Files.ReadFile(v1alpha1.GroupVersion.Group + "_" + plural + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("reading the definition of %s: %w", plural, err)
	}
	var definition apiextensionsv1.CustomResourceDefinition
	if err := yaml.Unmarshal(b, &definition); err != nil {
		return nil, fmt.Errorf("reading the definition of %s: %w", plural, err)
	}
	for _, version := range definition.Spec.Versions {
		if version.Name == v1alpha1.GroupVersion.Version {
			return newRules(version.Schema)
		}
	}
	return nil, fmt.Errorf("the definition of %s has no version %s", plural, v1alpha1.GroupVersion.Version)
}

func newRules(v1 *apiextensionsv1.CustomResourceValidation) (*rules, error) {
	var internal apiextensions.CustomResourceValidation
	if err := apiextensionsv1.Convert_v1_CustomResourceValidation_To_apiextensions_CustomResourceValidation(v1, &internal, nil); err != nil {
		return nil, fmt.Errorf("converting the schema: %w", err)
	}
	structural, err := schema.NewStructural(internal.OpenAPIV3Schema)
	if err != nil {
		return nil, fmt.Errorf("reading the schema: %w", err)
	}
	openapi, _, err := validation.NewSchemaValidator(internal.OpenAPIV3Schema)
	if err != nil {
		return nil, fmt.Errorf("reading the schema: %w", err)
	}
	return &rules{structural, openapi, cel.NewValidator(structural, true, celconfig.PerCallLimit)}, nil
}

// admit fills in the defaults and checks every rule of creation, in the order of the
// API server.
func (r *rules) admit(ctx context.Context, object *unstructured.Unstructured) error {
	content := object.UnstructuredContent()
	unknown := pruning.PruneWithOptions(content, r.structural, true, schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	if len(unknown) > 0 {
		return fmt.Errorf("unknown field %s", strings.Join(unknown, ", "))
	}
	defaulting.PruneNonNullableNullsWithoutDefaults(content, r.structural)
	defaulting.Default(content, r.structural)

	broken := validation.ValidateCustomResource(nil, content, r.openapi)
	broken = append(broken, listtype.ValidateListSetsAndMaps(nil, r.structural, content)...)
	// As in the API server: CEL sees only what has the right shape.
	if len(broken) == 0 && r.cel != nil {
		more, _ := r.cel.Validate(ctx, nil, r.structural, content, nil, celconfig.RuntimeCELCostBudget)
		broken = append(broken, more...)
	}
	return sentences(broken)
}

func sentences(broken field.ErrorList) error {
	errs := make([]error, len(broken))
	for i, e := range broken {
		errs[i] = e
	}
	return errors.Join(errs...)
}
