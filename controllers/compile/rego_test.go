package compile

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/tester"
)

// TestTheRegoLibraryPassesItsOwnTests runs rego/tests with OPA's test runner.
func TestTheRegoLibraryPassesItsOwnTests(t *testing.T) {
	modules := map[string]*ast.Module{}
	for _, glob := range []string{"rego/*.rego", "rego/tests/*_test.rego"} {
		files, err := filepath.Glob(glob)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no files: %v", glob, err)
		}
		for _, file := range files {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			modules[file] = ast.MustParseModuleWithOpts(string(source), ast.ParserOptions{RegoVersion: ast.RegoV1})
		}
	}
	compiler := ast.NewCompiler().WithCapabilities(Capabilities())
	results, err := tester.NewRunner().SetCompiler(compiler).RaiseBuiltinErrors(true).SetModules(modules).RunTests(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var all []*tester.Result
	failed := 0
	for r := range results {
		all = append(all, r)
		if !r.Pass() {
			failed++
		}
	}
	if failed > 0 || len(all) == 0 {
		report := make(chan *tester.Result, len(all))
		for _, r := range all {
			report <- r
		}
		close(report)
		var out bytes.Buffer
		if err := (tester.PrettyReporter{Output: &out}).Report(report); err != nil {
			t.Fatal(err)
		}
		t.Errorf("%d of %d Rego tests failed:\n%s", failed, len(all), out.String())
	}
}
