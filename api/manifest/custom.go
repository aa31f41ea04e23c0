package manifest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

func inGroup(version string) bool {
	return version == v1alpha1.Group || strings.HasPrefix(version, v1alpha1.Group+"/")
}

// custom adds an object of our own group. An unknown kind or version there is a mistake, not somebody else's object.
func (l *loader) custom(at place, version, kind string, object map[string]any) {
	if version != v1alpha1.GroupVersion.String() {
		l.problems.add(at, "apiVersion", fmt.Sprintf("%q is not known: use %s", version, v1alpha1.GroupVersion))
		return
	}
	all, err := schemas()
	if err != nil {
		l.problems.add(at, "", err.Error())
		return
	}
	compiled, ok := all[kind]
	if !ok {
		kinds := slices.Sorted(maps.Keys(all))
		l.problems.add(at, "kind", fmt.Sprintf("%q is not known: %s", kind, suggest(kind, kinds)))
		return
	}
	before := len(l.problems)
	meta := l.metadata(at, object, apivalidation.NameIsDNSSubdomain, true)
	unknown, errs := compiled.admit(object)
	for _, path := range unknown {
		l.problems.add(at, path, compiled.unknownField(path))
	}
	for _, e := range errs {
		l.problems.add(at, e.Field, compiled.explain(e))
	}
	if len(l.problems) > before {
		return
	}
	l.decode(at, kind, meta, object)
}

// decode converts an object that its schema has admitted. An error would mean that schema and Go type disagree.
func (l *loader) decode(at place, kind string, meta *metav1.ObjectMeta, object map[string]any) {
	var err error
	switch kind {
	case kindDataSource:
		out := v1alpha1.DataSource{}
		err = runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object, &out, true)
		out.ObjectMeta = *meta
		l.set.DataSources = append(l.set.DataSources, out)
	case kindAccessPolicy:
		out := v1alpha1.AccessPolicy{}
		err = runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object, &out, true)
		out.ObjectMeta = *meta
		l.set.Policies = append(l.set.Policies, out)
	default: // what a cluster writes about itself: judged, and not used here
		l.ignored(at, v1alpha1.GroupVersion.String(), kind)
		return
	}
	if err != nil {
		l.problems.add(at, "", err.Error())
		return
	}
	l.keep(at, kind, meta.Namespace, meta.Name)
}

// metadata judges an object's metadata and returns it with its namespace filled in. It returns an empty one when it
// could not be read; a problem has then been added.
func (l *loader) metadata(at place, object map[string]any, names apivalidation.ValidateNameFunc, namespaced bool) *metav1.ObjectMeta {
	meta, found, unknown, err := objectmeta.GetObjectMetaWithOptions(object, objectmeta.ObjectMetaOptions{ReturnUnknownFieldPaths: true})
	if err != nil {
		path, message := decodeMessage(err)
		l.problems.add(at, strings.TrimSuffix("metadata."+path, "."), message)
		return &metav1.ObjectMeta{}
	}
	if !found || meta == nil {
		l.problems.add(at, "metadata", "is required: give the object a name with metadata.name")
		return &metav1.ObjectMeta{}
	}
	for _, path := range unknown {
		l.problems.add(at, path, "is not a field of metadata: remove it, or look at its spelling and indentation")
	}
	switch {
	case !namespaced:
		meta.Namespace = "" // an API server ignores it
	case meta.Namespace == "":
		meta.Namespace = DefaultNamespace
	}
	for _, e := range apivalidation.ValidateObjectMeta(meta, namespaced, names, field.NewPath("metadata")) {
		if e.Type == field.ErrorTypeRequired {
			l.problems.add(at, e.Field, "is required: give the object a name of lower-case letters, digits and '-'")
			continue
		}
		l.problems.add(at, e.Field, valueThen(e.BadValue, "is not valid: "+e.Detail))
	}
	return meta
}
