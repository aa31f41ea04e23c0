package policy

import "github.com/open-policy-agent/opa/v1/ast"

// blind says which parts of the input no rule of a bundle looks at. Decisions that
// differ in those alone are equal, and are made once: without Rego of the owners'
// own that asks for the phase, a Parse and its Execute are decided together. The
// zero value is blind to nothing.
type blind struct {
	phase, pod, podUID, labels, process bool
}

// blindOf reads the modules of a bundle, after compilation: imports and aliases of
// the input are written out by then. Whatever is not a path of constants counts as
// a look at everything under it.
func blindOf(modules map[string]*ast.Module) blind {
	b := blind{phase: true, pod: true, podUID: true, labels: true, process: true}
	input := ast.InputRootDocument.Value
	var visitor *ast.GenericVisitor
	visitor = ast.NewGenericVisitor(func(x any) bool {
		switch x := x.(type) {
		case ast.Ref:
			if len(x) == 0 || x[0].Value.Compare(input) != 0 {
				return false
			}
			b.look(x)
			for _, t := range x[1:] {
				visitor.Walk(t)
			}
			return true
		case ast.Var:
			if x.Compare(input) == 0 {
				b = blind{}
			}
		}
		return false
	})
	for _, m := range modules {
		visitor.Walk(m)
	}
	return b
}

// look takes note of a reference into the input.
func (b *blind) look(ref ast.Ref) {
	switch part(ref, 1) {
	case "operation":
		switch part(ref, 2) {
		case "phase", "":
			b.phase = false
		}
	case "identity":
		switch part(ref, 2) {
		case "pod":
			b.pod = false
		case "podUID":
			b.podUID = false
		case "labels":
			b.labels = false
		case "process":
			b.process = false
		case "":
			*b = blind{phase: b.phase}
		}
	case "":
		*b = blind{}
	}
}

// part is the i-th part of a reference; empty where it is none or no constant.
func part(ref ast.Ref, i int) string {
	if i >= len(ref) {
		return ""
	}
	s, _ := ref[i].Value.(ast.String)
	return string(s)
}
