package v1alpha1_test

import (
	"slices"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/config/crd"
)

func TestEveryKindIsInTheScheme(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"DataSource", "DataSourceList", "AccessPolicy", "AccessPolicyList"} {
		if _, err := scheme.New(v1alpha1.GroupVersion.WithKind(kind)); err != nil {
			t.Error(err)
		}
	}
}

// A class that the schema lets through but no list knows would be neither ordinary nor dangerous to whoever compiles it.
func TestTheSchemaKnowsExactlyTheStatementClassesOfTheLists(t *testing.T) {
	want := []v1alpha1.StatementClass{v1alpha1.AnyOrdinaryKind}
	for _, list := range [][]v1alpha1.StatementClass{
		v1alpha1.OrdinaryKinds(), v1alpha1.NamedKinds(), v1alpha1.QuantityFeatures(), v1alpha1.DangerousFeatures(),
	} {
		want = append(want, list...)
	}
	spec := schemaOf(t, "tidewaiter.dev_accesspolicies.yaml").Properties["spec"]
	rule := spec.Properties["rules"].Items.Schema
	var got []v1alpha1.StatementClass
	for _, value := range rule.Properties["statements"].Items.Schema.Enum {
		var class v1alpha1.StatementClass
		if err := yaml.Unmarshal(value.Raw, &class); err != nil {
			t.Fatal(err)
		}
		got = append(got, class)
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("schema: %v\nlists:  %v", got, want)
	}
}

func TestEveryListAndStringOfASpecIsBounded(t *testing.T) {
	for _, name := range []string{"tidewaiter.dev_accesspolicies.yaml", "tidewaiter.dev_datasources.yaml"} {
		spec := schemaOf(t, name).Properties["spec"]
		wantBounded(t, name+": spec", &spec)
	}
}

// wantBounded does not look into quantities: the schema cannot bound a field that takes numbers and strings.
func wantBounded(t *testing.T, path string, props *apiextensionsv1.JSONSchemaProps) {
	t.Helper()
	switch {
	case props.Type == "string" && props.MaxLength == nil && len(props.Enum) == 0:
		t.Errorf("%s: a string without maxLength or enum", path)
	case props.Type == "array" && props.MaxItems == nil:
		t.Errorf("%s: a list without maxItems", path)
	case props.AdditionalProperties != nil && props.MaxProperties == nil:
		t.Errorf("%s: a map without maxProperties", path)
	case props.Type == "integer" && (props.Minimum == nil || (props.Format == "int32" && props.Maximum == nil)):
		t.Errorf("%s: an integer without bounds", path)
	}
	for name, property := range props.Properties {
		wantBounded(t, path+"."+name, &property)
	}
	if props.Items != nil {
		wantBounded(t, path+"[]", props.Items.Schema)
	}
	if props.AdditionalProperties != nil {
		wantBounded(t, path+"{}", props.AdditionalProperties.Schema)
	}
}

func schemaOf(t *testing.T, file string) apiextensionsv1.JSONSchemaProps {
	t.Helper()
	definitions, err := crd.Definitions()
	if err != nil {
		t.Fatal(err)
	}
	definition := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict(definitions[file], definition); err != nil {
		t.Fatal(err)
	}
	return *definition.Spec.Versions[0].Schema.OpenAPIV3Schema
}

func TestASelectorSelectsAsKubernetesDoes(t *testing.T) {
	for name, c := range map[string]struct {
		selector *v1alpha1.LabelSelector
		labels   labels.Set
		want     bool
	}{
		"none selects nothing":       {nil, labels.Set{"team": "shop"}, false},
		"an empty one selects all":   {&v1alpha1.LabelSelector{}, nil, true},
		"a label that is there":      {&v1alpha1.LabelSelector{MatchLabels: map[string]v1alpha1.LabelValue{"team": "shop"}}, labels.Set{"team": "shop"}, true},
		"a label with another value": {&v1alpha1.LabelSelector{MatchLabels: map[string]v1alpha1.LabelValue{"team": "shop"}}, labels.Set{"team": "data"}, false},
		"a value of several": {&v1alpha1.LabelSelector{MatchExpressions: []v1alpha1.LabelRequirement{
			{Key: "team", Operator: metav1.LabelSelectorOpIn, Values: []v1alpha1.LabelValue{"data", "shop"}},
		}}, labels.Set{"team": "shop"}, true},
		"a label that must not be there": {&v1alpha1.LabelSelector{MatchExpressions: []v1alpha1.LabelRequirement{
			{Key: "untrusted", Operator: metav1.LabelSelectorOpDoesNotExist},
		}}, labels.Set{"untrusted": ""}, false},
	} {
		t.Run(name, func(t *testing.T) {
			selector, err := c.selector.AsSelector()
			if err != nil || selector.Matches(c.labels) != c.want {
				t.Errorf("matches %v: want %v (%v)", c.labels, c.want, err)
			}
		})
	}
}

func TestASelectorThatNoAPIServerKnowsIsAnError(t *testing.T) {
	selector := &v1alpha1.LabelSelector{MatchExpressions: []v1alpha1.LabelRequirement{{Key: "team", Operator: "Like"}}}
	if _, err := selector.AsSelector(); err == nil {
		t.Error("operator Like was accepted")
	}
}

func TestATagPatternMatchesAnyTextAtItsStars(t *testing.T) {
	for _, c := range []struct {
		name, pattern, tag string
		want               bool
	}{
		{"a tag", "pii/ssn", "pii/ssn", true},
		{"a tag that only begins like it", "pii/ssn", "pii/ssn2", false},
		{"tags below a word, however deep", "pii/*", "pii/us/ssn", true},
		{"a word is not below itself", "pii/*", "pii", false},
		{"every tag", "*", "secret/api-key", true},
		{"the end of a tag", "*/email", "pii/email", true},
		{"a star for nothing", "pii/e*mail", "pii/email", true},
		{"stars that have to go back", "*a*b*c", "x/a-b-b-cc", true},
		{"stars that go back in vain", "*a*b*c", "x/a-b-b-cd", false},
		{"the zero pattern fits no tag", "", "pii", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := v1alpha1.TagPattern(c.pattern).Matches(v1alpha1.Tag(c.tag)); got != c.want {
				t.Errorf("%q matches %q: %v", c.pattern, c.tag, got)
			}
		})
	}
}

func TestAnApprovalThatSaysLittleHasTheDefaults(t *testing.T) {
	rule := v1alpha1.Rule{Approval: &v1alpha1.Approval{Approvers: 2}}
	got := rule.EffectiveApproval()
	if got.Approvers != 2 || got.Timeout.Duration != 15*time.Minute || got.Grant != v1alpha1.GrantStatement {
		t.Errorf("got %+v", got)
	}
	if rule.Approval.Grant != "" {
		t.Error("the rule itself was changed")
	}
}

func TestAGrantIsADurationOnlyIfItIsWrittenAsOne(t *testing.T) {
	if d, ok := v1alpha1.ApprovalGrant("1h30m").Duration(); !ok || d != 90*time.Minute {
		t.Errorf("1h30m: %v, %v", d, ok)
	}
	for _, grant := range []v1alpha1.ApprovalGrant{"", "Statement", "Session", "0s", "-1h", "forever"} {
		if d, ok := grant.Duration(); ok {
			t.Errorf("%q: %v", grant, d)
		}
	}
}
