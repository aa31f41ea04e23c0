package policy

import "github.com/open-policy-agent/opa/v1/ast"

// estimatedRows is the input that is looked up only where a policy asks for it.
const estimatedRows = "estimatedRows"

// wantsEstimates reports whether a module speaks of estimatedRows, wherever it does: a look too many costs a question to the
// planner, one too few would hide the number from a policy.
func wantsEstimates(modules map[string]*ast.Module) bool {
	wants := false
	visitor := ast.NewGenericVisitor(func(x any) bool {
		if s, ok := x.(ast.String); ok && string(s) == estimatedRows {
			wants = true
		}
		return wants
	})
	for _, m := range modules {
		visitor.Walk(m)
	}
	return wants
}

// Estimates reports whether the bundle looks at how many rows are expected.
func (e *Engine) Estimates() bool { return e.estimates }

// Estimates answers for the bundle in force, as Engine.Estimates does.
func (d *Decider) Estimates() bool {
	e := d.current.Load()
	return e != nil && e.Estimates()
}
