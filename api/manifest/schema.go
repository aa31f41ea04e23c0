package manifest

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/config/crd"
)

// kindSchema judges objects of one kind by its CustomResourceDefinition, step by step as an API server does on create
// (k8s.io/apiextensions-apiserver, registry/customresource). It is safe for concurrent use.
type kindSchema struct {
	structural *schema.Structural
	values     validation.SchemaValidator
	rules      *cel.Validator
}

// schemas are the definitions by kind. They are compiled at the first use: programs that read no manifest do not pay.
var schemas = sync.OnceValues(func() (map[string]*kindSchema, error) {
	definitions, err := crd.Definitions()
	if err != nil {
		return nil, err
	}
	byKind := make(map[string]*kindSchema, len(definitions))
	for name, content := range definitions {
		kind, compiled, err := compileDefinition(content)
		if err != nil {
			return nil, fmt.Errorf("embedded CustomResourceDefinition %s: %w", name, err)
		}
		byKind[kind] = compiled
	}
	return byKind, nil
})

func compileDefinition(content []byte) (kind string, compiled *kindSchema, err error) {
	definition := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict(content, definition); err != nil {
		return "", nil, err
	}
	i := slices.IndexFunc(definition.Spec.Versions, func(v apiextensionsv1.CustomResourceDefinitionVersion) bool {
		return v.Name == v1alpha1.Version && v.Schema != nil
	})
	if i < 0 {
		return "", nil, fmt.Errorf("version %s has no schema", v1alpha1.Version)
	}
	props := &apiextensions.JSONSchemaProps{}
	written := definition.Spec.Versions[i].Schema.OpenAPIV3Schema
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(written, props, nil); err != nil {
		return "", nil, err
	}
	structural, err := schema.NewStructural(props)
	if err != nil {
		return "", nil, err
	}
	values, _, err := validation.NewSchemaValidator(props)
	if err != nil {
		return "", nil, err
	}
	rules := cel.NewValidator(structural, true, celconfig.PerCallLimit)
	return definition.Spec.Names.Kind, &kindSchema{structural: structural, values: values, rules: rules}, nil
}

// admit fills in defaults and returns the paths of fields that the schema does not know, and everything else that is
// wrong. The object is changed: unknown fields are dropped, and so is status, which nobody may write this way and of which only
// the spelling is judged.
func (s *kindSchema) admit(object map[string]any) (unknown []string, errs field.ErrorList) {
	unknown = pruning.PruneWithOptions(object, s.structural, true, schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	delete(object, "status")
	defaulting.Default(object, s.structural)
	defaulting.PruneNonNullableNullsWithoutDefaults(object, s.structural)

	errs = append(errs, located(validation.ValidateCustomResource(nil, object, s.values))...)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, s.structural, object)...)
	if blocksRules(errs) {
		return unknown, errs
	}
	ruleErrs, _ := s.rules.Validate(context.Background(), nil, s.structural, object, nil, celconfig.RuntimeCELCostBudget)
	return unknown, append(errs, ruleErrs...)
}

// located drops what the validator says twice, the second time without the field: that a number does not fit its format.
func located(errs field.ErrorList) field.ErrorList {
	nowhere := (*field.Path)(nil).String()
	if !slices.ContainsFunc(errs, func(e *field.Error) bool { return e.Field != nowhere }) {
		return errs
	}
	return slices.DeleteFunc(errs, func(e *field.Error) bool { return e.Field == nowhere })
}

// blocksRules says whether CEL rules could fail for want of what they read. An API server does not run them then.
func blocksRules(errs field.ErrorList) bool {
	return slices.ContainsFunc(errs, func(e *field.Error) bool {
		switch e.Type {
		case field.ErrorTypeNotSupported, field.ErrorTypeRequired, field.ErrorTypeTooLong, field.ErrorTypeTooMany, field.ErrorTypeTypeInvalid:
			return true
		}
		return false
	})
}

// at returns the schema of a field, or nil when the path leads nowhere.
func (s *kindSchema) at(path string) *schema.Structural {
	current := s.structural
	for _, step := range splitPath(path) {
		if current == nil {
			return nil
		}
		property, ok := current.Properties[step]
		switch {
		case ok:
			current = &property
		case current.Items != nil:
			current = current.Items
		case current.AdditionalProperties != nil:
			current = current.AdditionalProperties.Structural
		default:
			return nil
		}
	}
	return current
}
