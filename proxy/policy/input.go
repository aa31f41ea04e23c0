package policy

import (
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// Input is what policies see: the caller and the operation, and nothing that the
// client could put there by itself. docs/policy-input.schema.json describes it.
type Input struct {
	Identity  access.Identity   `json:"identity"`
	Operation *access.Operation `json:"operation"`
}

// inputOf is an Input as OPA holds it: the same that it would read from the
// Input's JSON, without the detour, which costs as much as a tenth of a decision.
// TestTheInputIsWhatItsJSONSays holds the two together, field by field.
func inputOf(id *access.Identity, op *access.Operation) ast.Value {
	return make(fields, 0, 2).with("identity", identity(id)).with("operation", operation(op)).value().Value
}

// fields of an object. What is written with add is left out where it is empty.
type fields [][2]*ast.Term

func (f fields) value() *ast.Term { return ast.ObjectTerm(f...) }

func (f fields) with(name string, v *ast.Term) fields {
	return append(f, [2]*ast.Term{ast.InternedTerm(name), v})
}

func (f fields) add(name string, v *ast.Term) fields {
	if v == nil {
		return f
	}
	return f.with(name, v)
}

func identity(id *access.Identity) *ast.Term {
	f := make(fields, 0, 6).with("namespace", text(id.Namespace)).with("serviceAccount", text(id.ServiceAccount)).
		add("pod", optional(id.Pod)).add("podUID", optional(id.PodUID))
	if len(id.Labels) > 0 {
		labels := make(fields, 0, len(id.Labels))
		for k, v := range id.Labels {
			labels = append(labels, [2]*ast.Term{text(k), text(v)})
		}
		f = f.with("labels", labels.value())
	}
	if p := id.Process; p != nil {
		f = f.with("process", make(fields, 0, 3).with("pid", number(p.PID)).with("uid", number(p.UID)).add("exe", optional(p.Exe)).value())
	}
	return f.value()
}

func operation(op *access.Operation) *ast.Term {
	return make(fields, 0, 4).with("protocol", text(op.Protocol)).with("dataSource", text(op.DataSource)).
		with("phase", text(string(op.Phase))).with("statements", array(op.Statements, statement)).value()
}

func statement(s *access.Statement) *ast.Term {
	return make(fields, 0, 8).with("kind", text(s.Kind)).
		add("features", list(s.Features, feature)).add("resources", list(s.Resources, resource)).
		add("tags", list(s.Tags, element)).add("predicateTags", list(s.PredicateTags, element)).
		add("predicates", list(s.Predicates, element)).add("functions", list(s.Functions, element)).
		add("estimatedRows", maybe(s.EstimatedRows)).value()
}

func feature(x *access.Feature) *ast.Term {
	return make(fields, 0, 3).with("name", text(x.Name)).add("construct", optional(x.Construct)).add("effect", optional(x.Effect)).value()
}

func resource(r *access.Resource) *ast.Term {
	return make(fields, 0, 4).with("schema", text(r.Schema)).with("name", text(r.Name)).with("access", text(string(r.Access))).
		add("tags", list(r.Tags, element)).value()
}

func element(s *string) *ast.Term { return text(*s) }

// list is nothing where it is empty.
func list[T any](items []T, term func(*T) *ast.Term) *ast.Term {
	if len(items) == 0 {
		return nil
	}
	return array(items, term)
}

// array is null where it is nil.
func array[T any](items []T, term func(*T) *ast.Term) *ast.Term {
	if items == nil {
		return ast.NullTerm()
	}
	terms := make([]*ast.Term, len(items))
	for i := range items {
		terms[i] = term(&items[i])
	}
	return ast.ArrayTerm(terms...)
}

func optional(s string) *ast.Term {
	if s == "" {
		return nil
	}
	return text(s)
}

// text replaces what is not UTF-8, byte by byte, as JSON does: the path of a
// program may hold anything.
func text(s string) *ast.Term {
	if !utf8.ValidString(s) {
		s = string([]rune(s))
	}
	return ast.StringTerm(s)
}

// maybe is nothing where the number is not known.
func maybe(n *int64) *ast.Term {
	if n == nil {
		return nil
	}
	return ast.NumberTerm(json.Number(strconv.FormatInt(*n, 10)))
}

func number(n int) *ast.Term { return ast.NumberTerm(json.Number(strconv.Itoa(n))) }
