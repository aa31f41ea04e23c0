package manifest

import (
	"fmt"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	kjson "sigs.k8s.io/json"
)

// namespace adds a core/v1 Namespace. Only its name and labels matter here.
func (l *loader) namespace(at place, object map[string]any) {
	before := len(l.problems)
	meta := l.metadata(at, object, apivalidation.ValidateNamespaceName, false)
	out := corev1.Namespace{}
	l.strict(at, object, &out)
	if len(l.problems) > before {
		return
	}
	if meta.Labels == nil {
		meta.Labels = map[string]string{}
	}
	meta.Labels[corev1.LabelMetadataName] = meta.Name
	out.ObjectMeta = *meta
	l.set.Namespaces = append(l.set.Namespaces, out)
	l.keep(at, kindNamespace, "", meta.Name)
}

// strict decodes an object of a kind that has no CustomResourceDefinition. Metadata is judged elsewhere.
func (l *loader) strict(at place, object map[string]any, out any) {
	rest := make(map[string]any, len(object))
	for key, value := range object {
		if key != "metadata" {
			rest[key] = value
		}
	}
	content, err := utiljson.Marshal(rest)
	if err != nil {
		l.problems.add(at, "", "cannot be read as JSON")
		return
	}
	unknown, err := kjson.UnmarshalStrict(content, out)
	if err != nil {
		path, message := decodeMessage(err)
		l.problems.add(at, path, message)
		return
	}
	for _, e := range unknown {
		l.problems.add(at, unknownName(e), "is not a known field: remove it, or look at its spelling and indentation")
	}
}

var (
	goField  = regexp.MustCompile(`^json: cannot unmarshal (\w+) into Go struct field \w+\.([\w.]+) of type `)
	jsonName = regexp.MustCompile(`"([^"]*)"`)
)

// decodeMessage rewrites a decoder's error for people. The decoder's own text names types and positions, never values;
// what is not recognized is left out all the same, since this is where Secrets pass.
func decodeMessage(err error) (path, message string) {
	text := err.Error()
	if found := goField.FindStringSubmatch(text); found != nil {
		return found[2], fmt.Sprintf("has a value of type %s, which does not fit: put text in quotes", found[1])
	}
	if strings.Contains(text, "base64") {
		return "data", "has a value that is not base64: encode it, or write it as it is under stringData"
	}
	return "", "cannot be read: a field has a value of the wrong type"
}

func unknownName(err error) string {
	if found := jsonName.FindStringSubmatch(err.Error()); found != nil {
		return found[1]
	}
	return ""
}

func mapping(value any) map[string]any {
	m, _ := value.(map[string]any)
	return m
}
