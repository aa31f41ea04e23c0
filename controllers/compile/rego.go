package compile

import (
	"errors"
	"fmt"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// maxRego bounds the source of an owner's module, in bytes, as the API does.
const maxRego = 64 << 10

// customPackage is how an owner's module has to begin.
const customPackage = "package tidewaiter.custom"

// RegoError is a mistake in the rego field of an AccessPolicy.
type RegoError struct {
	Policy  string // "namespace/name"
	Line    int    // from 1
	Column  int    // from 1
	Message string
}

// Error says which policy, where and what.
func (e *RegoError) Error() string {
	return fmt.Sprintf("AccessPolicy %s: spec.rego:%d:%d: %s", e.Policy, e.Line, e.Column, e.Message)
}

// CheckRego compiles an owner's module as it will run and returns every mistake
// in it, joined; each is a *RegoError. A module may define the sets deny and
// require_approval and helpers whose names start with "_", and sees nothing but
// its input: it can make a decision stricter, and do nothing else.
func CheckRego(policy, source string) error {
	_, err := customModule(policy, source)
	return err
}

// customModule returns the module's source as it goes into the bundle: with a
// package of its own, so that two policies' helpers cannot meet.
func customModule(policy, source string) (string, error) {
	if len(source) > maxRego {
		return "", &RegoError{policy, 1, 1, fmt.Sprintf("is longer than %d bytes", maxRego)}
	}
	options := ast.ParserOptions{RegoVersion: ast.RegoV1, Capabilities: Capabilities()}
	module, err := ast.ParseModuleWithOpts(policy, source, options)
	if err != nil {
		return "", located(policy, err)
	}
	renamed, ok := rename(source, module.Package, policy)
	if !ok {
		return "", at(policy, module.Package.Location, `must begin with the line "`+customPackage+`"`)
	}
	if err := checkModule(policy, module); err != nil {
		return "", err
	}
	module, err = ast.ParseModuleWithOpts(policy, renamed, options)
	if err != nil {
		return "", located(policy, err)
	}
	compiler := ast.NewCompiler().WithCapabilities(Capabilities())
	if compiler.Compile(map[string]*ast.Module{policy: module}); compiler.Failed() {
		return "", located(policy, compiler.Errors)
	}
	return renamed, nil
}

// rename gives the module the package tidewaiter.custom["namespace/name"],
// leaving every line where it was.
func rename(source string, pkg *ast.Package, policy string) (string, bool) {
	start := pkg.Location.Offset
	rest, ok := strings.CutPrefix(source[start:], customPackage)
	if !ok || pkg.Path.String() != "data.tidewaiter.custom" {
		return "", false
	}
	return fmt.Sprintf("%s%s[%q]%s", source[:start], customPackage, policy, rest), true
}

func checkModule(policy string, module *ast.Module) error {
	var errs []error
	for _, imp := range module.Imports {
		if path := imp.Path.Value.String(); !allowedImport(path) {
			errs = append(errs, at(policy, imp.Location, "import "+path+": only rego.v1, future.keywords and input can be imported"))
		}
	}
	var decides bool
	for _, rule := range module.Rules {
		name := rule.Head.Ref().String()
		decides = decides || isDecision(name)
		if message := headMistake(rule, name); message != "" {
			errs = append(errs, at(policy, rule.Location, message))
		}
		errs = append(errs, checkReach(policy, rule)...)
	}
	if !decides && len(errs) == 0 {
		errs = append(errs, at(policy, module.Package.Location, "defines neither deny nor require_approval, so it decides nothing: define one of these sets, or leave spec.rego out"))
	}
	return errors.Join(errs...)
}

func allowedImport(path string) bool {
	for _, root := range []string{"rego.v1", "future.keywords", "input"} {
		if path == root || strings.HasPrefix(path, root+".") || strings.HasPrefix(path, root+"[") {
			return true
		}
	}
	return false
}

func isDecision(name string) bool { return name == "deny" || name == "require_approval" }

// headMistake refuses names that nobody reads, such as a misspelled deny, and
// forms of deny that would not be a set of messages.
func headMistake(rule *ast.Rule, name string) string {
	if isDecision(name) {
		if rule.Default || len(rule.Head.Args) > 0 || rule.Head.RuleKind() != ast.MultiValue {
			return fmt.Sprintf("%s must be a set of messages: write \"%s contains msg if { … }\"", name, name)
		}
		return ""
	}
	if strings.HasPrefix(name, "_") {
		return ""
	}
	return fmt.Sprintf("%s is read by nobody: only deny and require_approval decide; start a helper's name with \"_\"", name)
}

// checkReach refuses everything outside the module and its input: other
// policies, the bundle's data, and replacing functions by `with`.
func checkReach(policy string, rule *ast.Rule) []error {
	var errs []error
	ast.WalkTerms(rule, func(t *ast.Term) bool {
		if v, ok := t.Value.(ast.Var); ok && v == ast.DefaultRootDocument.Value.(ast.Var) {
			errs = append(errs, at(policy, t.Location, "data cannot be used: a policy's Rego sees only its input"))
		}
		return false
	})
	ast.WalkWiths(rule, func(w *ast.With) bool {
		if ref, ok := w.Target.Value.(ast.Ref); !ok || !ref.HasPrefix(ast.InputRootRef) {
			errs = append(errs, at(policy, w.Location, "with can replace input only"))
		}
		return false
	})
	return errs
}

func at(policy string, l *ast.Location, message string) error {
	if l == nil {
		l = &ast.Location{Row: 1, Col: 1}
	}
	return &RegoError{policy, l.Row, l.Col, message}
}

// located turns OPA's errors into ours, one by one.
func located(policy string, err error) error {
	var list ast.Errors
	if !errors.As(err, &list) {
		return &RegoError{policy, 1, 1, err.Error()}
	}
	errs := make([]error, 0, len(list))
	for _, e := range list {
		errs = append(errs, at(policy, e.Location, e.Message))
	}
	return errors.Join(errs...)
}
