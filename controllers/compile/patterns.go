package compile

import (
	"fmt"
	"regexp"
	"strings"
)

// tables finds the rules about a table, each pattern sorted by how cheaply it is
// matched. Schema and name are matched apart, since either may hold a dot.
type tables struct {
	None     []int                       `json:"none"`  // rules that name no tables
	All      []int                       `json:"all"`   // "*.*"
	Exact    map[string]map[string][]int `json:"exact"` // schema and name
	Patterns []tablePattern              `json:"patterns"`
}

// tablePattern holds anchored regular expressions and the rules that use them.
type tablePattern struct {
	Schema string `json:"schema"`
	Name   string `json:"name"`
	Rules  []int  `json:"rules"`
}

func newTables() tables {
	return tables{None: []int{}, All: []int{}, Exact: map[string]map[string][]int{}, Patterns: []tablePattern{}}
}

// add makes a rule be found by its patterns.
func (t *tables) add(patterns []string, rule int) error {
	if len(patterns) == 0 {
		t.None = append(t.None, rule)
	}
	for i, p := range patterns {
		schema, name, ok := strings.Cut(p, ".")
		switch {
		case !ok || schema == "" || name == "" || strings.Contains(name, "."):
			return fmt.Errorf("tables[%d]: %q is not schema.table, such as public.orders or app_*.*", i, p)
		case p == "*.*":
			t.All = append(t.All, rule)
		case !strings.Contains(p, "*"):
			if t.Exact[schema] == nil {
				t.Exact[schema] = map[string][]int{}
			}
			t.Exact[schema][name] = append(t.Exact[schema][name], rule)
		default:
			t.addPattern(expression(schema), expression(name), rule)
		}
	}
	return nil
}

// addPattern keeps one entry for rules with the same pattern.
func (t *tables) addPattern(schema, name string, rule int) {
	for i := range t.Patterns {
		if p := &t.Patterns[i]; p.Schema == schema && p.Name == name {
			p.Rules = append(p.Rules, rule)
			return
		}
	}
	t.Patterns = append(t.Patterns, tablePattern{Schema: schema, Name: name, Rules: []int{rule}})
}

// expression is the anchored regular expression of a pattern in which "*" stands
// for any text. The API's "*" has no other wildcard beside it, so everything else
// is quoted.
func expression(pattern string) string {
	parts := strings.Split(pattern, "*")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	return `^(?s:` + strings.Join(parts, `.*`) + `)$`
}

// specificity orders tag patterns with a "*": the longer text before the first
// one, then the longer text in all.
func specificity(pattern string) int {
	prefix, _, _ := strings.Cut(pattern, "*")
	return len(prefix)<<8 + len(strings.ReplaceAll(pattern, "*", ""))
}
