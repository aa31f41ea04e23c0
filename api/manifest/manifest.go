// Package manifest reads DataSources, AccessPolicies, Secrets and Namespaces from files, and judges them by what an API
// server would judge them by: strict field names, the schema, its defaults and its CEL rules, all taken from the same
// generated CustomResourceDefinitions.
//
// It needs no cluster. It must not know sidecars, wire protocols, controllers or compiled policy, and it decides nothing:
// it hands out typed objects, or says what is wrong with the files. No message of this package holds a value of a Secret.
package manifest

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

// DefaultNamespace is where an object without metadata.namespace belongs, as with kubectl.
const DefaultNamespace = "default"

// Kinds that a Set holds, as they are spelled in manifests.
const (
	kindDataSource   = "DataSource"
	kindAccessPolicy = "AccessPolicy"
	kindSecret       = "Secret"
	kindNamespace    = "Namespace"
	kindList         = "List"
)

// Set is what a number of manifests say, defaults filled in, in the order of files and documents. Slices may be empty.
type Set struct {
	DataSources []v1alpha1.DataSource
	Policies    []v1alpha1.AccessPolicy
	// Secrets have stringData merged into data.
	Secrets []corev1.Secret
	// Namespaces carry the label kubernetes.io/metadata.name, as an API server would have added it.
	Namespaces []corev1.Namespace
	// Warnings name what was left out, one line each: objects of kinds that are none of the above.
	Warnings []string

	places map[objectKey][]place
}

// Load reads files, and folders as kubectl does: their *.yaml, *.yml and *.json files, not their subfolders. A file may
// hold many documents. When anything is wrong, the error is a Problems with everything that is wrong, and the Set is nil:
// a set that lacks one policy of several would be enforced as if its owner had meant it so.
//
// References between objects are not looked at; see Check.
func Load(paths ...string) (*Set, error) {
	files, problems := readFiles(paths)
	return load(files, problems)
}

// Parse is Load for manifests that are in memory already; name stands for a file's name in messages.
func Parse(name string, content []byte) (*Set, error) {
	return load([]file{{name: name, content: content}}, nil)
}

func load(files []file, problems Problems) (*Set, error) {
	loader := &loader{set: &Set{places: map[objectKey][]place{}}, problems: problems}
	for _, file := range files {
		loader.file(file)
	}
	if len(loader.problems) > 0 {
		return nil, loader.problems
	}
	return loader.set, nil
}

type loader struct {
	set       *Set
	problems  Problems
	documents int
}

func (l *loader) file(file file) {
	before := len(l.problems)
	defer func() { l.problems[before:].sortByLine() }()
	for _, document := range splitDocuments(file) {
		l.documents++
		if l.documents > maxDocuments {
			l.problems.add(document.place, "", fmt.Sprintf("more than %d documents; give fewer files", maxDocuments))
			return
		}
		l.document(document)
	}
}

func (l *loader) document(document document) {
	content, node, problems := document.decode()
	if len(problems) > 0 {
		l.problems = append(l.problems, problems...)
		return
	}
	if node == nil {
		return // nothing but white space and comments
	}
	at := document.place
	at.node = node
	object, ok := content.(map[string]any)
	if !ok {
		l.problems.add(at, "", "is not a Kubernetes object: write a mapping with apiVersion, kind and metadata")
		return
	}
	l.object(at, object)
}

// object adds one object, or what is wrong with it, or a warning that it was left out.
func (l *loader) object(at place, object map[string]any) {
	kind, _ := object["kind"].(string)
	version, _ := object["apiVersion"].(string)
	at.object = describeObject(kind, object)
	switch {
	case kind == "":
		l.problems.add(at, "kind", "is required: one of DataSource, AccessPolicy, Secret, Namespace")
	case version == "":
		l.problems.add(at, "apiVersion", "is required: "+v1alpha1.GroupVersion.String()+" for DataSource and AccessPolicy, v1 for Secret and Namespace")
	case version == "v1" && kind == kindList:
		l.list(at, object)
	case version == "v1" && kind == kindSecret:
		l.secret(at, object)
	case version == "v1" && kind == kindNamespace:
		l.namespace(at, object)
	case inGroup(version):
		l.custom(at, version, kind, object)
	case strings.HasPrefix(version, "kustomize.config.k8s.io/"):
		return // settings of a tool that happen to lie in the folder, not an object
	case strings.HasPrefix(version, "rbac.authorization.k8s.io/"):
		return // who may read the Secrets in a cluster; here, whoever can read the file
	default:
		l.ignored(at, version, kind)
	}
}

// ignored warns that an object was left out.
func (l *loader) ignored(at place, version, kind string) {
	l.set.Warnings = append(l.set.Warnings, fmt.Sprintf("%s: ignored: %s of %s is not used here", at, kind, version))
}

func (l *loader) list(at place, object map[string]any) {
	items, ok := object["items"].([]any)
	if !ok {
		l.problems.add(at, "items", "is required: the objects of the List")
		return
	}
	for i, item := range items {
		inner := at
		inner.prefix = fmt.Sprintf("%sitems[%d].", at.prefix, i)
		entry, ok := item.(map[string]any)
		if !ok || entry["kind"] == kindList {
			l.problems.add(at, fmt.Sprintf("items[%d]", i), "is not a Kubernetes object that a List can hold")
			continue
		}
		l.object(inner, entry)
	}
}

// keep remembers where an object was read, so that Check can say it too.
func (l *loader) keep(at place, kind, namespace, name string) {
	key := objectKey{kind: kind, namespace: namespace, name: name}
	if kind == kindSecret {
		at.node = nil // do not keep a second copy of the values
	}
	l.set.places[key] = append(l.set.places[key], at)
}
