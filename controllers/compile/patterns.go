package compile

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// tables finds the rules about a table, each pattern sorted by how cheaply it is
// matched.
type tables struct {
	None     []int                       `json:"none"`  // rules that name no tables
	All      []int                       `json:"all"`   // "*.*"
	Exact    map[string]map[string][]int `json:"exact"` // schema and name; see complete
	Patterns []tablePattern              `json:"patterns"`
}

// tablePattern holds an anchored regular expression for "schema NUL name" and the
// rules that use it. A rule has at most one, as OPA keeps but 100 compiled. NUL parts the two, since either may hold a dot and neither a
// NUL.
type tablePattern struct {
	Match string `json:"match"`
	Rules []int  `json:"rules"`
}

func newTables() tables {
	return tables{None: []int{}, All: []int{}, Exact: map[string]map[string][]int{}, Patterns: []tablePattern{}}
}

// add makes a rule be found by its patterns.
func (t *tables) add(patterns []string, rule int) error {
	if len(patterns) == 0 {
		t.None = append(t.None, rule)
	}
	var wild []string
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
			wild = append(wild, quoted(schema, `[^\x00]*`)+`\x00`+quoted(name, `[^\x00]*`))
		}
	}
	if len(wild) > 0 {
		t.addPattern(`^(?:`+strings.Join(wild, `|`)+`)$`, rule)
	}
	return nil
}

// complete adds to the rules of each table that is named the rules whose patterns
// match it as well, so that a decision about such a table tries no pattern.
func (t *tables) complete() error {
	for i := range t.Patterns {
		match, err := regexp.Compile(t.Patterns[i].Match)
		if err != nil {
			return fmt.Errorf("compile: pattern of tables: %w", err)
		}
		for schema, names := range t.Exact {
			for name := range names {
				if match.MatchString(schema + "\x00" + name) {
					names[name] = append(names[name], t.Patterns[i].Rules...)
				}
			}
		}
	}
	for _, names := range t.Exact {
		for name := range names {
			names[name] = append(names[name], t.All...)
			slices.Sort(names[name])
			names[name] = slices.Compact(names[name])
		}
	}
	return nil
}

// addPattern keeps one entry for rules with the same pattern.
func (t *tables) addPattern(match string, rule int) {
	for i := range t.Patterns {
		if p := &t.Patterns[i]; p.Match == match {
			p.Rules = append(p.Rules, rule)
			return
		}
	}
	t.Patterns = append(t.Patterns, tablePattern{Match: match, Rules: []int{rule}})
}

// tagExpression is the anchored regular expression of a tag pattern.
func tagExpression(pattern string) string { return `^` + quoted(pattern, `(?s:.*)`) + `$` }

// quoted is the pattern as a regular expression in which each "*" is star and
// everything else stands for itself.
func quoted(pattern, star string) string {
	parts := strings.Split(pattern, "*")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	return strings.Join(parts, star)
}

// specificity orders tag patterns with a "*": the longer text before the first
// one, then the longer text in all.
func specificity(pattern string) int {
	prefix, _, _ := strings.Cut(pattern, "*")
	return len(prefix)<<8 + len(strings.ReplaceAll(pattern, "*", ""))
}
