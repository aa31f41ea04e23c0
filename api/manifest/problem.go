package manifest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
)

// maxProblems is how many problems a message shows; the others are counted.
const maxProblems = 50

// Problem is one thing that is wrong with a manifest.
type Problem struct {
	// File as it was named, or found in a folder that was named. Empty when no file is concerned.
	File string
	// Line of the file, from 1, where the field or the object begins; 0 when not known.
	Line int
	// Document of the file, from 1; 0 when not known.
	Document int
	// Object is kind, namespace and name, such as "AccessPolicy data/reporting"; empty when it could not be read.
	Object string
	// Field is the path of the field, such as spec.rules[0].tables; empty when the object as a whole is concerned.
	Field string
	// Message says what is wrong and what to do about it. It holds no value of a Secret.
	Message string
}

// Error is the problem in one line: file:line: object (document): field: message.
func (p Problem) Error() string {
	var b strings.Builder
	b.WriteString(place{file: p.File, line: p.Line, document: p.Document, object: p.Object}.String())
	for _, part := range []string{p.Field, p.Message} {
		if part == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteString(": ")
		}
		b.WriteString(part)
	}
	return b.String()
}

// Problems is everything that is wrong, in the order of files and lines.
type Problems []Problem

// sortByLine orders problems as a person reads the file; validators go through fields at random.
func (p Problems) sortByLine() {
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Field, b.Field), cmp.Compare(a.Message, b.Message))
	})
}

// Error is one line for each problem, at most 50 of them.
func (p Problems) Error() string {
	lines := make([]string, 0, min(len(p), maxProblems)+1)
	for i, problem := range p {
		if i == maxProblems {
			lines = append(lines, fmt.Sprintf("… and %d more", len(p)-maxProblems))
			break
		}
		lines = append(lines, problem.Error())
	}
	return strings.Join(lines, "\n")
}

// add appends a problem with a field of the object at a place; an empty field means the object.
func (p *Problems) add(at place, field, message string) {
	if at.prefix != "" {
		field = at.prefix + field
	}
	*p = append(*p, Problem{
		File: at.file, Line: at.lineOf(field), Document: at.document, Object: at.object,
		Field: strings.TrimSuffix(field, "."), Message: message,
	})
}

// place is where an object is written.
type place struct {
	file     string
	line     int // where the document begins
	document int
	object   string
	prefix   string       // path of the object within the document, with a final dot; not empty within a List
	node     *yamlv3.Node // the document's root; nil when not known
}

// String is file:line: object (document), as far as known.
func (p place) String() string {
	where := p.file
	if line := p.lineOf(p.prefix); p.file != "" && line > 0 {
		where = fmt.Sprintf("%s:%d", p.file, line)
	}
	what := p.object
	switch {
	case p.document > 0 && what != "":
		what = fmt.Sprintf("%s (document %d)", what, p.document)
	case p.document > 0:
		what = fmt.Sprintf("document %d", p.document)
	}
	if where == "" || what == "" {
		return where + what
	}
	return where + ": " + what
}

// lineOf finds the line of a field, or of the innermost field around it that is written.
func (p place) lineOf(field string) int {
	if p.node == nil || len(p.node.Content) == 0 {
		return p.line
	}
	node := p.node.Content[0]
	line := node.Line
	for _, step := range splitPath(field) {
		next, at := child(node, step)
		if next == nil {
			break
		}
		node, line = next, at
	}
	return p.line + line - 1
}

// splitPath cuts spec.rules[0].tables into its steps; an index or key in brackets is a step of its own.
func splitPath(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' })
}

// child is the node that a step leads to, and the line where it is written: that of the key, in a mapping.
func child(node *yamlv3.Node, step string) (*yamlv3.Node, int) {
	if node.Kind == yamlv3.AliasNode {
		node = node.Alias
	}
	switch node.Kind {
	case yamlv3.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == step {
				return node.Content[i+1], node.Content[i].Line
			}
		}
	case yamlv3.SequenceNode:
		var index int
		if _, err := fmt.Sscanf(step, "%d", &index); err == nil && index >= 0 && index < len(node.Content) {
			return node.Content[index], node.Content[index].Line
		}
	}
	return nil, 0
}

type objectKey struct{ kind, namespace, name string }

// String is kind, namespace and name, such as "AccessPolicy data/reporting".
func (k objectKey) String() string {
	name := k.name
	if name == "" {
		name = "(no name)"
	}
	if k.namespace == "" {
		return k.kind + " " + name
	}
	return k.kind + " " + k.namespace + "/" + name
}

// describeObject names an object that has not been judged yet: its metadata may be anything.
func describeObject(kind string, object map[string]any) string {
	if kind == "" {
		kind = "object"
	}
	metadata, _ := object["metadata"].(map[string]any)
	name, _ := metadata["name"].(string)
	namespace, _ := metadata["namespace"].(string)
	return objectKey{kind: kind, namespace: namespace, name: name}.String()
}
