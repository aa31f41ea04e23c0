package crd_test

import (
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	"sigs.k8s.io/yaml"

	"github.com/tidewaiter/tidewaiter/config/crd"
)

// An API server refuses a CustomResourceDefinition whose schema is not structural or whose CEL rules could cost too
// much. This is the code by which it does.
func TestAnAPIServerAcceptsEveryDefinition(t *testing.T) {
	definitions := load(t)
	if len(definitions) != 5 {
		t.Fatalf("embedded definitions: got %d, want one for each kind", len(definitions))
	}
	for name, definition := range definitions {
		t.Run(name, func(t *testing.T) {
			internal := &apiextensions.CustomResourceDefinition{}
			apiextensionsv1.SetDefaults_CustomResourceDefinition(definition)
			apiextensionsv1.SetDefaults_CustomResourceDefinitionSpec(&definition.Spec)
			err := apiextensionsv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(
				definition, internal, nil)
			if err != nil {
				t.Fatal(err)
			}
			internal.Status.StoredVersions = []string{"v1alpha1"}
			for _, problem := range validation.ValidateCustomResourceDefinition(t.Context(), internal) {
				t.Error(problem)
			}
		})
	}
}

func load(t *testing.T) map[string]*apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	files, err := crd.Definitions()
	if err != nil {
		t.Fatal(err)
	}
	definitions := map[string]*apiextensionsv1.CustomResourceDefinition{}
	for name, content := range files {
		definition := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.UnmarshalStrict(content, definition); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		definitions[name] = definition
	}
	return definitions
}
