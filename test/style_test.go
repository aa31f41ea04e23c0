package test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The bounds of CONTRIBUTING.md, in lines.
const (
	maxFunction = 60
	maxFile     = 400
)

// longer lists what may be longer than the bounds, with the reason.
var longer = map[string]string{}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	g := repository(t)
	for _, path := range g.below("") {
		p := g[path]
		if p.Doc == "" && !documentedInTests(t, p) {
			t.Errorf("%s has no doc comment: say what it does and what it must not know", short(path))
		}
	}
}

func TestFilesAndFunctionsAreShortEnoughToRead(t *testing.T) {
	found := map[string]bool{}
	for name, file := range sources(t) {
		if n := bytes.Count(file, []byte("\n")); n > maxFile {
			found[name] = true
			if longer[name] == "" {
				t.Errorf("%s has %d lines, of at most %d", name, n, maxFile)
			}
		}
		fset := token.NewFileSet()
		tree, err := parser.ParseFile(fset, name, file, parser.SkipObjectResolution)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, decl := range tree.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			lines := fset.Position(f.End()).Line - fset.Position(f.Pos()).Line + 1
			if key := name + ":" + f.Name.Name; lines > maxFunction {
				found[key] = true
				if longer[key] == "" {
					t.Errorf("%s has %d lines, of at most %d", key, lines, maxFunction)
				}
			}
		}
	}
	for key := range longer {
		if !found[key] {
			t.Errorf("%s is listed as longer than the bounds and is not: take it off the list", key)
		}
	}
}

// sources returns the module's own Go files by their path in the repository:
// neither tests nor generated.
func sources(t *testing.T) map[string][]byte {
	t.Helper()
	g := repository(t)
	out := map[string][]byte{}
	for _, path := range g.below("") {
		for _, name := range g[path].GoFiles {
			file, err := os.ReadFile(filepath.Join(g[path].Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Contains(file, []byte("\n// Code generated ")) && !bytes.HasPrefix(file, []byte("// Code generated ")) {
				out[short(path)+"/"+name] = file
			}
		}
	}
	if len(out) < 10 {
		t.Fatalf("only %d source files were found", len(out))
	}
	return out
}

// documentedInTests reports whether a package of tests alone has a doc comment.
func documentedInTests(t *testing.T, p *pkg) bool {
	t.Helper()
	if len(p.GoFiles) > 0 {
		return false
	}
	return slices.ContainsFunc(append(p.TestGoFiles, p.XTestGoFiles...), func(name string) bool {
		tree, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Error(err)
			return false
		}
		return tree.Doc != nil && strings.HasPrefix(tree.Doc.Text(), "Package "+p.Name+" ")
	})
}
