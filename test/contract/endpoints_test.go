package contract_test

import (
	"go/ast"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The page opens with the list of endpoints; it has those that are mounted.
func TestEveryEndpointIsDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/http-api.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, row := range regexp.MustCompile("(?m)^\\| \\[`([A-Z]+ /[^`]*)`\\]").FindAllStringSubmatch(string(page), -1) {
		documented = append(documented, row[1])
	}
	slices.Sort(documented)
	if d := cmp.Diff(endpointsOf(t, "../../runtime"), documented); d != "" {
		t.Errorf("the endpoints of docs/http-api.md (-source +page):\n%s", d)
	}
}

// endpointsOf finds the calls httpapi.Handle(door, http.MethodGet, "/path", …), those of
// HandleUpload, which look alike, and httpapi.HandleHTTP(door, "/path", …).
func endpointsOf(t *testing.T, root string) []string {
	t.Helper()
	var found []string
	inspect(t, root, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) < 3 {
			return true
		}
		name, ok := call.Fun.(*ast.SelectorExpr)
		switch {
		case ok && name.Sel.Name == "HandleHTTP":
			if path := text(call.Args[1]); path != "" {
				found = append(found, "DELETE "+path, "GET "+path, "POST "+path)
			}
			return true
		case !ok || name.Sel.Name != "Handle" && name.Sel.Name != "HandleUpload":
			return true
		}
		method, ok := call.Args[1].(*ast.SelectorExpr)
		if ok && strings.HasPrefix(method.Sel.Name, "Method") {
			found = append(found, strings.ToUpper(strings.TrimPrefix(method.Sel.Name, "Method"))+" "+text(call.Args[2]))
		}
		return true
	})
	slices.Sort(found)
	return found
}
