package contract_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// untold are codes of the source that no client of today's endpoints sees.
var untold = []string{
	"aborted",     // counted only
	"client_gone", // there is no client any more
}

// A client branches on codes, so the page lists each, and none that there isn't.
func TestEveryErrorCodeIsDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/http-api.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| [1-5][0-9]{2}").FindAllStringSubmatch(string(page), -1) {
		documented = append(documented, row[1])
	}
	slices.Sort(documented)
	if d := cmp.Diff(codesOf(t, "../../runtime"), documented); d != "" {
		t.Errorf("the table of codes in docs/http-api.md (-source +page):\n%s", d)
	}
}

// codesOf finds what is given to a field Code: in composite literals and assignments.
func codesOf(t *testing.T, root string) []string {
	t.Helper()
	found := map[string]bool{}
	note := func(value ast.Expr) {
		if code := text(value); code != "" && !slices.Contains(untold, code) {
			found[code] = true
		}
	}
	inspect(t, root, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.KeyValueExpr:
			if key, ok := n.Key.(*ast.Ident); ok && key.Name == "Code" {
				note(n.Value)
			}
		case *ast.AssignStmt:
			for i, left := range n.Lhs {
				if field, ok := left.(*ast.SelectorExpr); ok && field.Sel.Name == "Code" && len(n.Rhs) == len(n.Lhs) {
					note(n.Rhs[i])
				}
			}
		}
		return true
	})
	return slices.Sorted(maps.Keys(found))
}

// text of a string literal, empty for all else.
func text(e ast.Expr) string {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return ""
	}
	s, err := strconv.Unquote(lit.Value)
	if err != nil {
		return ""
	}
	return s
}

// inspect visits the source that serves: no tests, no fakes.
func inspect(t *testing.T, root string, visit func(ast.Node) bool) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "fake") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err == nil {
			ast.Inspect(file, visit)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
